"""A recording -> the segments that the network judges, each at most as long as it hears (four seconds).

whole      the beginning, or of a row with times what it names: what `feltone predict` judges
windows    one after the other, as `feltone predict --timeline`
vad        the same within what somebody says; where nobody speaks there is nothing to judge
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from feltone.doors.segments import Span, cuts
from feltone.errors import AudioError
from feltone.features import FeatureConfig, Waveform
from feltone.recognizer import SHORTEST_WINDOW_SECONDS, windows

SEGMENTS = ("vad", "windows", "whole")
PAUSE_SECONDS = 0.4  # that a speaker takes without being done
MARGIN_CHUNKS = 3  # of 32 ms, before and after what is said: consonants begin softly

Cut = tuple[int, float, Waveform | AudioError]
"""Position of the span, start in the recording in seconds, samples or why there are none."""
Window = tuple[float, Waveform]
"""Start in the recording in seconds, and samples."""


def whole(spans: Sequence[Span], chunks: Iterator[Waveform], config: FeatureConfig) -> Iterator[Cut]:
    """The beginning of each span of one recording, which is read once.

    Raises:
        AudioError: what is wrong with the recording, when reading comes to it.
    """
    for position, samples in cuts(spans, config.sample_rate, config.clip_samples, chunks):
        yield position, spans[position].start, samples


def windowed(start: float, chunks: Iterator[Waveform], config: FeatureConfig, hop: float) -> Iterator[Window]:
    """Windows over a span that begins at `start`, every `hop` seconds."""
    for begin, samples in windows(chunks, config, hop):
        yield start + begin, samples


def spoken(
    start: float, chunks: Iterator[Waveform], config: FeatureConfig, speaks: Callable[[Waveform], bool], chunk: int
) -> Iterator[Window]:
    """Windows without overlap over each utterance of a span; what is shorter than half a second is passed over.

    Args:
        start: of the span, in seconds.
        chunks: its samples.
        config: of the model.
        speaks: of the next `chunk` samples, whether somebody speaks in them.
        chunk: samples that it is asked about at a time.
    """
    rate, shortest = config.sample_rate, round(SHORTEST_WINDOW_SECONDS * config.sample_rate)
    frames = _Frames(chunks, chunk, round(PAUSE_SECONDS * rate / chunk), speaks)
    while frames.next_utterance():
        first = frames.position
        for begin, samples in windows(frames.utterance(), config, config.clip_seconds):
            if len(samples) >= shortest:
                yield start + first / rate + begin, samples


class _Frames:
    """A stream in frames that are asked about once, utterance after utterance."""

    def __init__(self, chunks: Iterator[Waveform], size: int, pause: int, speaks: Callable[[Waveform], bool]) -> None:
        self._frames = _framed(chunks, size)
        self._size, self._pause, self._speaks = size, pause, speaks
        self._before: deque[Waveform] = deque(maxlen=1 + MARGIN_CHUNKS)  # the last one is the first that is spoken
        self._read = 0  # samples
        self.position = 0  # of the first sample of the utterance that comes next

    def next_utterance(self) -> bool:
        """Read to where somebody speaks; False when nobody does any more."""
        for frame in self._frames:
            self._read += len(frame)
            if self._spoken(frame):
                self._before.append(frame)
                self.position = self._read - sum(map(len, self._before))
                return True
            self._before.append(frame)
        return False

    def utterance(self) -> Iterator[Waveform]:
        """Its frames, with a margin before and after it."""
        yield from self._before
        self._before.clear()
        quiet: list[Waveform] = []
        for frame in self._frames:
            self._read += len(frame)
            if self._spoken(frame):
                yield from quiet
                yield frame
                quiet.clear()
            else:
                quiet.append(frame)
                if len(quiet) == self._pause:
                    break
        yield from quiet[:MARGIN_CHUNKS]
        self._before.extend(quiet[MARGIN_CHUNKS:])

    def _spoken(self, frame: Waveform) -> bool:
        return len(frame) == self._size and self._speaks(frame)


def _framed(chunks: Iterator[Waveform], size: int) -> Iterator[Waveform]:
    """Frames of `size` samples; the last may be shorter."""
    held = np.zeros(0, np.float32)
    for chunk in chunks:
        held = np.concatenate([held, chunk])
        whole = len(held) // size * size
        yield from held[:whole].reshape(-1, size)
        held = held[whole:]
    if len(held):
        yield held
