"""The image of the last seconds of a signal that has no end, kept up to date at a fraction of its cost.

    rolling = RollingImage()
    for chunk in microphone:          # mono float32 at 16 kHz, chunks of any size
        rolling.push(chunk)
        image = rolling.image()       # what `features.log_mel_image` makes of `rolling.window()`

The frames of a signal lie on one grid, every 64 samples from its beginning. A frame is transformed when it is first
heard whole and then only moves to the left; the frames at the window's two edges, which see zeros beyond it, are
transformed anew for each image. So the image is the definition's, edges included: an update every 250 ms transforms
about 90 frames instead of 1,001.

A microphone at another rate is heard through `LiveResampler`, 15 milliseconds late whatever the chunks.
"""

from math import gcd

import numpy as np
from numpy.typing import NDArray

from feltone import features
from feltone.features import DEFAULT, FeatureConfig, Image, Waveform

Rows = NDArray[np.float32]

REACH_SECONDS = 0.015
"""Of the resampling filter to either side of a sample; beyond it the filter weighs next to nothing at any rate."""


class RollingImage:
    """The image of the last `clip_seconds` of a signal; until so much was heard, of all of it."""

    def __init__(self, config: FeatureConfig = DEFAULT) -> None:
        self._config = config
        self._edge = -(-config.window_size // (2 * config.hop_size))  # frames that reach beyond an edge of the window
        self._piece = config.clip_samples // 4
        reach = self._edge * config.hop_size
        self._samples = _Tape(config.clip_samples + reach + self._piece)
        self._levels = _Tape(config.frames + self._edge, config.mel_bands)  # natural logarithm of `mel_power`
        self._settled = 0  # frames that no sample to come will change

    @property
    def heard(self) -> int:
        """Samples pushed so far."""
        return self._samples.end

    def push(self, samples: Waveform) -> None:
        """Hear more: mono float32 at `config.sample_rate`, shape (samples,), any number of them.

        Costs next to nothing until a second is waiting to be transformed; `image` transforms the rest.
        """
        for start in range(0, len(samples), self._piece):
            self._samples.append(samples[start : start + self._piece])
            if self.heard - self._settled * self._config.hop_size > self._piece:
                self._listen(self._bounds()[1], self._samples[0:0])

    def window(self) -> Waveform:
        """The samples that `image` shows, at most `clip_samples`: the last ones but for less than a hop."""
        start, end = self._bounds()
        return self._samples[start:end].copy()

    def image(self) -> Image:
        """Equal to `features.log_mel_image(self.window())` within 1e-5: float32, (mel_bands, columns)."""
        config, (start, end) = self._config, self._bounds()
        # Once the window moves, its first frames are not those of the signal: the definition hears silence before it.
        reached = self._samples[start : start + 2 * self._edge * config.hop_size] if start else self._samples[0:0]
        left = self._listen(end, reached)[: self._edge]
        first = start // config.hop_size
        levels = self._levels[first + len(left) : min(self._levels.end, first + config.frames)]
        levels = np.concatenate([left, levels])
        peak = levels.max(initial=-np.inf)
        if peak < np.log(features.SILENCE_POWER):
            return np.zeros((config.mel_bands, config.columns), np.float32)
        return features.image_of_levels(levels - peak, config)

    def _bounds(self) -> tuple[int, int]:
        """Of the window, in samples; once it moves, its start stays on the grid of the frames."""
        hop, size = self._config.hop_size, self._config.clip_samples
        start = max(0, self.heard - size) // hop * hop
        return start, min(self.heard, start + size)

    def _listen(self, end: int, left: Waveform) -> Rows:
        """Transform what was heard until `end` and is not settled; the last frames stay provisional.

        The levels of `left`, a number of whole hops, are returned: frames are transformed by the block, and two
        calls would cost a block more.
        """
        hop, half = self._config.hop_size, self._config.window_size // 2
        first = max(0, self._settled - self._edge)  # where the samples begin that the next frame reaches
        levels = _levels(np.concatenate([left, self._samples[first * hop : end]]), self._config)
        self._levels.write(self._settled, levels[len(left) // hop + self._settled - first :])
        self._settled = max(self._settled, (end - half) // hop + 1)
        return levels[: len(left) // hop]


def _levels(samples: Waveform, config: FeatureConfig) -> Rows:
    power = features.mel_power(samples, config)
    return np.log(np.maximum(power, np.finfo(np.float32).tiny, out=power), out=power)


class LiveResampler:
    """A signal at another rate as it comes: what resampling it whole gives within 1e-6, but for the last 15 ms.

    soxr's own stream holds back what its blocks happen to need, from 8 to 109 ms of an 8 kHz signal, from call to call
    another number of samples: what is heard at a time would depend on the rate.
    """

    def __init__(self, rate: int, to: int) -> None:
        """Args: both in Hz."""
        import soxr

        both = gcd(rate, to)
        self._resample = soxr.resample
        self._rate, self._to = rate, to
        self._step, self._made = rate // both, to // both  # samples in which the grids of the two rates meet
        self._reach = round(REACH_SECONDS * to)
        self._held = np.zeros(0, np.float32)  # what samples to come still depend on; it begins where the grids meet
        self._given = 0  # samples given since there

    def push(self, samples: Waveform) -> Waveform:
        """Hear more: mono float32, shape (samples,), any number; what is certain by now, at the other rate."""
        self._held = np.concatenate([self._held, samples])
        certain = len(self._held) * self._to // self._rate - self._reach
        if certain <= self._given:
            return np.zeros(0, np.float32)
        given: Waveform = self._resample(self._held, self._rate, self._to)[self._given : certain]
        past = max(0, certain - self._reach) // self._made  # meetings that lie further back than the filter reaches
        self._held = self._held[past * self._step :]
        self._given = certain - past * self._made
        return given


class _Tape:
    """Rows under their absolute index, of which the last `keep` can be read; what is older is overwritten."""

    def __init__(self, keep: int, *shape: int) -> None:
        # Twice the room, so that rows are contiguous and moved only once in `keep`.
        self._rows = np.zeros((2 * keep, *shape), np.float32)
        self._keep, self._first, self.end = keep, 0, 0

    def __getitem__(self, span: slice) -> Rows:
        return self._rows[span.start - self._first : span.stop - self._first]

    def append(self, rows: Rows) -> None:
        """Rows after the last."""
        self.write(self.end, rows)

    def write(self, at: int, rows: Rows) -> None:
        """At most `keep` rows from index `at` on; they are the last from now on."""
        end = at + len(rows)
        if end - self._first > len(self._rows):
            kept = self[at - self._keep + len(rows) : at]
            self._first = at - len(kept)
            self._rows[: len(kept)] = kept
        self._rows[at - self._first : end - self._first] = rows
        self.end = end
