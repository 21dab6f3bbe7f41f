"""What a process may use of the machine is what it is told to keep to, not what the machine has."""

import os
import subprocess
import sys

import pytest

CONFINED = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from feltone.machine import cores
print(cores())
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system confines no process to cores")
def test_a_process_confined_to_one_core_counts_one() -> None:
    found = subprocess.run([sys.executable, "-c", CONFINED], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "1"
