"""A user's own recordings: a table (CSV, JSONL, Parquet, audformat) or a folder with one subfolder per label.

    path,label,speaker              path and label are needed; speaker, sex, sentence, split, start and end are not.
    anger/01.wav,anger,anna         Columns may be called as in `rows.COLUMNS`; others are passed over.

Paths are relative to the table's folder. `start` and `end` are seconds, or pandas' time spans as audformat writes
them (`0 days 00:00:01.500000`). Labels that are a word of Feltone, or a known synonym of one (`feltone.labels`), become
that word, whatever their case; all others stay as they are written.

Every clip belongs to the corpus `manifest` and is named by its path and segment: two tables in one folder give the
same recording the same key, so the audit sees a recording that stands in the training table and in the test table.
"""

import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from feltone import audio, limits
from feltone.errors import AudioError, CorpusError
from feltone.lab.corpora.clip import Clip
from feltone.lab.corpora.rows import COLUMNS, READERS, check_size, meaning_of
from feltone.labels import EMOTIONS, canonical

NAME = "manifest"
NEEDED = ("path", "label")
SEXES = {"f": "female", "female": "female", "w": "female", "woman": "female"}
SEXES |= {"m": "male", "male": "male", "man": "male"}
# pandas writes "0 days" alone where all of a column are whole days, as where every segment starts at 0.
LONGEST_TIME = 64  # characters
SPAN = re.compile(
    r"(?=.)(?:(?P<days>\d+) days?(?: |$))?(?:(?:(?P<hours>\d+):)?(?P<minutes>\d+):(?P<seconds>\d+(?:\.\d+)?))?"
)


def read(path: Path) -> list[Clip]:
    """Clips of a table or of a folder per label, sorted by name.

    Raises:
        CorpusError: one line naming the file, the row, the fault and the remedy: an unreadable table, a missing column,
            an empty label, recordings that do not exist, a segment that ends before it starts, a row twice.
    """
    if path.is_dir():
        return sorted(_from_folder(path), key=lambda clip: clip.name)
    if not path.is_file():
        raise CorpusError(f"{path}: no such manifest; name a table or a folder with one subfolder per label")
    if path.suffix.lower() not in READERS:
        raise CorpusError(f"{path}: not a kind of table that is read; save it as {', '.join(READERS)}")
    check_size(path)
    columns, read_rows = READERS[path.suffix.lower()](path)
    rows = list(read_rows)
    if not rows:
        raise CorpusError(f"{path}: holds no rows; one row per recording is needed")
    said = _meanings(path, columns)
    placed = [(place, _clip(place, {of: row.get(said[of]) for of in said}, path)) for place, row in rows]
    _refuse_twice(placed)
    clips = [clip for _, clip in placed]
    _refuse_absent(path, clips)
    return sorted(clips, key=lambda clip: clip.name)


def _from_folder(root: Path) -> Iterator[Clip]:
    shown = [path for path in sorted(root.iterdir()) if not path.name.startswith(".")]
    loose = [path.name for path in shown if path.suffix.lower() in audio.SUFFIXES and path.is_file()]
    folders = [path for path in shown if path.is_dir()]
    if loose:
        raise CorpusError(
            f"{root}: {len(loose)} recordings lie outside the label folders (first: {loose[0]}); move them into one"
        )
    if not folders:
        raise CorpusError(f"{root}: holds no folders; make one subfolder per label, or name a table")
    for folder in folders:
        try:
            found = audio.find(folder)
        except AudioError:
            raise CorpusError(f"{folder}: holds no recordings of this label; add some or take the folder out") from None
        for path in found:
            yield Clip(NAME, path.relative_to(root).as_posix(), path, _label(folder.name))


def _meanings(path: Path, columns: Iterable[str]) -> dict[str, str]:
    """What the table says -> its column that says it."""
    said: dict[str, str] = {}
    for column in columns:
        meaning = meaning_of(column)
        if meaning in said:
            raise CorpusError(f"{path}: columns '{said[meaning]}' and '{column}' both say the {meaning}; keep one")
        if meaning:
            said[meaning] = column
    for meaning in NEEDED:
        if meaning not in said:
            raise CorpusError(
                f"{path}: no column says the {meaning}; name one of {', '.join(COLUMNS[meaning])} "
                f"(columns here: {', '.join(columns)})"
            )
    return said


def _clip(place: str, values: Mapping[str, Any], manifest: Path) -> Clip:
    told = {meaning: _told(value) for meaning, value in values.items()}
    for meaning in NEEDED:
        if told[meaning] is None:
            raise CorpusError(f"{place}: the {meaning} is empty; fill it in or take the row out")
    start, end = seconds(place, told.get("start")) or 0.0, seconds(place, told.get("end"))
    if end is not None and end <= start:
        raise CorpusError(
            f"{place}: the segment ends at {end:g} s but starts at {start:g} s; end must come after start"
        )
    folder = Path(os.path.abspath(manifest.parent))  # noqa: PTH100 - resolve() would follow links out of the folder
    relative = os.path.relpath(folder / str(told["path"]).replace("\\", "/"), folder)
    return Clip(
        corpus=NAME,
        name=Path(relative).as_posix() + _segment(start, end),
        path=folder / relative,
        label=_label(str(told["label"])),
        speaker=_word(told.get("speaker")),
        sex=SEXES.get(str(told.get("sex")).lower()),
        sentence=_word(told.get("sentence")),
        split=_word(told.get("split")),
        start=start,
        end=end,
    )


def _told(value: Any) -> Any:
    """A field's value; None where the table leaves it empty."""
    if isinstance(value, str):
        return value.strip() or None
    return None if isinstance(value, float) and math.isnan(value) else value


def _word(value: Any) -> str | None:
    return None if value is None else str(value)


def _label(written: str) -> str:
    word = canonical(written)
    return word if word in EMOTIONS else written.strip()


def seconds(place: str, value: Any) -> float | None:
    """Seconds from a number, its text, or a time span; None where there is none (audformat's NaT: to the end)."""
    if value is None or str(value).lower() in ("nat", "nan"):
        return None
    span = SPAN.fullmatch(str(value))
    try:
        if span:
            days, hours, minutes, rest = (float(part or 0) for part in span.groups())
            number = ((days * 24 + hours) * 60 + minutes) * 60 + rest
        else:
            number = value.total_seconds() if isinstance(value, timedelta) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not 0 <= number <= limits.SECONDS:  # so written, NaN fails as well
        written = str(value)[:LONGEST_TIME]
        raise CorpusError(f"{place}: '{written}' is not a time; write seconds from 0 up, or '0 days 00:00:01.5'")
    return number


def _segment(start: float, end: float | None) -> str:
    """As in media fragments: `#t=1.5,2.25`; nothing for a whole recording."""
    if not start and end is None:
        return ""
    return f"#t={start:.6f}".rstrip("0").rstrip(".") + ("" if end is None else f",{end:.6f}".rstrip("0").rstrip("."))


def _refuse_twice(placed: Iterable[tuple[str, Clip]]) -> None:
    seen: dict[str, str] = {}
    for place, clip in placed:
        if clip.name in seen:
            raise CorpusError(f"{place}: {clip.name} stands already in {seen[clip.name]}; keep one of the two")
        seen[clip.name] = place


def _refuse_absent(path: Path, clips: Iterable[Clip]) -> None:
    paths = {clip.path for clip in clips}
    # os.path, for Path raises where a name is longer than the system's names.
    absent = sorted(str(one) for one in paths if not os.path.isfile(one))  # noqa: PTH113
    if absent:
        raise CorpusError(
            f"{path}: {len(absent)} of {len(paths)} recordings do not exist, for example {', '.join(absent[:3])}; "
            f"paths are relative to the table's folder"
        )
