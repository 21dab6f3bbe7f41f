"""Arrays that are computed once: whole, or computed anew; never half of one, and never another one."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from feltone.lab import cache


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return cache.file_of(tmp_path, ["settings", 1], b"a recording")


def array() -> np.ndarray:
    return np.random.default_rng(0).random((4, 8, 8)).astype(np.float16)


def refuse() -> np.ndarray:
    raise AssertionError("was to be found, not computed")


def test_an_array_is_computed_once(file: Path) -> None:
    assert np.array_equal(cache.kept(file, array), cache.kept(file, refuse))


def test_another_setting_or_recording_is_another_file(tmp_path: Path, file: Path) -> None:
    others = [cache.file_of(tmp_path, ["settings", 2], b"a recording"), cache.file_of(tmp_path, ["settings", 1], b"b")]
    assert len({file, *others}) == 3


DAMAGES = {
    "cut short": lambda content: content[: len(content) // 2],
    "without its last byte": lambda content: content[:-1],
    "a bit turned": lambda content: content[:200] + bytes([content[200] ^ 1]) + content[201:],
    "blank": lambda content: bytes(len(content)),
    "empty": lambda content: b"",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_computed_anew(file: Path, damage: str) -> None:
    cache.kept(file, array)
    whole = file.read_bytes()
    file.write_bytes(DAMAGES[damage](whole))
    assert np.array_equal(cache.kept(file, array), array())
    assert file.read_bytes() == whole


def test_what_an_earlier_version_kept_is_found(file: Path) -> None:
    file.parent.mkdir()
    np.save(file, array())  # without a digest
    assert np.array_equal(cache.kept(file, refuse), array())


def test_a_writer_that_is_killed_leaves_no_entry(file: Path) -> None:
    program = f"""
import os, signal, numpy
from pathlib import Path
from feltone.lab import cache
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)  # all is written, nothing is in place
cache.kept(Path({str(file)!r}), lambda: numpy.zeros(1000))
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    assert not file.exists() and len(list(file.parent.iterdir())) == 1
    assert np.array_equal(cache.kept(file, array), array())
