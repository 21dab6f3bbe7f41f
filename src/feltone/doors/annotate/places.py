"""Where recordings lie and results go: a disk, or object storage by a URL that fsspec knows (s3://, gs://, …).

A file of results is whole or absent, wherever it lies: on a disk it is renamed into place, in object storage a `PUT`
is all or nothing.
"""

import io
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from feltone import audio
from feltone.errors import AudioError, ConfigError, MissingExtraError
from feltone.files import write_atomically

AT_ONCE_BYTES = 64 << 20  # a remote recording up to this size comes in one request


def is_url(name: str) -> bool:
    """Whether a name is for fsspec."""
    return "://" in name


def filesystem(url: str) -> tuple[Any, str]:
    """fsspec's file system of a URL, and the path in it.

    Raises:
        ConfigError: a protocol that fsspec does not know.
        MissingExtraError: what speaks it is not installed.
    """
    try:
        import fsspec
    except ImportError:
        raise MissingExtraError(f"{url}: reading from there", "annotate") from None
    try:
        found: tuple[Any, str] = fsspec.core.url_to_fs(url)
        return found
    except ImportError:
        extra = "s3" if url.startswith("s3") else "annotate"
        raise MissingExtraError(f"{url}: reading from there", extra) from None
    except ValueError as fault:
        raise ConfigError(f"{url}: {fault}; known are s3://, gs:// and what else fsspec names") from None


def located(root: str, path: str) -> str:
    """Where a path lies that may be relative to a root."""
    if is_url(path) or Path(path).is_absolute():
        return path
    return f"{root.rstrip('/')}/{path}"


class Named(io.BytesIO):
    """Bytes that messages call by a name."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


@contextmanager
def opened(place: str, size: int = 0) -> Iterator[tuple[audio.Source, int]]:
    """A recording to be read, and its bytes (0 where unknown); closed afterwards.

    Args:
        place: absolute path or URL.
        size: bytes, where they are known.

    Raises:
        AudioError: there is none, or none for us. A failing connection is no fault of the recording: it raises what
            fsspec raises, once fsspec has given up.
    """
    if not is_url(place):
        path = Path(place)
        yield path, size or (path.stat().st_size if path.is_file() else 0)
        return
    files, path_there = filesystem(place)
    try:
        if 0 < size <= AT_ONCE_BYTES:
            yield Named(files.cat_file(path_there), place), size
            return
        with files.open(path_there, "rb") as file:
            file.name = place
            yield file, file.size or 0
    except FileNotFoundError:
        raise AudioError(f"{place}: no such file") from None
    except PermissionError as fault:
        raise AudioError(f"{place}: may not be read ({fault.strerror or fault})") from None


class Folder:
    """A folder of results."""

    def __init__(self, place: str) -> None:
        self.place = place if is_url(place) else str(Path(place).absolute())
        self._files: Any = None
        self._root = ""
        if is_url(place):
            self._files, self._root = filesystem(place)

    def write(self, name: str, fill: Callable[[IO[bytes]], object]) -> None:
        """Let `fill` write a file; the same again replaces it."""
        if not self._files:
            write_atomically(Path(self.place, name), fill)
            return
        content = io.BytesIO()
        fill(content)
        self._files.pipe_file(self._at(name), content.getvalue())

    def read(self, name: str) -> bytes:
        """A file's bytes; raises `FileNotFoundError`."""
        if not self._files:
            return Path(self.place, name).read_bytes()
        content: bytes = self._files.cat_file(self._at(name))
        return content

    def names(self, folder: str = ".") -> list[str]:
        """Names of the finished files of a folder, sorted; none where there is no such folder."""
        if not self._files:
            there = Path(self.place, folder)
            found = [path.name for path in there.iterdir()] if there.is_dir() else []
        else:
            self._files.invalidate_cache()
            try:
                found = [PurePosixPath(path).name for path in self._files.ls(self._at(folder), detail=False)]
            except FileNotFoundError:
                found = []
        return sorted(name for name in found if not name.startswith("."))  # what is begun is hidden

    def remove(self, folder: str) -> None:
        """Remove a folder and what is in it, where there is one."""
        if not self._files:
            shutil.rmtree(Path(self.place, folder), ignore_errors=True)
        elif self.names(folder):
            self._files.rm(self._at(folder), recursive=True)

    def _at(self, name: str) -> str:
        return self._root.rstrip("/") + ("" if name == "." else f"/{name}")
