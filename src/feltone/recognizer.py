"""Recognition as a ladder: images -> waveform -> file -> long recording. Each rung adds one step and is public.

recognize.images(batch)         (B, mel, columns) -> class probabilities, embedding, attention
recognize.waveform(samples)     mono samples at the model's rate -> Prediction
recognize("clip.wav")           a file's first four seconds -> Prediction
recognize.files(paths)          many files, on every core -> (path, Prediction) in their order
recognize.timeline("talk.mp3")  windows over a recording of any length -> Timeline
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feltone import audio, features, graph
from feltone.artifact import Artifact, load
from feltone.errors import AudioError, ConfigError, FeltoneError
from feltone.features import Image, Waveform
from feltone.machine import cores
from feltone.timeline import SILENCE, Segment, Timeline

Array = NDArray[np.float32]

AHEAD = 4  # recordings per worker that are under way or wait to be collected
TOGETHER = 8  # images in a run of the graph where there are many: with more of them a core's cache overflows
WINDOW_BATCH = 16  # windows of a long recording recognised together
SHORTEST_WINDOW_SECONDS = 0.5  # what remains at a recording's end is a window of its own from this length on


class Outputs(NamedTuple):
    """What the graph says about a batch of images."""

    probabilities: Array  # (B, classes)
    logits: Array  # (B, classes)
    embedding: Array  # (B, width)
    attention: Array  # (B, depth, heads, patches)


class Heard(NamedTuple):
    """A recording's first seconds, or a window of it, as the network sees them."""

    image: Image
    start: float  # seconds
    end: float
    cut: bool = False  # whether the recording goes on after a beginning


@dataclass(frozen=True)
class Prediction:
    """What was recognised in one clip."""

    label: str
    scores: dict[str, float]  # label -> probability, in the model's order
    seconds: float  # of speech analysed
    cut: bool = False  # whether the recording goes on after what was analysed
    unsure: bool = False  # whether the highest probability is below what the model's card calls sure
    image: Image = field(repr=False, compare=False, default_factory=lambda: np.zeros((0, 0), np.float32))
    embedding: Array = field(repr=False, compare=False, default_factory=lambda: np.zeros(0, np.float32))
    attention: Array = field(repr=False, compare=False, default_factory=lambda: np.zeros((0, 0, 0), np.float32))


class Recognizer:
    """A model ready to recognise; made by `feltone.load`."""

    def __init__(self, artifact: Artifact, *, precision: str = "fp32", threads: int | None = None) -> None:
        self.artifact = artifact
        self.labels = artifact.labels
        self.features = artifact.features
        self.precision, self.threads = precision, threads
        self._graph = artifact.graph(precision)
        self._session = graph.session(self._graph, threads)
        bands, columns = self.features.mel_bands, self.features.columns
        graph.check_contract(self._graph, self._session, bands, columns, len(self.labels))
        optional = self._session.get_overridable_initializers()  # inputs that may be left out
        self.merges_silence = "copies" in {value.name for value in optional}

    def images(self, images: Array) -> Outputs:
        """Run the graph: float32 (B, mel bands, columns), values in [0, 1] -> Outputs.

        Where the graph allows, the silence that all images end with is given as one column that counts for all of
        them: the same result, and a recording of one second costs a quarter of one of four.
        """
        columns = images.shape[-1]
        sounding = sounding_columns(images)
        if not self.merges_silence or columns - sounding < 2:
            logits, embedding, attention = self._run({"image": images})
            return Outputs(softmax(logits), logits, embedding, attention)
        silent = columns - sounding
        copies = np.full(len(images), silent, np.float32)
        merged = np.ascontiguousarray(images[:, :, : sounding + 1])
        logits, embedding, attention = self._run({"image": merged, "copies": copies})
        silence = np.repeat(attention[..., -1:] / silent, silent, -1)
        return Outputs(softmax(logits), logits, embedding, np.concatenate([attention[..., :-1], silence], -1))

    def many(self, images: Array) -> Array:
        """Probabilities (n, classes) of images (n, mel, columns), recognised together with those that sound as long."""
        order = np.argsort([sounding_columns(image) for image in images], kind="stable")
        chances = np.zeros((len(images), len(self.labels)), np.float32)
        for begin in range(0, len(order), TOGETHER):
            rows = order[begin : begin + TOGETHER]
            chances[rows] = self.images(images[rows]).probabilities
        return chances

    def _run(self, inputs: dict[str, Array]) -> list[Array]:
        return graph.run(self._graph, self._session, inputs, len(self.labels))

    def waveform(self, samples: Waveform) -> Prediction:
        """Recognise the first `clip_seconds` of mono float32 samples at the model's sampling rate.

        Raises:
            AudioError: no samples, or digital silence: there is nothing to recognise.
        """
        return self._recognised(self._heard(np.asarray(samples, np.float32)))

    def hear(self, source: audio.Source, load: Callable[..., Waveform] = audio.load) -> Heard:
        """What `recognize(source)` gives to the network; for those who run it elsewhere, or with others at once.

        Args:
            source: what `load` takes.
            load: called as `audio.load` is, with `end`; for those who decode elsewhere.
        """
        one_more = (self.features.clip_samples + 1) / self.features.sample_rate
        samples = load(source, self.features.sample_rate, end=one_more)
        try:
            return self._heard(samples)
        except AudioError as fault:
            raise AudioError(f"{audio.name_of(source)}: {fault}") from None

    def __call__(self, source: audio.Source) -> Prediction:
        """Recognise the first `clip_seconds` of a recording; `Prediction.cut` says whether it goes on.

        Args:
            source: a path, the bytes of an encoded file, or a binary file.

        Raises:
            AudioError: naming the file and what is wrong with it.
        """
        return self._recognised(self.hear(source))

    def _heard(self, samples: Waveform) -> Heard:
        if samples.ndim != 1 or not len(samples):
            raise AudioError(f"waveform of shape {samples.shape}: give mono samples, shape (samples,)")
        image = features.log_mel_image(samples, self.features)
        if not image.any():
            raise AudioError("silent: there is nothing to recognise")
        kept = min(len(samples), self.features.clip_samples)
        return Heard(image, 0.0, kept / self.features.sample_rate, kept < len(samples))

    def _recognised(self, heard: Heard) -> Prediction:
        outputs = self.images(heard.image[None])
        return Prediction(
            label=self.labels.names[int(outputs.probabilities[0].argmax())],
            scores=self._scores(outputs.probabilities[0]),
            seconds=heard.end,
            cut=heard.cut,
            unsure=self.is_unsure(outputs.probabilities[0]),
            image=heard.image,
            embedding=outputs.embedding[0],
            attention=outputs.attention[0],
        )

    def files(
        self, sources: Iterable[audio.Source], *, workers: int | None = None
    ) -> Iterator[tuple[audio.Source, Prediction | FeltoneError]]:
        """Recognise many recordings, several at once; what cannot be read comes as its error, in its place.

        Results come in the order of the sources, which are taken as they are needed: memory does not grow.

        Args:
            sources: what `recognize(source)` takes.
            workers: recordings at once; None for one per core.
        """
        workers = workers or cores()
        # One thread each: several recordings at once use the cores better than several cores on one of them.
        single = self if self.threads == 1 else Recognizer(self.artifact, precision=self.precision, threads=1)
        waiting: deque[tuple[audio.Source, Future[Prediction | FeltoneError]]] = deque()
        with ThreadPoolExecutor(workers, thread_name_prefix="feltone") as pool:
            for source in sources:
                waiting.append((source, pool.submit(single._attempt, source)))
                if len(waiting) >= AHEAD * workers:
                    done, future = waiting.popleft()
                    yield done, future.result()
            for done, future in waiting:
                yield done, future.result()

    def _attempt(self, source: audio.Source) -> Prediction | FeltoneError:
        try:
            return self(source)
        except FeltoneError as fault:
            return fault

    def timeline(self, source: audio.Source, *, hop: float = 1.0) -> Timeline:
        """All windows of a recording; see `segments`."""
        name = Path(audio.name_of(source)).stem
        return Timeline(name, hop, tuple(self.segments(source, hop=hop)))

    def segments(self, source: audio.Source, *, hop: float = 1.0) -> Iterator[Segment]:
        """Recognise windows of `clip_seconds` every `hop` seconds, one after the other as the recording is read.

        Memory does not grow with the recording. A window of digital silence is labelled "silence".
        """
        shortest, longest = 1 / self.features.sample_rate, self.features.clip_seconds
        if not shortest <= hop <= longest:
            raise ConfigError(
                f"hop {hop} s: choose one of a sample ({shortest:g} s) at least, the window ({longest:g} s) at most"
            )
        batch: list[tuple[float, Waveform]] = []
        for window in windows(audio.stream(source, self.features.sample_rate), self.features, hop):
            batch.append(window)
            if len(batch) == WINDOW_BATCH:
                yield from self._segments_of(batch)
                batch = []
        if batch:
            yield from self._segments_of(batch)

    def _segments_of(self, batch: list[tuple[float, Waveform]]) -> Iterator[Segment]:
        images = np.stack([features.log_mel_image(samples, self.features) for _, samples in batch])
        probabilities = self.images(images).probabilities
        for (start, samples), image, chances in zip(batch, images, probabilities, strict=True):
            end = start + len(samples) / self.features.sample_rate
            if image.any():
                label, unsure = self.labels.names[int(chances.argmax())], self.is_unsure(chances)
                yield Segment(start, end, label, self._scores(chances), unsure)
            else:
                yield Segment(start, end, SILENCE, dict.fromkeys(self.labels, 0.0))

    def is_unsure(self, probabilities: Array) -> bool:
        """Whether an answer with these probabilities is better taken for none."""
        return bool(probabilities.max() < self.artifact.unsure_below)

    def _scores(self, probabilities: Array) -> dict[str, float]:
        return {label: float(p) for label, p in zip(self.labels, probabilities, strict=True)}


def windows(chunks: Iterator[Waveform], config: features.FeatureConfig, hop: float) -> Iterator[tuple[float, Waveform]]:
    """Cut a stream of chunks into (start in seconds, samples); the last window may be shorter than the others."""
    rate, size, step = config.sample_rate, config.clip_samples, round(hop * config.sample_rate)
    held, start = np.zeros(0, np.float32), 0
    for chunk in chunks:
        held = np.concatenate([held, chunk])
        while len(held) >= size:
            yield start / rate, held[:size]
            held, start = held[step:], start + step
    # What the last full window has not covered is worth a window of its own if it is long enough to judge.
    fresh = len(held) - (size - step if start else 0)
    if fresh >= SHORTEST_WINDOW_SECONDS * rate or (start == 0 and len(held)):
        yield start / rate, held


def sounding_columns(images: Array) -> int:
    """Columns (the last axis) up to the last one that is not silent in all images."""
    loud = images.any(axis=tuple(range(images.ndim - 1)))
    return int(np.flatnonzero(loud).max(initial=-1)) + 1


def softmax(logits: Array) -> Array:
    """Logits (…, classes) -> probabilities."""
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(-1, keepdims=True), np.float32)


def from_model(
    model: str | Path | None = None, *, precision: str = "fp32", threads: int | None = None, quick_start: bool = False
) -> Recognizer:
    """A recogniser for a model.

    Args:
        model: None for the default one; a shipped model's name, a model folder, or "hf:owner/model".
        precision: "fp32" or "int8".
        threads: of ONNX Runtime; None for as many as there are cores.
        quick_start: for a few recordings: ready sooner, each of them slower (`features.load_fast_transform`).

    Raises:
        ArtifactError: the model is missing, altered or of a newer schema.
    """
    if not quick_start:
        features.load_fast_transform()
    return Recognizer(load(model), precision=precision, threads=threads)
