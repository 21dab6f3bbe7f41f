"""The one definition of what a network sees: a log-Mel image of at most four seconds of speech.

    waveform -> power spectra (1,024-point transform, hop 64, Hamming window of 512, centred: 1,001 frames)
             -> 128 HTK mel bands, 0-8 kHz -> dB below the clip's maximum, floor -80 -> [0, 1]
             -> 1,001 frames averaged by area to 128 columns

Kim & Lee (IEEE Access 2024) give the transform, the mel formula and the size of the image; reference, floor, band
normalisation (none, as in HTK) and the reduction to 128 columns are decided here (SPEC §1). Training, recognition
and the service all call `log_mel_image`; nothing else computes features.
"""

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feltone import limits
from feltone.errors import ConfigError

Waveform = NDArray[np.float32]  # samples, full scale at +-1
Spectra = NDArray[np.complex64]  # frames x bins
Image = NDArray[np.float32]  # mel bands (low to high) x time columns, values in [0, 1]

FRAMES_AT_ONCE = 128  # transformed together: they fit a core's own cache, and calls are long enough for threads
BANDS_AT_ONCE = 16  # a triangle reaches few bins, a column few frames: most of both matrices is zero
COLUMNS_AT_ONCE = 16
SILENCE_POWER = 1e-18  # a clip whose strongest mel band is below this is digital silence: its image is black


@dataclass(frozen=True)
class FeatureConfig:
    """Front end of a model; stored in its artefact, so that recognition repeats what training saw."""

    sample_rate: int = 16_000  # Hz
    clip_seconds: float = 4.0  # longer is cut, shorter is zero-padded at the end
    fft_size: int = 1_024  # points of the transform
    window_size: int = 512  # samples of the Hamming window, centred in the transform
    hop_size: int = 64  # samples between frames
    mel_bands: int = 128
    min_hz: float = 0.0
    max_hz: float = 8_000.0
    floor_db: float = -80.0  # relative to the clip's maximum
    columns: int = 128  # of the image, along time

    def __post_init__(self) -> None:
        counts = ("sample_rate", "fft_size", "window_size", "hop_size", "mel_bands", "columns")
        wrong = [name for name in counts if getattr(self, name) < 1]
        if wrong or self.clip_seconds <= 0 or self.window_size % 2:
            raise ConfigError(
                f"{', '.join(wrong) or 'clip_seconds or window_size'}: sizes are positive, a window is even"
            )
        if self.window_size > self.fft_size:
            raise ConfigError(f"window_size {self.window_size} exceeds fft_size {self.fft_size}")
        if not 0 <= self.min_hz < self.max_hz <= self.sample_rate / 2:
            raise ConfigError(f"mel range {self.min_hz}-{self.max_hz} Hz must lie within 0-{self.sample_rate / 2}")
        if self.floor_db >= 0 or self.columns > self.frames:
            raise ConfigError(f"floor_db must be negative and columns at most {self.frames}")
        largest = max(
            self.clip_samples, self.fft_size * self.mel_bands, self.frames * max(self.mel_bands, self.columns)
        )
        if largest > limits.IMAGE_VALUES:
            raise ConfigError(f"a front end of {largest} values is too large ({limits.IMAGE_VALUES} at most)")

    @property
    def clip_samples(self) -> int:
        """Length of the analysed window in samples (64,000)."""
        return round(self.clip_seconds * self.sample_rate)

    @property
    def frames(self) -> int:
        """Spectra per clip (1,001)."""
        return 1 + self.clip_samples // self.hop_size

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "FeatureConfig":
        """Inverse of `to_dict`; unknown names raise `ConfigError` naming the valid ones."""
        unknown = set(values) - set(cls.__dataclass_fields__)
        if unknown:
            raise ConfigError(
                f"unknown feature setting {sorted(unknown)}; known: {', '.join(cls.__dataclass_fields__)}"
            )
        for name, value in values.items():
            whole = isinstance(cls.__dataclass_fields__[name].default, int)
            if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
                raise ConfigError(f"feature setting {name} {value!r}: give a {'whole ' if whole else ''}number")
            if not abs(value) <= limits.IMAGE_VALUES:  # so written, NaN fails as well
                raise ConfigError(f"feature setting {name} {value}: no front end is so large")
        return cls(**values)


DEFAULT = FeatureConfig()


def log_mel_image(waveform: Waveform, config: FeatureConfig = DEFAULT) -> Image:
    """Image of the first `clip_seconds` of a mono waveform at `config.sample_rate`.

    Args:
        waveform: float32, shape (samples,), any length; its level does not matter, only levels within the clip do.
        config: the front end.

    Returns:
        float32, shape (mel_bands, columns); 1 is the clip's strongest band, 0 is `floor_db` below it or less.
        Digital silence gives all zeros.
    """
    mel = mel_power(waveform, config)
    peak = mel.max(initial=0)
    if peak < SILENCE_POWER:
        return np.zeros((config.mel_bands, config.columns), np.float32)
    mel /= peak
    np.maximum(mel, _floor(config), out=mel)
    return image_of_levels(np.log(mel, out=mel), config)  # the natural logarithm is NumPy's fastest


def image_of_levels(levels: NDArray[np.float32], config: FeatureConfig = DEFAULT) -> Image:
    """Image of the frames a recording reaches.

    Args:
        levels: natural logarithm of their mel power relative to the clip's peak, shape (frames, mel_bands).
        config: the front end.
    """
    floor = np.log(_floor(config))
    image = np.zeros((config.mel_bands, config.columns), np.float32)
    frames = np.zeros((config.frames, config.mel_bands), np.float32)  # 0 at the floor, 1 at the peak
    reached = frames[: len(levels)]
    np.maximum(levels, floor, out=reached)
    reached /= -floor  # divided, so that the floor itself becomes exactly -1, and silence exactly black
    reached += 1
    for rows, columns, weights in area_blocks(config):
        if rows.start < len(levels):
            image[:, columns] = frames[rows].T @ weights
    return np.clip(image, 0, 1, out=image)


def _floor(config: FeatureConfig) -> np.float32:
    """Power of the floor relative to the peak."""
    return np.float32(10 ** (config.floor_db / 10))


def mel_power(waveform: Waveform, config: FeatureConfig = DEFAULT) -> NDArray[np.float32]:
    """Mel power spectra of the first `clip_seconds`: float32, shape (frames the recording reaches, mel_bands).

    The padding after a short recording needs no transform: the frames that are not returned are zero.
    """
    window, hop = config.window_size, config.hop_size
    samples = min(len(waveform), config.clip_samples)
    count = min(config.frames, -(-(samples + window // 2) // hop)) if samples else 0
    # Only the window's own samples are framed; the zeros that fill the transform need not be read, and where
    # the window sits inside the transform changes the phase alone.
    padded = np.zeros(samples + 2 * window, np.float32)
    padded[window // 2 : window // 2 + samples] = waveform[:samples]
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop][:count]
    shape, blocks, transform = hamming(window), mel_blocks(config), real_transform()
    # Made once: memory fresh from the system costs more than what is computed in it.
    scratch = np.zeros((FRAMES_AT_ONCE, config.fft_size), np.float32)
    spectra = np.empty((FRAMES_AT_ONCE, config.fft_size // 2 + 1), np.complex64)
    power, imaginary = np.empty((2, *spectra.shape), np.float32)
    mel = np.empty((-(-count // FRAMES_AT_ONCE) * FRAMES_AT_ONCE, config.mel_bands), np.float32)
    for start in range(0, count, FRAMES_AT_ONCE):
        some = frames[start : start + FRAMES_AT_ONCE]
        np.multiply(some, shape, out=scratch[: len(some), :window])
        # Always a whole block, what is left in it from before included: the rounding of a product depends on its size.
        spectra = transform(scratch, spectra)
        np.square(spectra.real, out=power)
        power += np.square(spectra.imag, out=imaginary)
        for bins, bands, weights in blocks:
            np.matmul(power[:, bins], weights, out=mel[start : start + FRAMES_AT_ONCE, bands])
    return mel[:count]


def load_fast_transform() -> None:
    """Have scipy compute the transforms of this process where it is installed; call it before the first image.

    Its transform takes four frames at once and a quarter of NumPy's time, but to load it takes as long as a hundred
    clips gain: whoever recognises a few does without. The two differ by rounding, which is why one process uses one.
    """
    with suppress(ModuleNotFoundError):
        import scipy.fft  # noqa: F401


@cache
def real_transform() -> Callable[[NDArray[np.float32], Spectra], Spectra]:
    """(rows, spectra to write into) -> spectra; by scipy, which makes new ones, where it is loaded by now."""
    library = sys.modules.get("scipy.fft")
    if library:
        return lambda rows, out: library.rfft(rows)
    return lambda rows, out: np.fft.rfft(rows, out=out)  # type: ignore[arg-type, return-value]  # typed for float64


@cache
def hamming(size: int) -> NDArray[np.float32]:
    """Periodic Hamming window."""
    return (0.54 - 0.46 * np.cos(2 * np.pi * np.arange(size) / size)).astype(np.float32)


def hz_to_mel(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mel(f) = 2595 log10(1 + f/700), the HTK form (the paper's equation 2)."""
    return np.asarray(2595 * np.log10(1 + hertz / 700))


def mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse of `hz_to_mel`."""
    return np.asarray(700 * (10 ** (mel / 2595) - 1))


@cache
def mel_matrix(config: FeatureConfig) -> NDArray[np.float32]:
    """Triangular mel filters with peak 1, as a matrix (fft_size/2 + 1, mel_bands)."""
    limits = hz_to_mel(np.array([config.min_hz, config.max_hz]))
    edges = mel_to_hz(np.linspace(limits[0], limits[1], config.mel_bands + 2))
    bins = np.arange(config.fft_size // 2 + 1)[:, None] * config.sample_rate / config.fft_size
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.asarray(np.maximum(0, np.minimum(rising, falling)), np.float32)


Block = tuple[slice, slice, NDArray[np.float32]]
"""Rows, columns and values of a dense part of a matrix that is zero elsewhere."""


@cache
def mel_blocks(config: FeatureConfig) -> tuple[Block, ...]:
    """The non-zero parts of `mel_matrix`, `BANDS_AT_ONCE` bands each: (bins, bands, weights)."""
    matrix = mel_matrix(config)
    return tuple(_dense(matrix, slice(k, k + BANDS_AT_ONCE)) for k in range(0, config.mel_bands, BANDS_AT_ONCE))


@cache
def area_blocks(config: FeatureConfig) -> tuple[Block, ...]:
    """The non-zero parts of `area_matrix`, `COLUMNS_AT_ONCE` columns each: (frames, columns, weights)."""
    matrix = area_matrix(config.frames, config.columns)
    return tuple(_dense(matrix, slice(k, k + COLUMNS_AT_ONCE)) for k in range(0, config.columns, COLUMNS_AT_ONCE))


def _dense(matrix: NDArray[np.float32], columns: slice) -> Block:
    used = np.flatnonzero(matrix[:, columns].any(1))
    rows = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 0)
    return rows, columns, np.ascontiguousarray(matrix[rows, columns])


@cache
def area_matrix(frames: int, columns: int) -> NDArray[np.float32]:
    """Averaging of `frames` into `columns` of equal width: (frames, columns), columns sum to 1.

    A frame that straddles two columns counts for each in proportion to its overlap.
    """
    width = frames / columns
    starts, first = np.arange(columns) * width, np.arange(frames)[:, None]
    overlap = np.minimum(starts + width, first + 1) - np.maximum(starts, first)
    return np.asarray(np.maximum(0, overlap) / width, np.float32)
