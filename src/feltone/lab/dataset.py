"""Images of samples, computed once, cached by content, held in memory.

One cache file holds the four copies of one clip (float16: a spacing of at most 0.02 dB), named by a digest of
everything it depends on: the recording's bytes, the segment, the front end, the perturbations and their seed. So folds,
protocols and corpora share it (`cache.py`).
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from feltone import audio, features
from feltone.features import FeatureConfig
from feltone.lab import cache as caching
from feltone.lab.augment import COPIES
from feltone.lab.corpora.clip import Clip
from feltone.lab.protocols import Sample
from feltone.labels import LabelSet

CACHE_VERSION = 2  # raise it when the perturbations or the reading of audio change what they compute

Progress = Callable[[int, int], None]
"""Told (done, of how many)."""


@dataclass(frozen=True)
class Dataset:
    """Images and class numbers of some samples, in their order."""

    samples: tuple[Sample, ...]
    labels: LabelSet
    images: NDArray[np.float16]  # (samples, mel bands, columns)
    targets: NDArray[np.int64]  # (samples,)


def cache_folder() -> Path:
    """`FELTONE_CACHE`, or the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "feltone"
    return Path(os.environ.get("FELTONE_CACHE", default))


def load(
    samples: Sequence[Sample],
    labels: LabelSet,
    config: FeatureConfig,
    seed: int,
    cache: Path,
    progress: Progress = lambda done, total: None,
) -> Dataset:
    """Images of samples, from the cache or computed now; what is held in memory is the result and one clip.

    Args:
        samples: what to load; their order is kept.
        labels: class numbers; a sample's label must be one of them.
        config: the front end.
        seed: of the perturbations.
        cache: folder of cached images, made when missing.
        progress: told after every clip.
    """
    features.load_fast_transform()
    rows: dict[Clip, list[int]] = {}
    for row, sample in enumerate(samples):
        rows.setdefault(sample.clip, []).append(row)
    copies = tuple(COPIES)
    images = np.empty((len(samples), config.mel_bands, config.columns), np.float16)
    for done, (clip, wanted) in enumerate(rows.items(), start=1):
        _fill(images, {row: copies.index(samples[row].copy) for row in wanted}, copies_of(clip, config, seed, cache))
        progress(done, len(rows))
    targets = np.array([labels.index(sample.clip.label) for sample in samples], np.int64)
    return Dataset(tuple(samples), labels, images, targets)


def _fill(images: NDArray[np.float16], sources: dict[int, int], stack: NDArray[np.float16]) -> None:
    """Copy images of one clip to their rows. A function, so that no clip outlives its turn."""
    for row, source in sources.items():
        images[row] = stack[source]


def copies_of(clip: Clip, config: FeatureConfig, seed: int, cache: Path) -> NDArray[np.float16]:
    """Images of the four copies of a clip: float16, (copies, mel bands, columns), in the order of `COPIES`."""
    made_from = [CACHE_VERSION, clip.start, clip.end, config.to_dict(), list(COPIES), seed, clip.key]

    def compute() -> NDArray[np.float16]:
        waveform = audio.load(clip.path, config.sample_rate, start=clip.start, end=clip.end)
        return np.stack([image_of_copy(waveform, clip, copy, config, seed) for copy in COPIES]).astype(np.float16)

    return caching.kept(caching.file_of(cache / "images", made_from, clip.path.read_bytes()), compute)


def image_of_copy(
    waveform: features.Waveform, clip: Clip, copy: str, config: FeatureConfig, seed: int
) -> features.Image:
    """Image of one version of a clip."""
    return features.log_mel_image(waveform_of_copy(waveform, clip, copy, config, seed), config)


def waveform_of_copy(
    waveform: features.Waveform, clip: Clip, copy: str, config: FeatureConfig, seed: int
) -> features.Waveform:
    """One version of a clip as it sounds."""
    return COPIES[copy](waveform, generator_of(clip, copy, seed), config.clip_samples, 1.0)


def generator_of(clip: Clip, copy: str, seed: int) -> np.random.Generator:
    """The randomness of one version of a clip: it depends on clip, copy and seed alone."""
    entropy = int.from_bytes(hashlib.sha256(f"{clip.key} {copy}".encode()).digest()[:8])
    return np.random.default_rng([seed, entropy])
