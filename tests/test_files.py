"""After a crash there is the old file or the new one, never half of one, and nothing else."""

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from feltone.errors import StorageError
from feltone.files import LOCK, UNFINISHED, held, read_json, write_atomically, write_json, write_text


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


# faults of the disk


def in_a_shell(script: str, *arguments: str | Path) -> subprocess.CompletedProcess:
    return subprocess.run(["sh", "-ec", script, "sh", *map(str, arguments)], capture_output=True, text=True)


WRITE = """
import sys
from pathlib import Path
from feltone.errors import StorageError
from feltone.files import write_atomically
try:
    write_atomically(Path(sys.argv[1]), lambda handle: handle.write(bytes(200_000)))
except StorageError as fault:
    print(fault)
"""


def test_a_full_disk_is_named_with_the_remedy_and_keeps_what_was_there(tmp_path: Path) -> None:
    """A real one: 64 KB large, mounted for this test alone."""
    mount = 'mount -t tmpfs -o size=64k tmpfs "$1"'
    if in_a_shell(f"unshare --mount sh -ec '{mount}' sh \"$1\"", tmp_path).returncode:
        pytest.skip("needs the right to mount a small disk (root, with mounts of its own)")
    inside = f'{mount}; echo old >"$1/file"; "$2" -c "$3" "$1/file"; cat "$1/file"; ls -A "$1"'
    done = in_a_shell(f'unshare --mount sh -ec \'{inside}\' sh "$1" "$2" "$3"', tmp_path, sys.executable, WRITE)
    told = f"{tmp_path}/file: cannot be written (No space left on device); make room there, and give the same command"
    assert done.stdout.splitlines() == [f"{told} again", "old", "file"], done.stderr


def test_a_folder_that_is_read_only_is_named_with_the_remedy(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    tmp_path.chmod(0o555)
    line = [sys.executable, "-c", WRITE, str(file)]
    if os.geteuid() == 0:  # to whom a folder is read-only when that privilege is dropped
        line = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *line]
        if not shutil.which("setpriv"):
            pytest.skip("needs setpriv, or another user than root")
    done = subprocess.run(line, capture_output=True, text=True)
    tmp_path.chmod(0o755)
    remedy = "choose another place, or make this one writable"
    assert done.stdout == f"{file}: cannot be written (Permission denied); {remedy}\n", done.stderr
    assert file.read_text() == "old" and list(tmp_path.iterdir()) == [file]


def test_where_a_folder_cannot_be_made_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for write in (lambda path: write_text(path, "x"), lambda path: held(path.parent).__enter__()):
        with pytest.raises(StorageError, match=r"cannot be written \(Not a directory\)"):
            write(tmp_path / "file" / "folder" / "new.txt")


def test_what_was_there_can_be_kept_as_the_one_before(tmp_path: Path) -> None:
    path, before = tmp_path / "file", tmp_path / "file.before"
    for number in range(3):
        write_atomically(path, lambda handle, number=number: handle.write(b"%d" % number), before=before)
        assert path.read_text() == f"{number}" and before.exists() == bool(number)
    assert before.read_text() == "1"


def test_json_that_was_damaged_is_named(tmp_path: Path) -> None:
    write_json(tmp_path / "file.json", {"a": [1, 2]})
    assert read_json(tmp_path / "file.json") == {"a": [1, 2]}
    for content in ('{"a": [1, 2', "", "\0\0"):
        (tmp_path / "file.json").write_text(content)
        with pytest.raises(StorageError, match=rf"^{tmp_path}/file.json: is damaged"):
            read_json(tmp_path / "file.json")


# a folder of one process


def holder(folder: Path) -> subprocess.Popen:
    """Another process that holds a folder until it is killed."""
    program = "import sys; from pathlib import Path; from feltone.files import held\n"
    program += "with held(Path(sys.argv[1])): print('held', flush=True); input()"
    process = subprocess.Popen([sys.executable, "-c", program, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"held\n"
    return process


def test_a_folder_is_held_by_one_process_until_it_is_gone_however_it_goes(tmp_path: Path) -> None:
    with holder(tmp_path / "run") as other:
        for _ in range(2):  # being refused changes nothing
            with pytest.raises(StorageError, match=rf"{tmp_path}/run: process {other.pid} is at work here; wait"):
                held(tmp_path / "run").__enter__()
        other.kill()
    with held(tmp_path / "run"), pytest.raises(StorageError, match=f"process {os.getpid()} is at work"):
        held(tmp_path / "run").__enter__()
    with held(tmp_path / "run"), held(tmp_path / "another"):
        pass


def test_who_holds_a_folder_clears_away_what_killed_writers_left_there(tmp_path: Path) -> None:
    script = f"""
import os, signal
from pathlib import Path
from feltone.files import write_atomically
write_atomically(Path({str(tmp_path / "deep" / "file")!r}), lambda handle: os.kill(os.getpid(), signal.SIGKILL))
"""
    subprocess.run([sys.executable, "-c", script], check=False)
    (tmp_path / f".folder{UNFINISHED}").mkdir()
    (tmp_path / f".folder{UNFINISHED}" / "graph").write_text("half of it")
    (tmp_path / "mine.part").write_text("not ours")
    assert len(list((tmp_path / "deep").iterdir())) == 1
    with held(tmp_path):
        assert not list((tmp_path / "deep").iterdir())
        assert sorted(path.name for path in tmp_path.iterdir()) == [LOCK, "deep", "mine.part"]
