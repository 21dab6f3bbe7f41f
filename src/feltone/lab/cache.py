"""Arrays that are computed once: each a file, named by a digest of all that it depends on.

After the array stands the digest of its bytes. What is not whole any more is computed anew, so that a cache never
needs to be cleared: neither because something changed nor because a disk lost something.
"""

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feltone.files import write_atomically

PIECE = 1 << 14  # bytes of a file that are looked at together


def file_of(folder: Path, made_from: Any, content: bytes) -> Path:
    """The file of what is made from a recording's bytes with some settings."""
    digest = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode() + content).hexdigest()
    return folder / digest[:2] / f"{digest}.npy"


def kept(file: Path, compute: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    """The array in a file; computed and written where it is missing or damaged.

    Raises:
        StorageError: it cannot be written.
    """
    found = _whole(file) if file.is_file() else None
    if found is not None:
        return found
    array = compute()
    packed = io.BytesIO()
    np.save(packed, array)
    content = packed.getvalue()
    write_atomically(file, lambda handle: handle.write(content + hashlib.sha256(content).digest()))
    return array


def _whole(file: Path) -> NDArray[Any] | None:
    """The array in a file, or None where that is damaged. Earlier versions wrote no digest."""
    with file.open("rb") as handle:
        try:
            array: NDArray[Any] = np.load(handle)
        except (ValueError, EOFError):
            return None
        end, digest = handle.tell(), hashlib.sha256()
        seal = handle.read()
        handle.seek(0)
        while handle.tell() < end:  # in pieces: whoever loads thousands holds no array twice
            digest.update(handle.read(min(PIECE, end - handle.tell())))
    return array if seal in (b"", digest.digest()) else None
