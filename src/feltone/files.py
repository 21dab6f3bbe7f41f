"""Writing files so that a crash leaves the old one or the new one, never half of one; and folders of one process."""

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from feltone.errors import BusyError, StorageError

try:
    import fcntl
except ImportError:  # Windows, where a folder is not held
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
UNFINISHED = ".part"  # ends the name of what is being written

_ROOM = "make room there, and give the same command again"
REMEDIES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: "raise the limit on the size of files (ulimit -f), and give the same command again",
}


def in_a_name(text: str) -> str:
    """A text as part of a file's name: every run of what is no letter, digit, dot or plus becomes one hyphen.

    >>> in_a_name("microsoft/wavlm-base-plus@main ")
    'microsoft-wavlm-base-plus-main'
    """
    return re.sub(r"[^A-Za-z0-9.+]+", "-", text).strip("-")


def write_atomically(path: Path, write: Callable[[IO[bytes]], object], before: Path | None = None) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in place; folders are made when missing.

    Args:
        path: the file.
        write: told the open temporary file.
        before: where the file goes that was at `path`; None to replace it.

    Raises:
        StorageError: the disk is full, the folder read-only or the like; what was at `path` is unchanged.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=UNFINISHED)
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as handle:
            write(handle)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.chmod(0o644)
        if before and path.exists():
            path.replace(before)
        temporary.replace(path)
    except OSError as fault:
        raise unwritable(path, fault) from fault
    finally:
        if temporary:
            temporary.unlink(missing_ok=True)


def unwritable(path: Path, fault: OSError) -> StorageError:
    """What to tell about a file that could not be written."""
    remedy = REMEDIES.get(fault.errno or 0, "choose another place, or make this one writable")
    return StorageError(f"{path}: cannot be written ({fault.strerror or fault}); {remedy}")


def write_text(path: Path, text: str) -> None:
    """A text file in UTF-8, atomically; what no UTF-8 is, as in names of files, is written as an escape (`\\udcff`)."""
    write_atomically(path, lambda handle: handle.write(text.encode(errors="backslashreplace")))


def write_json(path: Path, value: Any) -> None:
    """An indented JSON file, atomically."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def read_json(path: Path) -> Any:
    """What `write_json` wrote; raises `StorageError` where it was damaged since."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as fault:
        raise StorageError(f"{path}: is damaged ({fault}); restore it, or delete its folder and begin anew") from None


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder, made when missing, for this process alone, and clear away what killed writers left in it.

    The kernel lets go of it when the process ends, however it ends: nothing is left to be cleared by hand.

    Raises:
        BusyError: another process holds it; the message says which.
    """
    file = folder / LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT, 0o644), "r+", encoding="utf-8")
    except OSError as fault:
        raise unwritable(file, fault) from fault
    with handle:
        _lock(folder, handle)
        for left in list(folder.rglob(f".*{UNFINISHED}")):
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
        yield


def _lock(folder: Path, handle: IO[str]) -> None:
    """Lock a folder's file, and write into it whose it is now."""
    try:
        if fcntl:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        handle.seek(0)
        handle.write(f"{os.getpid():<20}")
        handle.flush()
    except BlockingIOError:
        who = f"process {told}" if (told := handle.read().strip()) else "another process"
        raise BusyError(f"{folder}: {who} is at work here; wait for its end, or choose another folder") from None
    except OSError as fault:
        raise unwritable(folder / LOCK, fault) from fault
