"""Segments of many recordings -> what was recognised in each, in the order asked; a recording is decoded once.

What tables of files (`tables.py`) and of pandas (`frames.py`) share, which columns say what included.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from feltone import audio
from feltone.errors import AudioError, ConfigError, CorpusError, FeltoneError
from feltone.features import Waveform
from feltone.lab.corpora.manifest import seconds
from feltone.lab.corpora.rows import COLUMNS
from feltone.labels import LabelSet
from feltone.machine import cores
from feltone.recognizer import Recognizer

AT_ONCE = 1024  # recordings handed to the workers together


class Span(NamedTuple):
    """A recording, or a segment of one."""

    path: Path | str  # for messages, and to open it
    start: float = 0.0  # seconds
    end: float | None = None  # seconds; None for the recording's end


@dataclass(frozen=True)
class Answer:
    """What was recognised in the first `clip_seconds` of a span, or why nothing was."""

    label: str | None = None
    unsure: bool | None = None
    scores: dict[str, float] = field(default_factory=dict)  # label -> probability
    seconds: float | None = None  # of speech analysed
    error: str | None = None


def columns_said(table: str, columns: Sequence[str], path: str | None = None) -> tuple[str, str | None, str | None]:
    """The columns that hold path, start and end, by the names that a manifest knows; None where there is none.

    Args:
        table: what messages call it.
        columns: its columns.
        path: the column of paths, where it is told.

    Raises:
        ConfigError: no column of paths, or two columns that say the same.
    """

    def called(meaning: str) -> str | None:
        found = [name for name in columns if str(name).strip().lower() in COLUMNS[meaning]]
        if len(found) > 1:
            raise ConfigError(f"{table}: columns {' and '.join(found)} both say the {meaning}; rename one")
        return found[0] if found else None

    path = called("path") if path is None else path
    if path is None or path not in columns:
        fault = "no column holds the paths" if path is None else f"has no column '{path}'"
        raise ConfigError(f"{table}: {fault}; name one of its columns: {', '.join(map(str, columns))}")
    return path, called("start"), called("end")


def span_of(root: Path, place: str, path: Any, start: Any, end: Any) -> Span | FeltoneError:
    """The segment that a row names, or what is wrong with the row.

    Args:
        root: that a relative path is relative to.
        place: what messages call the row.
        path, start, end: its fields; times as in a manifest, None or "" where the row says nothing.
    """
    try:
        name, begins, ends = fields_of(place, path, start, end)
    except CorpusError as fault:
        return fault
    return Span(root / name, begins or 0.0, ends)


def fields_of(place: str, path: Any, start: Any, end: Any) -> tuple[str, float | None, float | None]:
    """Path and times of a row, as `span_of` takes them; raises `CorpusError` with what is wrong with the row."""
    if path is None or not str(path).strip():
        raise CorpusError(f"{place}: the path is empty")
    begins, ends = (seconds(place, None if value == "" else value) for value in (start, end))
    return str(path).strip().replace("\\", "/"), begins, ends


def recognise(
    recognize: Recognizer, asked: Sequence[Span | FeltoneError], advance: Callable[[], object] = lambda: None
) -> list[Answer]:
    """The answers to spans, in their order.

    Args:
        recognize: used from one thread per core; give it `threads=1`.
        asked: spans; an error in the place of one becomes its answer.
        advance: called once per span answered.
    """
    answers = [Answer(error=str(span)) if isinstance(span, FeltoneError) else Answer() for span in asked]
    recordings: dict[Path | str, list[tuple[int, Span]]] = {}
    for position, span in enumerate(asked):
        if isinstance(span, FeltoneError):
            advance()
        else:
            recordings.setdefault(span.path, []).append((position, span))
    groups = list(recordings.values())
    with ThreadPoolExecutor(cores(), thread_name_prefix="feltone") as pool:
        for begin in range(0, len(groups), AT_ONCE):
            together = groups[begin : begin + AT_ONCE]
            found = pool.map(lambda group: _of_recording(recognize, [span for _, span in group]), together)
            for group, answered in zip(together, found, strict=True):
                for (position, _), answer in zip(group, answered, strict=True):
                    answers[position] = answer
                    advance()
    return answers


def columns(answers: Sequence[Answer], labels: LabelSet) -> dict[str, list[str | float | None]]:
    """Answers as the columns of a table; None where there is nothing.

    They are `label`, `unsure`, one column per class, `seconds` and `error`.
    """
    return {
        "label": [answer.label for answer in answers],
        "unsure": [answer.unsure for answer in answers],
        **{label: [answer.scores.get(label) for answer in answers] for label in labels},
        "seconds": [answer.seconds for answer in answers],
        "error": [answer.error for answer in answers],
    }


def _of_recording(recognize: Recognizer, spans: Sequence[Span]) -> list[Answer]:
    answers: dict[int, Answer] = {}
    try:
        for position, samples in cuts(spans, recognize.features.sample_rate, recognize.features.clip_samples + 1):
            answers[position] = _answer(recognize, spans[position].path, samples)
    except FeltoneError as fault:  # of the recording: nothing after it can be read
        return [answers.get(position, Answer(error=str(fault))) for position in range(len(spans))]
    return [answers[position] for position in range(len(spans))]


def _answer(recognize: Recognizer, path: Path | str, samples: Waveform | AudioError) -> Answer:
    if isinstance(samples, AudioError):
        return Answer(error=str(samples))
    try:
        found = recognize.waveform(samples)
    except AudioError as fault:
        return Answer(error=f"{path}: {fault}")
    return Answer(found.label, found.unsure, found.scores, found.seconds)


def cuts(
    spans: Sequence[Span], rate: int, longest: int, chunks: Iterator[Waveform] | None = None
) -> Iterator[tuple[int, Waveform | AudioError]]:
    """(position in `spans`, samples) of each span of one recording, as soon as it has been read that far.

    The samples are those of `audio.load`, of each span at most the first `longest`; memory holds those of open spans.
    `chunks` are those of the recording where it is read otherwise than by its path.

    Raises:
        AudioError: what is wrong with the recording, when reading comes to it.
    """
    edges = {}
    for position, span in enumerate(spans):
        first = round(span.start * rate)
        last = first + longest if span.end is None else min(first + longest, round(span.end * rate))
        if last > first:
            edges[position] = first, last
        else:
            yield position, AudioError(f"{span.path}: the segment from {span.start:g} to {span.end:g} s is empty")
    if not edges:
        return
    waiting = sorted(edges, key=lambda position: edges[position][0], reverse=True)  # the next one last
    held: dict[int, list[Waveform]] = {}
    seen = 0
    for chunk in audio.stream(spans[0].path, rate) if chunks is None else chunks:
        while waiting and edges[waiting[-1]][0] < seen + len(chunk):
            held[waiting.pop()] = []
        for position, parts in held.items():
            first, last = edges[position]
            parts.append(chunk[max(0, first - seen) : last - seen])
        seen += len(chunk)
        for position in [open_ for open_ in held if edges[open_][1] <= seen]:
            yield position, np.concatenate(held.pop(position))
        if not waiting and not held:
            return
    for position, parts in held.items():
        yield position, np.concatenate(parts)
    for position in waiting:
        yield position, AudioError(f"{spans[position].path}: ends at {seen / rate:.2f} s, before this segment starts")
