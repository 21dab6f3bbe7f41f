"""The one definition of what a network sees: a log-Mel image of at most four seconds of speech.

    waveform -> power spectra (1,024-point transform, hop 64, Hamming window of 512, centred: 1,001 frames)
             -> 128 HTK mel bands, 0-8 kHz -> dB below the clip's maximum, floor -80 -> [0, 1]
             -> 1,001 frames averaged by area to 128 columns

Kim & Lee (IEEE Access 2024) give the transform, the mel formula and the size of the image; reference, floor, band
normalisation (none, as in HTK) and the reduction to 128 columns are decided here (SPEC §1). Training, recognition
and the service all call `log_mel_image`; nothing else computes features.
"""

from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feltone.errors import ConfigError

Waveform = NDArray[np.float32]  # samples, full scale at +-1
Image = NDArray[np.float32]  # mel bands (low to high) x time columns, values in [0, 1]

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
        return cls(**values)


DEFAULT = FeatureConfig()


def cut_or_pad(waveform: Waveform, samples: int) -> Waveform:
    """The first `samples` of a waveform, followed by zeros where it is shorter."""
    clip = np.zeros(samples, np.float32)
    kept = min(len(waveform), samples)
    clip[:kept] = waveform[:kept]
    return clip


def log_mel_image(waveform: Waveform, config: FeatureConfig = DEFAULT) -> Image:
    """Image of the first `clip_seconds` of a mono waveform at `config.sample_rate`.

    Args:
        waveform: float32, shape (samples,), any length; its level does not matter, only levels within the clip do.
        config: the front end.

    Returns:
        float32, shape (mel_bands, columns); 1 is the clip's strongest band, 0 is `floor_db` below it or less.
        Digital silence gives all zeros.
    """
    mel = mel_power(cut_or_pad(waveform, config.clip_samples), config)
    peak = mel.max()
    if peak < SILENCE_POWER:
        return np.zeros((config.mel_bands, config.columns), np.float32)
    decibels = 10 * np.log10(np.maximum(mel / peak, np.float32(10 ** (config.floor_db / 10))))
    relative = np.clip(1 - decibels / np.float32(config.floor_db), 0, 1)
    return np.ascontiguousarray(area_matrix(config.frames, config.columns) @ relative).T.copy()


def mel_power(clip: Waveform, config: FeatureConfig = DEFAULT) -> NDArray[np.float32]:
    """Mel power spectra of a clip of exactly `clip_samples`: float32, shape (frames, mel_bands)."""
    import scipy.fft  # imported late: it costs more than the rest of the core together

    # Only the window's own samples are framed; the zeros that fill the transform need not be read, and where
    # the window sits inside the transform changes the phase alone.
    padded = np.pad(clip, config.window_size // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, config.window_size)[:: config.hop_size]
    spectra = scipy.fft.rfft(frames * hamming(config.window_size), config.fft_size)
    power = spectra.real**2 + spectra.imag**2
    return np.asarray(power @ mel_matrix(config), np.float32)


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


@cache
def area_matrix(frames: int, columns: int) -> NDArray[np.float32]:
    """Averaging of `frames` into `columns` of equal width: (columns, frames), rows sum to 1.

    A frame that straddles two columns counts for each in proportion to its overlap.
    """
    width = frames / columns
    starts = np.arange(columns)[:, None] * width
    overlap = np.minimum(starts + width, np.arange(1, frames + 1)) - np.maximum(starts, np.arange(frames))
    return np.asarray(np.maximum(0, overlap) / width, np.float32)
