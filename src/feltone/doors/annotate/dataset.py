"""When all shards are done: their files become the dataset, and what was counted a document.

DIR/annotations/part-00000.parquet     in the order of the source; row groups as DuckDB, Polars and Spark read them best
DIR/errors.parquet                     path, start, end, error: the rows that have no label
DIR/run.json                           counts, speed, cost
"""

import io
import json
from collections.abc import Iterator
from itertools import chain
from typing import Any

import pyarrow
from pyarrow import parquet

from feltone.doors.annotate.ledger import Ledger
from feltone.doors.annotate.pieces import STAGES
from feltone.doors.annotate.places import Folder
from feltone.doors.annotate.plan import LIST, Plan
from feltone.doors.annotate.work import SHARDS, piece_file

DATASET, ERRORS, RUN = "annotations", "errors.parquet", "run.json"
GROUP_ROWS = 122_880  # of a row group: a unit of work of DuckDB's threads
PART_ROWS = 8 * GROUP_ROWS  # of a file, at least, but for the last one
ERROR_COLUMNS = ("path", "start", "end", "error")


def parts(ledger: Ledger, shards: int) -> list[list[int]]:
    """Shards, in order, that become a file together."""
    made: list[list[int]] = [[]]
    rows = 0
    for shard in range(shards):
        if rows >= PART_ROWS:
            made.append([])
            rows = 0
        made[-1].append(shard)
        rows += ledger.rows[shard]
    return made


def gather(out: Folder, ledger: Ledger, shards: int) -> int:
    """Write the dataset and the errors, as far as they are not there; how many files the dataset has."""
    groups = parts(ledger, shards)
    there = set(out.names(DATASET))
    for number, group in enumerate(groups):
        name = f"part-{number:05d}.parquet"
        if name not in there:
            files = [piece_file(shard, piece) for shard in group for piece in range(ledger.pieces[shard])]
            out.write(f"{DATASET}/{name}", lambda file, files=files: _merge(out, files, file))  # type: ignore[misc]
    out.write(ERRORS, lambda file: _errors(out, len(groups), file))
    return len(groups)


def _merge(out: Folder, files: list[str], file: Any) -> None:
    tables = _grouped(parquet.read_table(io.BytesIO(out.read(name))) for name in files)
    first = next(tables)
    with parquet.ParquetWriter(file, first.schema, compression="zstd") as writer:
        for table in chain([first], tables):
            writer.write_table(table, row_group_size=GROUP_ROWS)


def _grouped(tables: Iterator[pyarrow.Table]) -> Iterator[pyarrow.Table]:
    """Tables of `GROUP_ROWS` rows each; the last may have fewer."""
    held: list[pyarrow.Table] = []
    for table in tables:
        held.append(table)
        if sum(map(len, held)) >= GROUP_ROWS:
            joined = pyarrow.concat_tables(held)
            yield joined.slice(0, GROUP_ROWS)
            held = [joined.slice(GROUP_ROWS)]
    yield pyarrow.concat_tables(held)


def _errors(out: Folder, count: int, file: Any) -> None:
    fields = [("path", pyarrow.string()), ("start", pyarrow.float64()), ("end", pyarrow.float64())]
    schema = pyarrow.schema([*fields, ("error", pyarrow.string())])
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for number in range(count):
            part = parquet.ParquetFile(io.BytesIO(out.read(f"{DATASET}/part-{number:05d}.parquet")))
            for group in range(part.num_row_groups):
                table = part.read_row_group(group, columns=list(ERROR_COLUMNS))
                faulty = table.filter(pyarrow.compute.is_valid(table["error"]))
                if len(faulty):
                    writer.write_table(faulty)


def summary(plan: Plan, ledger: Ledger, sitting: dict[str, Any], price: float | None) -> dict[str, Any]:
    """What was done, how fast, and what it cost; of all sittings but for `sitting`, which is the last one."""
    total = ledger.total
    seconds = {stage: round(total.get(stage, 0), 3) for stage in STAGES}
    core_hours, audio_hours = sum(seconds.values()) / 3600, total.get("audio_seconds", 0) / 3600
    labels = {name.removeprefix("label "): round(n) for name, n in sorted(total.items()) if name.startswith("label ")}
    cost: dict[str, Any] = {"core_hours": round(core_hours, 6), "gigabytes_read": round(total["bytes"] / 1e9, 6)}
    if price is not None:
        cost |= {"price_per_core_hour": price, "price": round(price * core_hours, 6)}
    return {
        **plan.settings,
        "entries": plan.entries,
        "recordings": round(total["recordings"]),
        "rows": round(total["rows"]),
        "errors": round(total["errors"]),
        "labels": labels,
        "audio_hours": round(audio_hours, 6),
        "core_seconds": seconds,
        "speed": {
            "audio_hours_per_core_hour": round(audio_hours / core_hours, 2) if core_hours else None,
            "recordings_per_core_second": round(total["recordings"] / core_hours / 3600, 2) if core_hours else None,
            "last_sitting": sitting,
        },
        "cost": cost,
        "shards": plan.shards,
    }


def finish(out: Folder, document: dict[str, Any]) -> None:
    """Write the document, which says that the run is complete, and remove what it was made of."""
    out.write(RUN, lambda file: file.write((json.dumps(document, indent=1) + "\n").encode()))
    clean(out)


def clean(out: Folder) -> None:
    """Remove what a finished run no longer needs."""
    for folder in (SHARDS, LIST):
        out.remove(folder)
