"""The paper's three perturbations of a recording: noise, time shift, speed (SPEC §2; the ranges are decided here).

Each is a function of a waveform, a random generator and a strength: 0 is the identity, 1 the full range. `COPIES`
names the four versions of every clip that training sees.
"""

from collections.abc import Callable, Mapping

import numpy as np
import soxr
from numpy.typing import NDArray

from feltone.features import Waveform

SNR_DB = (10.0, 25.0)  # of white noise against the recording's own mean power
SPEED = (0.9, 1.1)  # tempo and pitch together, as of a tape; the usual range (Ko et al., Interspeech 2015)

Perturbation = Callable[[Waveform, np.random.Generator, int, float], Waveform]
"""(waveform, generator, samples of the analysed window, strength) -> waveform."""


def original(waveform: Waveform, rng: np.random.Generator, window: int, strength: float = 1.0) -> Waveform:  # noqa: ARG001
    """The recording as it is."""
    return waveform


def noise(waveform: Waveform, rng: np.random.Generator, window: int, strength: float = 1.0) -> Waveform:  # noqa: ARG001
    """White noise over the recording (not over the padding after it), its amplitude scaled by `strength`."""
    return white_noise(waveform, rng, rng.uniform(*SNR_DB), strength)


def white_noise(waveform: Waveform, rng: np.random.Generator, snr_db: float, strength: float = 1.0) -> Waveform:
    """White noise over a recording at a ratio in decibels, as `mixed` has it."""
    return mixed(waveform, rng.standard_normal(len(waveform)), snr_db, strength)


def mixed(waveform: Waveform, disturbance: NDArray[np.float64], snr_db: float, strength: float = 1.0) -> Waveform:
    """A recording with something else in it.

    Args:
        waveform: the recording.
        disturbance: of the same length, with a mean power of 1.
        snr_db: mean power of the recording over that of the disturbance, in decibels, at strength 1.
        strength: scales the disturbance's amplitude.
    """
    power = float(np.mean(np.square(waveform, dtype=np.float64)))
    amplitude = strength * np.sqrt(power / 10 ** (snr_db / 10))
    return np.asarray(waveform + amplitude * disturbance, np.float32)


def shift(waveform: Waveform, rng: np.random.Generator, window: int, strength: float = 1.0) -> Waveform:
    """The utterance elsewhere in the window: later where it is shorter, a later cut where it is longer."""
    delay = drawn_delay(rng, len(waveform), window, strength)
    return waveform[-delay:] if delay < 0 else np.concatenate([np.zeros(delay, np.float32), waveform])


def drawn_delay(rng: np.random.Generator, samples: int, window: int, strength: float = 1.0) -> int:
    """By how many samples `shift` delays a recording of that length; negative where it cuts off its beginning."""
    offset = round(strength * rng.uniform() * abs(window - samples))
    return -offset if samples > window else offset


def speed(waveform: Waveform, rng: np.random.Generator, window: int, strength: float = 1.0) -> Waveform:  # noqa: ARG001
    """Played faster or slower by resampling; a factor above 1 shortens the recording."""
    factor = drawn_factor(rng, strength)
    return waveform if factor == 1 else np.asarray(soxr.resample(waveform, factor, 1.0), np.float32)


def drawn_factor(rng: np.random.Generator, strength: float = 1.0) -> float:
    """How many times faster `speed` plays."""
    return float(1 + strength * (rng.uniform(*SPEED) - 1))


COPIES: Mapping[str, Perturbation] = {"original": original, "noise": noise, "shift": shift, "speed": speed}
"""The fourfold corpus of the paper: name of the copy -> perturbation."""
