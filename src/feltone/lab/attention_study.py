"""Does a network look at the same places of a clip when the clip is perturbed? (The claim of Kim & Lee's Figure 6.)

    clip -> its four versions -> class token's attention of each, smoothed (`feltone.attention`)
         -> every version's mask brought back onto the original's time -> correlation with the original's mask

A shifted clip is shifted back and a faster one stretched, both by what was really drawn, so that a network which looks
at the same sounds gets 1, wherever they went. Compared are the columns that hold the recording in both versions: in
silence there is nothing to agree on. What the shift moves the attention *into* is told by the share that padding gets.

Two masks of unlike clips correlate, too, because all utterances begin and end; so the original of another clip,
stretched onto this one, is measured beside the perturbations. Squares have eight columns where slices have 128, and
coarse curves agree more easily; hence every number also with so much smoothing that both are equally coarse.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feltone import attention, audio
from feltone.errors import ConfigError
from feltone.lab import dataset, metrics
from feltone.lab.augment import COPIES, drawn_delay, drawn_factor
from feltone.lab.corpora.clip import Clip
from feltone.lab.dataset import generator_of
from feltone.lab.predictions import DECIMALS
from feltone.lab.trained import Trained

Floats = NDArray[np.float64]

PERTURBED = tuple(name for name in COPIES if name != "original")
ANOTHER = "another clip"  # the control
SMOOTHINGS = {"fine": 2.0, "coarse": 8.0}  # columns: as the masks are drawn, and half a square patch
FEWEST_COLUMNS = 8  # of overlap; below it a correlation says nothing


@dataclass(frozen=True)
class Placed:
    """Where the original's time lies in a version: column c of the original is at `scale` * c + `offset`."""

    scale: float
    offset: float  # columns
    length: float  # columns that the version's recording takes, from column 0 of the image, padding before included
    start: float = 0.0  # column at which its recording begins


@dataclass(frozen=True, eq=False)
class Versions:
    """The four versions of a clip as the network sees them, and where the original's time lies in each."""

    clip: Clip
    images: NDArray[np.float16]  # (copies, mel, columns), in the order of `COPIES`
    placed: dict[str, Placed]


def versions(clip: Clip, trained: Trained, cache: Path) -> Versions:
    """A clip's four versions, perturbed as in the run's own training."""
    config, seed = trained.features, trained.seed
    samples = len(audio.load(clip.path, config.sample_rate, start=clip.start, end=clip.end))
    window = config.clip_samples
    columns = config.columns / window  # per sample
    delay = drawn_delay(generator_of(clip, "shift", seed), samples, window)
    factor = drawn_factor(generator_of(clip, "speed", seed))
    whole = Placed(1.0, 0.0, samples * columns)
    placed = {
        "original": whole,
        "noise": whole,
        "shift": Placed(1.0, delay * columns, (samples + delay) * columns, max(0, delay) * columns),
        "speed": Placed(1 / factor, 0.0, samples / factor * columns),
    }
    return Versions(clip, dataset.copies_of(clip, config, seed, cache), placed)


def looks(trained: Trained, seen: Versions) -> NDArray[np.float32]:
    """The class token's attention to every version: (copies, depth, heads, T)."""
    return np.concatenate([output.attention.float().numpy() for output in trained.outputs(seen.images)])


def masks(trained: Trained, attentions: NDArray[np.floating], smoothing: float) -> NDArray[np.float32]:
    """Masks of several versions on the image, (versions, mel, columns)."""
    config = trained.network.config
    return np.stack([attention.mask(one, config.patches, config.image, smoothing) for one in attentions])


def agreement(
    original: NDArray[np.floating], version: NDArray[np.floating], here: Placed, there: Placed
) -> float | None:
    """Pearson's correlation of two masks (mel, columns) over the recording, the version's brought back in time.

    Args:
        original: mask of the original.
        version: mask of another version.
        here: where the original's recording lies.
        there: where the original's time lies in the version.

    Returns:
        None where fewer than `FEWEST_COLUMNS` columns are left, or one of the masks is even.
    """
    width = original.shape[1]
    columns = np.arange(width)
    wanted = there.scale * columns + there.offset
    both = (
        (columns + 1 <= min(here.length, width))
        & (wanted >= there.start)
        & (wanted + there.scale <= min(there.length, width))
    )
    if both.sum() < FEWEST_COLUMNS:
        return None
    moved = np.stack([np.interp(wanted[both], columns, line) for line in version])
    pair = np.stack([original[:, both].ravel(), moved.ravel()]).astype(np.float64)
    pair -= pair.mean(1, keepdims=True)
    norm = np.sqrt((pair**2).sum(1)).prod()
    return float((pair[0] * pair[1]).sum() / norm) if norm > 1e-12 else None


def padding_share(mask: NDArray[np.floating], there: Placed) -> float | None:
    """Share of the attention that falls outside the recording, over the share of columns there: 1 is no preference.

    None where the recording fills the window.
    """
    columns = np.arange(mask.shape[1]) + 0.5
    outside = (columns < there.start) | (columns > there.length)
    if not outside.any() or outside.all():
        return None
    received = mask.sum(0)
    return float(received[outside].sum() / received.sum() / outside.mean())


def study(
    trained: Trained,
    clips: Sequence[Clip],
    cache: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """How well masks of perturbed clips agree with those of the originals, over a corpus; plain values.

    `agreement[smoothing][over][version]` is a mean over clips with its 95 % interval from resampled speakers; `over`
    is `time` (rows of patches averaged) or `image`. `padding[version]` is `padding_share`, likewise.
    """
    if len(clips) < 2:
        raise ConfigError("the study compares clips with each other: give two or more")
    found: dict[tuple[str, ...], list[float | None]] = {}
    previous: tuple[Versions, dict[str, NDArray[np.float32]]] | None = None
    # Once round: the first clip needs a predecessor to be compared with.
    for done, clip in enumerate([clips[-1], *clips]):
        seen = versions(clip, trained, cache)
        attentions = looks(trained, seen)
        drawn = {name: masks(trained, attentions, smoothing) for name, smoothing in SMOOTHINGS.items()}
        if previous is not None:
            for key, value in _measured(seen, drawn, *previous):
                found.setdefault(key, []).append(value)
            progress(done, len(clips))
        previous = seen, drawn
    people = [None if clip.speaker is None else f"{clip.corpus}/{clip.speaker}" for clip in clips]
    means = {key: _mean(values, people) for key, values in found.items()}
    return {
        "recipe": trained.recipe,
        "stage": trained.stage,
        "variant": trained.variant,
        "patch": list(trained.vit.config.patch),
        "protocol": trained.protocol,
        "fold": trained.fold,
        "seed": trained.seed,
        "corpus": "+".join(sorted({clip.corpus for clip in clips})),
        "clips": len(clips),
        "agreement": {
            name: {over: {v: means[name, over, v] for v in (*PERTURBED, ANOTHER)} for over in ("time", "image")}
            for name in SMOOTHINGS
        },
        "padding": {version: means["padding", version] for version in COPIES},
    }


def _measured(
    seen: Versions, drawn: dict[str, NDArray[np.float32]], other: Versions, of_other: dict[str, NDArray[np.float32]]
) -> Iterator[tuple[tuple[str, ...], float | None]]:
    """Everything one clip contributes: (what, value)."""
    here, there = seen.placed["original"], other.placed["original"]
    stretched = Placed(there.length / here.length, 0.0, there.length)
    for name, images in drawn.items():
        pairs = [(v, images[k], seen.placed[v]) for k, v in enumerate(COPIES) if v != "original"]
        pairs.append((ANOTHER, of_other[name][0], stretched))
        for version, mask, placed in pairs:
            yield (name, "image", version), agreement(images[0], mask, here, placed)
            ours, theirs = (one.mean(0, keepdims=True) for one in (images[0], mask))
            yield (name, "time", version), agreement(ours, theirs, here, placed)
    for k, version in enumerate(COPIES):
        yield ("padding", version), padding_share(drawn["fine"][k], seen.placed[version])


def _mean(values: Sequence[float | None], people: Sequence[str | None]) -> dict[str, Any]:
    """Mean over the clips that have a value, with the interval from resampled speakers."""
    known = [(value, person) for value, person in zip(values, people, strict=True) if value is not None]
    if not known:
        return {"mean": None, "ci95": None, "clips": 0}
    numbers = np.array([value for value, _ in known])
    interval = metrics.clustered_bootstrap(lambda w: w @ numbers / w.sum(1), [person for _, person in known])
    limits = [round(limit, DECIMALS) for limit in interval[:2]]
    return {"mean": round(float(numbers.mean()), DECIMALS), "ci95": limits, "clips": len(known)}
