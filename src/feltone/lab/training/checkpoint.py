"""Positions of a training on the disk: the newest, sealed by a digest, and the one before it.

NAME           the newest
NAME.before    the one before, which is gone back to when the newest is damaged
NAME.damaged   what was found damaged, set aside

What a disk returns may be cut short or have a byte turned; that it can be unpacked proves little.
"""

import hashlib
import io
import pickle
import warnings
from pathlib import Path
from typing import Any

import torch

from feltone.errors import FeltoneWarning
from feltone.files import write_atomically

State = dict[str, Any]
"""`network`, `optimizer`, and `position`: epoch, step and what was added up so far."""

MARK = b"feltone checkpoint\n"  # followed by the digest and what torch has packed


def write(file: Path, state: State) -> None:
    """Write a checkpoint; the one that was there becomes the one before.

    Raises:
        StorageError: it cannot be written; what was there is unchanged.
    """
    packed = io.BytesIO()
    torch.save(state, packed)
    content = packed.getbuffer()
    seal = MARK + hashlib.sha256(content).digest()
    write_atomically(file, lambda handle: handle.write(seal) + handle.write(content), before=_beside(file, "before"))


def read(file: Path) -> State | None:
    """The newest checkpoint that is whole; None where there is none. Says so when the newest was damaged."""
    before = _beside(file, "before")
    for candidate in (file, before):
        if not candidate.is_file():
            continue
        state = _unpacked(candidate.read_bytes())
        if state is not None:
            return state
        aside = _beside(file, "damaged")
        candidate.replace(aside)
        rest = "the one before it" if before.is_file() else "the beginning of the stage"
        told = FeltoneWarning(f"{candidate}: is damaged, kept as {aside.name}; training goes on from {rest}")
        warnings.warn(told, stacklevel=2)
    return None


def remove(file: Path) -> None:
    """Remove the checkpoints of a stage that is done."""
    for one in (file, _beside(file, "before")):
        one.unlink(missing_ok=True)


def _beside(file: Path, what: str) -> Path:
    return file.with_name(f"{file.name}.{what}")


def _unpacked(content: bytes) -> State | None:
    """The state in a file's content; None where it is damaged. Earlier versions set no seal."""
    if content.startswith(MARK):
        start = len(MARK) + hashlib.sha256().digest_size
        seal, content = content[len(MARK) : start], content[start:]
        if hashlib.sha256(content).digest() != seal:
            return None
    try:
        return dict(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError):
        return None
