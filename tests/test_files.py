"""After a crash there is the old file or the new one, never half of one, and nothing else."""

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from feltone.files import write_atomically, write_json, write_text


def test_content_arrives_whole_and_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "file.bin"
    write_atomically(path, lambda handle: handle.write(bytes(range(256)) * 1_000))
    assert path.read_bytes() == bytes(range(256)) * 1_000
    assert list(path.parent.iterdir()) == [path]


def test_readable_by_others_as_an_ordinary_file(tmp_path: Path) -> None:
    write_text(tmp_path / "file.txt", "x")
    assert stat.S_IMODE((tmp_path / "file.txt").stat().st_mode) == 0o644


def test_what_was_there_is_replaced_whole(tmp_path: Path) -> None:
    write_text(tmp_path / "file.txt", "long " * 1_000)
    write_text(tmp_path / "file.txt", "kürzer")
    assert (tmp_path / "file.txt").read_bytes() == "kürzer".encode()


@pytest.mark.parametrize("before", [None, "the old"])
def test_a_fault_while_writing_leaves_what_was_there(tmp_path: Path, before: str | None) -> None:
    path = tmp_path / "file.txt"
    if before:
        path.write_text(before)

    def fail(handle: IO[bytes]) -> None:
        handle.write(b"half of the n")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_atomically(path, fail)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == ([("file.txt", before)] if before else [])


def test_a_killed_process_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("the old")
    script = f"""
import os, signal
from pathlib import Path
from feltone.files import write_atomically
def die(handle):
    handle.write(b"half of the new")
    handle.flush()
    os.kill(os.getpid(), signal.SIGKILL)
write_atomically(Path({str(path)!r}), die)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == -9
    assert path.read_text() == "the old"


def test_readers_see_the_old_file_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("the old")

    def look(handle: IO[bytes]) -> None:
        handle.write(b"the new")
        handle.flush()
        assert path.read_text() == "the old"

    write_atomically(path, look)
    assert path.read_text() == "the new"


def test_json_survives_and_ends_with_a_newline(tmp_path: Path) -> None:
    value = {"labels": ["Ärger", "悲しみ"], "wa": 0.1 + 0.2, "none": None}
    write_json(tmp_path / "file.json", value)
    text = (tmp_path / "file.json").read_bytes().decode()
    assert json.loads(text) == value and text.endswith("}\n")


def test_what_json_cannot_hold_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write_json(tmp_path / "file.json", {"path": tmp_path})
    assert list(tmp_path.iterdir()) == []
