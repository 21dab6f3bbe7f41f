"""Writing files so that a crash leaves the old one or the new one, never half of one."""

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in place; folders are made when missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            write(handle)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """A text file in UTF-8, atomically; what no UTF-8 is, as in names of files, is written as an escape (`\\udcff`)."""
    write_atomically(path, lambda handle: handle.write(text.encode(errors="backslashreplace")))


def write_json(path: Path, value: Any) -> None:
    """An indented JSON file, atomically."""
    write_text(path, json.dumps(value, indent=1) + "\n")
