"""Kills at random moments, the short form: `feltone train` and `feltone prepare`, under a clock that jumps."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

# What a process takes for the time of day jumps by a year, forth or back, with every look at it.
JUMPING_CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
  static int (*real)(clockid_t, struct timespec *);
  static int looks;
  if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int code = real(clock, now);
  if (clock == CLOCK_REALTIME) now->tv_sec += (looks++ % 3 - 1) * 31536000L;
  return code;
}
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """With the clock, where there is a compiler to make it."""
    if sys.platform != "linux" or not shutil.which("cc"):
        return dict(os.environ)
    (tmp_path / "clock.c").write_text(JUMPING_CLOCK)
    library = tmp_path / "clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "clock.c"], check=True)
    changed = os.environ | {"LD_PRELOAD": str(library)}
    look = [sys.executable, "-c", "import time; print(*(time.time() for _ in range(9)))"]
    looks = subprocess.run(look, env=changed, capture_output=True, text=True, check=True).stdout.split()
    assert max(map(float, looks)) - min(map(float, looks)) > 6e7  # it does jump
    return changed


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_killed_at_random_moments_nothing_is_lost_and_the_end_is_the_same(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    figures = tmp_path / "figures.json"
    line = [sys.executable, "-m", "feltone_benchmarks.soak", "--kills", "2", "--recipe", "tiny-teacher"]
    line += ["--only", "train", "--only", "prepare"]
    done = subprocess.run([*line, "--out", figures], env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    found = json.loads(figures.read_text())["works"]
    counts = {name: (work["sigkill"], work["lost_or_different"]) for name, work in found.items()}
    assert counts == {"train": (2, 0), "prepare": (2, 0)}
