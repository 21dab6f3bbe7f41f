"""`feltone predict`: files, folders and standard input -> predictions or timelines, with nothing silently skipped.

Tables of recordings are in `tables.py`.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from feltone import audio
from feltone.doors import console
from feltone.errors import ConfigError, FeltoneError, printable
from feltone.recognizer import Prediction, Recognizer
from feltone.timeline import FORMATS, Timeline

DONE, WRONG, IN_PART = 0, 2, 3  # exit codes
TABLES = (".csv", ".tsv", ".jsonl", ".parquet")
"""How a table of recordings is named, in and out."""
T = TypeVar("T")


def table_among(paths: Sequence[str], *, for_tables: bool, for_clips: bool) -> Path | None:
    """The table among the arguments, which stands alone, or None; `ConfigError` where options do not go with it.

    Args:
        paths: arguments of `feltone predict`.
        for_tables, for_clips: whether options were given that mean something for tables, for other recordings alone.
    """
    tables = [path for path in map(Path, paths) if path.suffix.lower() in TABLES and not path.is_dir()]
    if not tables:
        if for_tables:
            raise ConfigError(f"--out, --column and --prefix are for tables of recordings ({', '.join(TABLES)})")
        return None
    if len(paths) > 1:
        raise ConfigError(f"{tables[0]}: a table is recognised by itself; name it alone")
    if for_clips:
        raise ConfigError(f"{tables[0]}: --json and --timeline are not for tables; write one with --out NAME.jsonl")
    return tables[0]


def predict_clips(recognize: Recognizer, paths: Sequence[str], *, as_json: bool) -> int:
    """Recognise the first seconds of every recording, several at once; returns the exit code."""
    sources, errors = expand(paths)
    rows = []
    with console.progress("recognising", len(sources)) as advance:
        results = recognize.files(source for _, source in sources)
        for (name, _), (_, found) in zip(sources, results, strict=True):
            if isinstance(found, FeltoneError):
                errors.append({"file": name, "error": str(found)})
            else:
                rows.append({"file": name} | described(found))
            advance()
    if as_json:
        console.document({"model": recognize.artifact.name, "predictions": rows, "errors": errors})
    elif rows:
        show(rows)
    return report(len(rows), errors)


def predict_timelines(recognize: Recognizer, paths: Sequence[str], hop: float, form: str) -> int:
    """Recognise windows over every recording; returns the exit code."""
    if form != "table" and form not in FORMATS:
        raise ConfigError(f"format '{form}' is not known; known: table, {', '.join(FORMATS)}")
    timelines, errors = attempt(lambda source: recognize.timeline(source, hop=hop), paths)
    if form == "json":
        console.document([{"file": name} | _document(timeline) for name, timeline in timelines])
    for name, timeline in timelines:
        if form == "table":
            console.out.print(f"[bold]{name}[/bold]" if len(timelines) > 1 else "")
            rows = [
                [f"{s.start:.2f}", f"{s.end:.2f}", _named(s.label, s.unsure), _percent(s.scores)]
                for s in timeline.segments
            ]
            console.table(["start", "end", "emotion", "score"], rows, numeric=(0, 1, 3))
        elif form != "json":
            sys.stdout.write(FORMATS[form](timeline))
    return report(len(timelines), errors)


def attempt(
    recognise: Callable[[audio.Source], T], paths: Sequence[str]
) -> tuple[list[tuple[str, T]], list[dict[str, str]]]:
    """Results of the recordings that could be read, and the errors of those that could not."""
    results, errors = [], []
    sources, unreadable = expand(paths)
    errors += unreadable
    with console.progress("recognising", len(sources)) as advance:
        for name, source in sources:
            try:
                results.append((name, recognise(source)))
            except FeltoneError as fault:
                errors.append({"file": name, "error": str(fault)})
            advance()
    return results, errors


def expand(paths: Sequence[str]) -> tuple[list[tuple[str, audio.Source]], list[dict[str, str]]]:
    """Folders become their recordings, `-` the bytes of standard input."""
    sources: list[tuple[str, audio.Source]] = []
    errors = []
    for path in paths:
        try:
            sources += list(_sources(path))
        except FeltoneError as fault:
            errors.append({"file": path, "error": str(fault)})
    return sources, errors


def _sources(path: str) -> Iterator[tuple[str, audio.Source]]:
    if path == "-":
        yield "standard input", sys.stdin.buffer.read()
    elif Path(path).is_dir():
        yield from ((str(found), found) for found in audio.find(Path(path)))
    else:
        yield path, Path(path)


def described(prediction: Prediction) -> dict[str, Any]:
    """The part of a prediction that goes into JSON."""
    scores = {label: round(score, 6) for label, score in prediction.scores.items()}
    return {
        "label": prediction.label,
        "unsure": prediction.unsure,
        "scores": scores,
        "seconds": round(prediction.seconds, 3),
        "cut": prediction.cut,
    }


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """A table of what `described` says of some files: emotion, its score, the runner-up."""
    shown = []
    for row in rows:
        ranked = sorted(row["scores"].items(), key=lambda item: -item[1])
        runner_up = f"{ranked[1][0]} {ranked[1][1]:.0%}"
        length = f"{row['seconds']:.1f} s" + (" (cut)" if row["cut"] else "")
        shown.append([row["file"], _named(row["label"], row["unsure"]), f"{ranked[0][1]:.0%}", runner_up, length])
    console.table(["file", "emotion", "score", "then", "analysed"], shown, numeric=(2, 4))
    if any(row["unsure"] for row in rows):
        console.say("(unsure): less sure than this model has to be, by its card, to be right often enough")
    if any(row["cut"] for row in rows):
        console.say("(cut): the recording goes on; --timeline recognises all of it")


def _named(label: str, unsure: bool) -> str:
    return f"{label} (unsure)" if unsure else label


def report(done: int, errors: Sequence[dict[str, str]]) -> int:
    """List what could not be recognised on standard error; the exit code."""
    for error in errors:
        name = printable(error["file"])
        text = error["error"] if name in error["error"] else f"{name}: {error['error']}"
        print(f"feltone: {text}", file=sys.stderr)
    if not errors:
        return DONE
    if done:
        print(f"feltone: {done} recognised, {len(errors)} not", file=sys.stderr)
    return IN_PART if done else WRONG


def _document(timeline: Timeline) -> dict[str, Any]:
    return {"hop": timeline.hop, "segments": [vars(segment) for segment in timeline.segments]}


def _percent(scores: dict[str, float]) -> str:
    return f"{max(scores.values()):.0%}"
