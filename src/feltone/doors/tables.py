"""`feltone predict TABLE`: a table of recordings in, the same table out with what was recognised in each row.

Rows keep their order and their columns their values; added are `label`, `unsure`, one column per class, `seconds` and
`error`, of which the last says why a row has nothing in the others. CSV, TSV and JSONL need nothing; Parquet needs
pyarrow.
"""

import csv
import io
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feltone.doors import console
from feltone.doors.predict import DONE, IN_PART, TABLES, WRONG
from feltone.doors.segments import Span, columns, columns_said, recognise, span_of
from feltone.errors import ConfigError, CorpusError, FeltoneError, MissingExtraError
from feltone.files import write_atomically, write_text
from feltone.lab.corpora.rows import READERS, check_size, damaged_parquet
from feltone.recognizer import Recognizer

DECIMALS = 6  # of the numbers that are added, as in the JSON of `predict`
Columns = Mapping[str, Sequence[Any]]  # name -> a value per row


@dataclass(frozen=True)
class TextTable:
    """A table of CSV, TSV or JSONL."""

    file: Path
    columns: Sequence[str]
    rows: Sequence[tuple[str, Mapping[str, Any]]]  # where a row stands ("calls.csv, line 7"), and its fields

    @property
    def places(self) -> list[str]:
        """What messages call the rows."""
        return [place for place, _ in self.rows]

    def values(self, name: str) -> list[Any]:
        """A column."""
        return [fields.get(name) for _, fields in self.rows]

    def records(self) -> Iterator[Mapping[str, Any]]:
        """Row by row."""
        return (fields for _, fields in self.rows)

    def arrow(self) -> Any:
        """As pyarrow's table."""
        pyarrow, _ = _pyarrow(self.file)
        try:
            return pyarrow.table({name: self.values(name) for name in self.columns})
        except pyarrow.ArrowException as fault:  # JSONL may hold a number in one row and a text in the next
            reason = str(fault).splitlines()[0]
            raise ConfigError(f"{self.file}: has no place in Parquet ({reason}); write --out NAME.jsonl") from None


@dataclass(frozen=True)
class ParquetTable:
    """A table of Parquet; it keeps the types that text has no words for."""

    file: Path
    table: Any  # pyarrow's

    @property
    def columns(self) -> Sequence[str]:
        """Names of the columns."""
        return list(self.table.column_names)

    @property
    def places(self) -> list[str]:
        """What messages call the rows."""
        return [f"{self.file}, row {number}" for number in range(1, len(self.table) + 1)]

    def values(self, name: str) -> list[Any]:
        """A column: numbers, truth values and text as they are, time spans in seconds, what else there is as text."""
        pyarrow, _ = _pyarrow(self.file)
        with damaged_parquet(self.file):
            return self._values(name, self.table[name], pyarrow)

    def _values(self, name: str, column: Any, pyarrow: Any) -> list[Any]:
        types = pyarrow.types
        if types.is_duration(column.type):
            nanoseconds = column.cast(pyarrow.duration("ns")).cast(pyarrow.int64()).to_pylist()
            return [None if span is None else span / 1e9 for span in nanoseconds]
        if any(is_so(column.type) for is_so in (types.is_integer, types.is_floating, types.is_boolean)):
            return list(column.to_pylist())
        if types.is_nested(column.type) or "binary" in str(column.type):
            raise ConfigError(
                f"{self.file}: column '{name}' holds {column.type}, which has no place in text; "
                f"write Parquet with --out NAME.parquet"
            )
        return list(column.cast(pyarrow.string()).to_pylist())

    def records(self) -> Iterator[Mapping[str, Any]]:
        """Row by row."""
        values = [self.values(name) for name in self.columns]
        return (dict(zip(self.columns, row, strict=True)) for row in zip(*values, strict=True))

    def arrow(self) -> Any:
        """As pyarrow's table."""
        return self.table


Table = TextTable | ParquetTable


def predict_table(recognize: Recognizer, file: Path, out: Path | None, column: str | None, prefix: str) -> int:
    """Recognise every row of a table and write the table again; returns the exit code.

    Args:
        recognize: with one thread.
        file: the table; paths in it are relative to its folder.
        out: the table to write, named like one of `TABLES`; None for CSV on standard output.
        column: that holds the paths; None for one of the names that a manifest knows.
        prefix: of every column that is added.

    Raises:
        CorpusError: the table cannot be read.
        ConfigError: no column of paths, a column that would stand twice, or no way to write `out`.
    """
    kind = _kind_of(out)
    table = read(file)
    names = [prefix + name for name in columns([], recognize.labels)]
    twice = [name for name, count in Counter([*table.columns, *names]).items() if count > 1]
    if twice:
        raise ConfigError(f"{file}: column '{twice[0]}' would stand twice; set the new ones apart: --prefix predicted_")
    asked = spans(table, column)
    # What cannot be written is found out now, not when all is recognised.
    kept = table.arrow() if kind == ".parquet" else list(table.records())
    with console.progress("recognising", len(asked)) as advance:
        answers = recognise(recognize, asked, advance)
    found = columns(answers, recognize.labels).values()
    added = {name: [_rounded(value) for value in values] for name, values in zip(names, found, strict=True)}
    if out and kind == ".parquet":
        _write_parquet(kept, added, out)
    else:
        _write_text([*table.columns, *names], kept, added, out, kind)
    done = sum(answer.error is None for answer in answers)
    if done == len(answers):
        if out:
            console.say(f"{out}: {done} rows recognised; next: feltone explain RECORDING --out picture.png shows why")
        return DONE
    console.say(f"feltone: {done} recognised, {len(answers) - done} not; column '{names[-1]}' says why")
    return IN_PART if done else WRONG


def read(file: Path) -> Table:
    """A table by the ending of its name; raises `CorpusError` naming the line that is wrong."""
    if not file.is_file():
        raise CorpusError(f"{file}: no such table")
    check_size(file)
    if file.suffix.lower() != ".parquet":
        names, rows = READERS[file.suffix.lower()](file)
        return TextTable(file, names, list(rows))
    _, parquet = _pyarrow(file)
    with damaged_parquet(file):
        table = parquet.read_table(file, partitioning=None)
        table.validate(full=True)  # text is text, and nothing points out of its column
        list(table.column_names)  # which are decoded when they are asked for
        return ParquetTable(file, table)


def spans(table: Table, column: str | None) -> list[Span | FeltoneError]:
    """The segment that each row names, or what is wrong with the row; paths are relative to the table's folder."""
    said = columns_said(str(table.file), table.columns, column)
    absent = [None] * len(table.places)
    fields = (table.values(name) if name else absent for name in said)
    return [span_of(table.file.parent, *row) for row in zip(table.places, *fields, strict=True)]


def _kind_of(out: Path | None) -> str:
    """The kind of table to write; `ConfigError` for one that cannot be, before anything is recognised."""
    kind = out.suffix.lower() if out else ".csv"
    if kind not in TABLES:
        raise ConfigError(f"{out}: not a kind of table that is written; name it {', '.join(TABLES)}")
    if out and (out.is_dir() or not out.parent.is_dir() or not os.access(out.parent, os.W_OK)):
        raise ConfigError(f"{out}: cannot be written; choose another file, in a folder that exists")
    return kind


def _rounded(value: str | float | None) -> str | float | None:
    return round(value, DECIMALS) if isinstance(value, float) else value


def _write_text(
    names: Sequence[str], rows: Sequence[Mapping[str, Any]], added: Columns, out: Path | None, kind: str
) -> None:
    new = (dict(zip(added, values, strict=True)) for values in zip(*added.values(), strict=True))
    whole = [{**row, **found} for row, found in zip(rows, new, strict=True)]
    text = _jsonl(whole) if kind == ".jsonl" else _csv(names, whole, "\t" if kind == ".tsv" else ",")
    if out:
        write_text(out, text)
    else:
        sys.stdout.write(text)


def _csv(names: Sequence[str], rows: Sequence[Mapping[str, Any]], delimiter: str) -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        values = (row.get(name) for name in names)
        writer.writerow(value if value is None or isinstance(value, str) else json.dumps(value) for value in values)
    return text.getvalue()


def _jsonl(rows: Sequence[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _write_parquet(table: Any, added: Columns, out: Path) -> None:
    pyarrow, parquet = _pyarrow(out)
    label, unsure, *_, error = added
    others = {label: pyarrow.string(), unsure: pyarrow.bool_(), error: pyarrow.string()}
    for name, values in added.items():
        kind = others.get(name, pyarrow.float64())
        table = table.append_column(name, pyarrow.array(values, kind))
    write_atomically(out, lambda handle: parquet.write_table(table, handle))


def _pyarrow(file: Path) -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError(f"{file}: reading or writing Parquet", "tables") from None
    return pyarrow, parquet
