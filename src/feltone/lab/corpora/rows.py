"""Rows of a user's table (CSV, TSV, JSONL, Parquet): read as they are needed, a batch of them held at a time.

Whoever holds a whole table asks `check_size` first.
"""

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from feltone import limits
from feltone.errors import CorpusError

BATCH_ROWS = 4096  # of Parquet, held at a time
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "path": ("path", "file", "filename", "file_name", "audio", "wav"),
    "label": ("label", "emotion", "emo"),
    "speaker": ("speaker", "speaker_id", "spk"),
    "sex": ("sex", "gender"),
    "sentence": ("sentence", "sentence_id", "text", "transcript", "transcription"),
    "split": ("split", "partition"),
    "start": ("start", "begin"),
    "end": ("end", "stop"),
}
"""What a table may say -> the column names understood to say it; case does not matter."""

Row = tuple[str, Mapping[str, Any]]
"""Where it stands ("calls.csv, line 7"), and its fields by column name."""


def meaning_of(column: str) -> str | None:
    """What a column says, of `COLUMNS`; None where it says something else."""
    lowered = column.strip().lower()
    return next((meaning for meaning, names in COLUMNS.items() if lowered in names), None)


def _csv_rows(path: Path) -> tuple[Sequence[str], Iterator[Row]]:
    header = next(_lines(path), "")
    delimiter = next((mark for mark in ",;\t" if mark in header), ",")
    reader = csv.DictReader(_lines(path), delimiter=delimiter, strict=True)
    try:
        return reader.fieldnames or (), _csv_fields(path, reader)
    except csv.Error as fault:
        raise _not_csv(path, reader, fault) from None


def _csv_fields(path: Path, reader: "csv.DictReader[str]") -> Iterator[Row]:
    try:
        for fields in reader:
            if None in fields:
                place = f"{path}, line {reader.line_num}"
                raise CorpusError(f"{place}: has more fields than the header; put quotes around fields with commas")
            yield f"{path}, line {reader.line_num}", fields
    except csv.Error as fault:
        raise _not_csv(path, reader, fault) from None


def _not_csv(path: Path, reader: "csv.DictReader[str]", fault: csv.Error) -> CorpusError:
    return CorpusError(f"{path}, line {reader.reader.line_num}: not CSV ({fault}); export the table again")


def _jsonl_rows(path: Path) -> tuple[Sequence[str], Iterator[Row]]:
    # Read twice, for a column may occur in the last row alone.
    return list({name: None for _, fields in _jsonl_fields(path) for name in fields}), _jsonl_fields(path)


def _jsonl_fields(path: Path) -> Iterator[Row]:
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as fault:  # nested without end, or a number of thousands of digits
            reason = getattr(fault, "msg", None) or str(fault).partition(";")[0]
            raise CorpusError(f"{path}, line {number}: not JSON ({reason}); write one object per line") from None
        if not isinstance(fields, dict):
            raise CorpusError(f"{path}, line {number}: not a JSON object; write one object per line")
        yield f"{path}, line {number}", fields


def _parquet_rows(path: Path) -> tuple[Sequence[str], Iterator[Row]]:
    from pyarrow import parquet

    with damaged_parquet(path):
        names = parquet.read_schema(path).names
    # Only what is needed: such tables may hold the sound itself in a column.
    return names, _parquet_fields(path, [name for name in names if meaning_of(name)])


def check_size(path: Path) -> None:
    """Refuse, with `CorpusError`, a table too large to be held; `READERS` themselves hold a batch."""
    if path.stat().st_size > limits.TABLE_BYTES:
        raise CorpusError(f"{path}: larger than {limits.TABLE_BYTES} bytes, the most a table may have; split it")


@contextmanager
def damaged_parquet(path: Path) -> Iterator[None]:
    """A block that reads Parquet; raises `CorpusError` for whatever pyarrow raises where a file is no table."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, ValueError, KeyError, OverflowError, NotImplementedError) as fault:
        reason = (str(fault).splitlines() or [type(fault).__name__])[0]
        raise CorpusError(f"{path}: not Parquet, or damaged ({reason}); write it again") from None


def _parquet_fields(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    import pyarrow
    from pyarrow import parquet

    number = 0
    with damaged_parquet(path):
        for batch in parquet.ParquetFile(path).iter_batches(BATCH_ROWS, columns=columns):
            batch.validate(full=True)  # text is text, and nothing points out of its column
            for index, field in enumerate(batch.schema):
                if pyarrow.types.is_duration(field.type):  # audformat: nanoseconds, which datetime cannot hold
                    spans = batch[index].cast(pyarrow.duration("us"), safe=False)
                    batch = batch.set_column(index, field.name, spans)
            for fields in batch.to_pylist():
                number += 1
                yield f"{path}, row {number}", fields


READERS: Mapping[str, Callable[[Path], tuple[Sequence[str], Iterator[Row]]]] = {
    ".csv": _csv_rows,
    ".tsv": _csv_rows,
    ".jsonl": _jsonl_rows,
    ".parquet": _parquet_rows,
}
"""How a table is named -> its column names and rows, of which memory holds one, or a batch."""


def _lines(path: Path) -> Iterator[str]:
    """Lines with their ends, as the csv module wants them."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as text:
            yield from text
    except UnicodeDecodeError:  # of a buffer, and it does not know where in the file that lies
        with path.open("rb") as data:
            line = next(n for n, row in enumerate(data, 1) if row.decode(errors="ignore").encode() != row)
        raise CorpusError(f"{path}, line {line}: not UTF-8; save the table with that encoding") from None
