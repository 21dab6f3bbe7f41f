"""The plan of a run: its entries in shards, written down before the work begins.

DIR/plan.json              what is annotated, and how; written when the list is complete
DIR/plan/00000.parquet     the list, a row group per shard

A run that is given again goes by its plan: nothing is listed twice, and what was asked must be the same. A shard is
the unit of work: what is in flight when a run is killed is what is done again.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import IO, Any

import pyarrow
from pyarrow import parquet

from feltone.doors.annotate import sources
from feltone.doors.annotate.places import Folder
from feltone.doors.annotate.sources import TAR, Entry
from feltone.errors import ConfigError, CorpusError

PLAN, LIST = "plan.json", "plan"
SHARD_ENTRIES = 256  # a second of work or so, where they are short
SHARD_BYTES = 32 << 20  # minutes of it, where they are long
SHARDS_PER_FILE = 64
SCHEMA = pyarrow.schema(
    [
        ("path", pyarrow.string()),
        ("start", pyarrow.float64()),
        ("end", pyarrow.float64()),
        ("error", pyarrow.string()),
        ("size", pyarrow.int64()),
    ]
)


@dataclass(frozen=True)
class Plan:
    """What is annotated, and how; all that a worker needs to know."""

    out: str  # folder or URL of the results
    settings: dict[str, Any]  # source, root that its paths are relative to, model and so on
    entries: int
    shards: int


def make(out: Folder, source: str, settings: dict[str, Any], shard_entries: int = SHARD_ENTRIES) -> Plan:
    """The plan in a folder, or a new one.

    Args:
        out: of the results.
        source: what to annotate.
        settings: how, as plain values; with them alone the folder is continued.
        shard_entries: at most, of a new plan.

    Raises:
        ConfigError: the folder holds a run of something else.
        CorpusError: the source holds no recordings, or cannot be read.
    """
    with sources.read(source) as found:
        asked = settings | {"source": source, "root": found.root, "manifest_sha256": found.digest}
        if PLAN not in out.names():
            return _write(out, found, asked, shard_entries)
    known = json.loads(out.read(PLAN))
    different = sorted(key for key in asked if known["settings"].get(key) != asked[key])
    if different:
        raise ConfigError(
            f"{out.place}: holds a run with another {', '.join(different)}; choose another --out, or repeat it"
        )
    return Plan(out.place, asked, known["entries"], known["shards"])


def _write(out: Folder, found: sources.Source, asked: dict[str, Any], shard_entries: int) -> Plan:
    entries = shards = 0
    for number, content in enumerate(_files(found.entries, shard_entries)):
        out.write(f"{LIST}/{number:05d}.parquet", content.write)
        entries, shards = entries + content.entries, shards + content.shards
    if not entries:
        raise CorpusError(f"{asked['source']}: holds no recordings (looked for {', '.join(sorted(sources.LISTED))})")
    told = {"settings": asked, "entries": entries, "shards": shards}
    out.write(PLAN, lambda file: file.write(json.dumps(told, indent=1).encode()))
    return Plan(out.place, asked, entries, shards)


@dataclass(frozen=True)
class _File:
    data: pyarrow.Buffer
    entries: int
    shards: int

    def write(self, file: IO[bytes]) -> None:
        file.write(self.data)


def _files(entries: Iterator[Entry], shard_entries: int) -> Iterator[_File]:
    shards = shards_of(entries, shard_entries)
    ended = False
    while not ended:
        sink = pyarrow.BufferOutputStream()
        counts: list[int] = []
        with parquet.ParquetWriter(sink, SCHEMA, compression="zstd") as writer:
            while len(counts) < SHARDS_PER_FILE:
                shard = next(shards, None)
                if shard is None:
                    ended = True
                    break
                columns = [list(column) for column in zip(*shard, strict=True)]
                writer.write_table(pyarrow.table(columns, schema=SCHEMA), row_group_size=len(shard))
                counts.append(len(shard))
        if counts:
            yield _File(sink.getvalue(), sum(counts), len(counts))


def shards_of(entries: Iterator[Entry], at_most: int) -> Iterator[list[Entry]]:
    """Entries in shards: of so many at most, of so many bytes where they are long; a tar is a shard."""
    held: list[Entry] = []
    size = 0
    for entry in entries:
        is_tar = entry.path.lower().endswith(TAR)  # which holds as much as a shard
        more = SHARD_BYTES if is_tar else 0 if held and held[-1].path == entry.path else entry.size
        if held and (is_tar or len(held) == at_most or size + more > SHARD_BYTES):
            yield held
            held, size = [], 0
        held.append(entry)
        size += more
    if held:
        yield held


def entries_of(plan: Plan, shard: int) -> list[Entry]:
    """The entries of a shard."""
    file, group = divmod(shard, SHARDS_PER_FILE)
    table = _list(plan.out, file).read_row_group(group)
    return [Entry(**row) for row in table.to_pylist()]


@lru_cache(2)
def _list(out: str, number: int) -> parquet.ParquetFile:
    return parquet.ParquetFile(pyarrow.BufferReader(Folder(out).read(f"{LIST}/{number:05d}.parquet")))
