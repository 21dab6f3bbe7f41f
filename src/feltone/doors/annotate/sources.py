"""What is to be annotated, one entry after the other: a list of millions is never held.

folder, s3://bucket/folder     recordings and tar shards below it, folder by folder
"talks/**/*.mp3"               what a pattern matches
calls.csv, .tsv, .jsonl, .parquet       rows with a path and, for segments, start and end, as `feltone predict` reads
shard-000.tar                  WebDataset's shards: an entry each, taken apart where it is worked on
"""

import glob
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from feltone import audio
from feltone.artifact import digest
from feltone.doors.annotate.places import filesystem, is_url, located
from feltone.doors.predict import TABLES
from feltone.doors.segments import columns_said, fields_of
from feltone.errors import AudioError, CorpusError
from feltone.lab.corpora.rows import READERS

TAR = ".tar"
LISTED = audio.SUFFIXES | {TAR}
MAGIC = frozenset("*?[")


class Entry(NamedTuple):
    """A recording, a segment of one, or a tar of recordings."""

    path: str  # as the source names it; relative to the source's root, absolute, or a URL
    start: float | None = None  # seconds
    end: float | None = None
    error: str | None = None  # what is wrong with the row that should have named it
    size: int = 0  # bytes; 0 where unknown


@dataclass(frozen=True)
class Source:
    """Entries to come, and what relative paths among them are relative to."""

    root: str
    entries: Iterator[Entry]
    digest: str | None = None  # SHA-256 of a manifest


@contextmanager
def read(source: str) -> Iterator[Source]:
    """A source by its name; its entries are taken before it is left.

    Raises:
        CorpusError: there is no such thing, or the manifest cannot be read; some of it while entries are taken.
        AudioError: while entries are taken, a folder that is closed.
    """
    is_table = Path(source.rpartition("/")[2]).suffix.lower() in TABLES and not Path(source).is_dir()
    if not is_table:
        yield Source(str(Path.cwd()), _remote(source) if is_url(source) else _below(source))
    elif not is_url(source):
        if not Path(source).is_file():
            raise CorpusError(f"{source}: no such table")
        yield _manifest(Path(source), str(Path(source).parent.absolute()))
    else:
        root, _, name = source.rpartition("/")
        with tempfile.TemporaryDirectory(prefix="feltone-") as folder:
            files, path = filesystem(source)
            try:
                files.get_file(path, str(Path(folder, name)))
            except FileNotFoundError:
                raise CorpusError(f"{source}: no such table") from None
            yield _manifest(Path(folder, name), root)


def _below(source: str) -> Iterator[Entry]:
    path = Path(source)
    if path.is_dir():
        yield from map(_local, audio.walk(path, LISTED))
    elif path.is_file():
        yield _local(path)
    elif MAGIC & set(source):
        # pathlib's own globbing would sort out neither absolute patterns nor drives.
        matching = (Path(found) for found in glob.iglob(source, recursive=True))  # noqa: PTH207
        yield from (_local(found) for found in matching if is_listed(found.name) and found.is_file())
    else:
        raise CorpusError(
            f"{source}: no such file or folder; name a folder, a pattern in quotes, a table, a tar, or a URL"
        )


def is_listed(name: str) -> bool:
    """Whether a file of this name is annotated."""
    return Path(name).suffix.lower() in LISTED


def _local(path: Path) -> Entry:
    return Entry(str(path), size=path.stat().st_size if path.is_file() else 0)


def _remote(url: str) -> Iterator[Entry]:
    files, path = filesystem(url)
    try:
        if MAGIC & set(path):
            found = files.glob(path, detail=True)
            yield from (_entry(files, found[name]) for name in sorted(found) if is_listed(name))
        elif files.isfile(path):
            yield _entry(files, files.info(path))
        else:
            for _, _, below in files.walk(path, detail=True, on_error="raise"):
                yield from (_entry(files, below[name]) for name in sorted(below) if is_listed(name))
    except FileNotFoundError:
        raise CorpusError(f"{url}: no such file or folder") from None
    except PermissionError as fault:
        raise AudioError(f"{url}: may not be listed ({fault}); give your keys as its client wants them") from None


def _entry(files: Any, told: Mapping[str, Any]) -> Entry:
    return Entry(files.unstrip_protocol(told["name"]), size=told.get("size") or 0)


def _manifest(table: Path, root: str) -> Source:
    return Source(root, _rows(table, root), digest(table))


def _rows(table: Path, root: str) -> Iterator[Entry]:
    columns, rows = READERS[table.suffix.lower()](table)
    said = columns_said(str(table), columns)
    for place, row in rows:
        path, start, end = (row.get(name) if name else None for name in said)
        try:
            name, begins, ends = fields_of(place, path, start, end)
        except CorpusError as fault:
            yield Entry(str(path or ""), error=str(fault))
            continue
        yield Entry(name, begins, ends, size=_size(located(root, name)))


def _size(place: str) -> int:
    """Bytes of a file on a disk; a remote one is not asked for, which would be a request each."""
    try:
        return 0 if is_url(place) else os.stat(place).st_size  # noqa: PTH116 - a million of them
    except OSError:
        return 0  # that it cannot be read is found out when it is read
