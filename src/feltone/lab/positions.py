"""What a network's tokens know of their position: similarity between positions, and a probe that reads it.

Kim & Lee show the cosine similarity between the position tokens of the student before and after matching, as the sign
that position has been transferred. A student has no position tokens, so decided here: the tokens that the last block
reads, averaged over clips (which leaves what positions have in common), less the mean of all positions.

That picture alone does not tell position from content: recordings begin alike and end in silence. A student without
positions treats its patches as a set, so all that it can know of a token's place follows from what the patches hold.
Hence the probe: ridge regression from a token of the recording to its distance from the recording's middle (so that to
know how long a clip is helps nothing), judged on other clips, once on clips as they are and once with their columns in
random order, where only a network that really knows positions can succeed.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from torch import Tensor, nn

from feltone import audio
from feltone.errors import ConfigError
from feltone.lab import dataset
from feltone.lab.corpora.clip import Clip
from feltone.lab.protocols import Sample
from feltone.lab.trained import Trained
from feltone.labels import LabelSet

Floats = NDArray[np.float64]

DECIMALS = 4
PENALTY = 1000.0  # of the ridge, on tokens of unit variance: some ten clips worth of them, against learning by heart
SHUFFLE_SEED = 0


def similarity(tokens: NDArray[np.floating]) -> Floats:
    """Cosine similarity between positions, (T, T): of tokens (clips, T, D) averaged over clips, less their mean.

    >>> similarity(np.array([[[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]]])).round(1).tolist()
    [[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    mean = np.asarray(tokens, np.float64).mean(0)
    centred = mean - mean.mean(0)
    norm = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = np.divide(centred, norm, out=np.zeros_like(centred), where=norm > 1e-12)
    return np.asarray(unit @ unit.T)


def tokens_of(trained: Trained, images: NDArray[np.floating]) -> NDArray[np.float32]:
    """The tokens that the last block reads, without the class token: (n, T, D)."""
    read: list[NDArray[np.float32]] = []

    def keep(block: nn.Module, arguments: tuple[Tensor, ...]) -> None:  # noqa: ARG001
        read.append(arguments[0][:, 1:].float().numpy())

    hook = trained.vit.blocks[-1].register_forward_pre_hook(keep)
    try:
        for _ in trained.outputs(images):
            pass
    finally:
        hook.remove()
    return np.concatenate(read)


def probe(tokens: NDArray[np.floating], lengths: Sequence[int]) -> float:
    """R² of reading a token's place in its recording from it, learnt on every other clip and judged on the rest.

    Args:
        tokens: (clips, T, D).
        lengths: columns of each clip's recording; tokens of the padding after it are left out.
    """
    halves = []
    for start in (0, 1):
        chosen = range(start, len(tokens), 2)
        columns = np.concatenate([np.arange(lengths[k]) - (lengths[k] - 1) / 2 for k in chosen])
        halves.append((np.concatenate([tokens[k, : lengths[k]] for k in chosen]), columns))
    (x, y), (x_judged, y_judged) = halves
    mean, deviation = x.mean(0), x.std(0) + 1e-6
    model = Ridge(alpha=PENALTY).fit((x - mean) / deviation, y)
    return float(model.score((x_judged - mean) / deviation, y_judged))


def study(trained: Trained, clips: Sequence[Clip], cache: Path) -> tuple[Floats, dict[str, Any]]:
    """Similarity between a network's positions over clips, (T, T); and what a probe reads, as plain values.

    Raises:
        ConfigError: its patches are not single columns, or there are fewer than four clips.
    """
    config = trained.vit.config
    if config.patch[1] != 1 or config.patches[0] != 1:
        raise ConfigError(f"'{trained.variant}' has patches of {config.patch}; positions are studied on 128 x 1")
    if len(clips) < 4:
        raise ConfigError(f"{len(clips)} clips are too few to learn a probe on and judge it; give four or more")
    labels = LabelSet.of(clip.label for clip in clips)  # not looked at; another corpus may have others
    images = dataset.load([Sample(clip) for clip in clips], labels, trained.features, trained.seed, cache).images
    lengths = [_columns(clip, trained) for clip in clips]
    tokens = tokens_of(trained, images)
    shuffled = tokens_of(trained, _shuffled(images, lengths))
    told = {
        "recipe": trained.recipe,
        "stage": trained.stage,
        "variant": trained.variant,
        "corpus": "+".join(sorted({clip.corpus for clip in clips})),
        "clips": len(clips),
        "r2": round(probe(tokens, lengths), DECIMALS),
        "r2_shuffled": round(probe(shuffled, lengths), DECIMALS),
    }
    return similarity(tokens), told


def _columns(clip: Clip, trained: Trained) -> int:
    """Columns of the image that hold the recording."""
    config = trained.features
    samples = len(audio.load(clip.path, config.sample_rate, start=clip.start, end=clip.end))
    return max(1, min(config.columns, config.columns * samples // config.clip_samples))


def _shuffled(images: NDArray[np.float16], lengths: Sequence[int]) -> NDArray[np.float16]:
    """Every image with the columns of its recording in an order of its own."""
    rng, out = np.random.default_rng(SHUFFLE_SEED), images.copy()
    for image, length in zip(out, lengths, strict=True):
        image[:, :length] = image[:, rng.permutation(length)]
    return out
