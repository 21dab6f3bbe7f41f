"""A teacher from outside: any frozen encoder of speech, or functionals, in the place of the recipe's own teacher.

    recipe + encoder --taught_by--> a recipe without the stages that trained a teacher
    clip, copy -> waveform -> a vector, cached by content -> standardised -> what is matched

The vector is the mean over time of an encoder's hidden states, or openSMILE's functionals, which nobody trained.

The encoder hears every copy of a clip as it sounds, and of it what the student sees: its first `clip_seconds`. The
student's feature goes through a linear map onto the encoder's width (`models/projected.py`), which is learned with it
and is no part of the artefact. Encoders differ in the scale of their features, and a few dimensions are far larger
than all others; so every dimension is standardised over the training part, as the baseline `probe` does it.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from feltone import audio
from feltone.errors import ConfigError
from feltone.features import FeatureConfig
from feltone.files import in_a_name
from feltone.lab import baselines, dataset
from feltone.lab import cache as caching
from feltone.lab.augment import COPIES
from feltone.lab.baselines import SAMPLE_RATE, Hearing
from feltone.lab.corpora.clip import Clip
from feltone.lab.dataset import Progress
from feltone.lab.protocols import Sample
from feltone.lab.training.stages import OUTSIDE, Stage

if TYPE_CHECKING:
    from feltone.lab.recipes import Recipe

ENCODER, FUNCTIONALS = "hf:", "smile:"  # prefixes of a teacher's name
SHORTEST_SECONDS = 0.1  # encoders' convolutions need some sound; shorter clips are filled with silence


def teacher_named(teacher: str, layer: int | None, accelerator: str = "cpu") -> Hearing:
    """The teacher that a user asks for.

    Args:
        teacher: `hf:NAME`, an encoder on the Hugging Face hub, `hf:FOLDER`, one that `save_pretrained` wrote, or
            `smile:SET`, a set of openSMILE's functionals.
        layer: whose hidden states are averaged; None for the encoder's own last output. Functionals have none.
        accelerator: where an encoder computes.

    Raises:
        ConfigError: another prefix, no such encoder, layer or set, or an encoder that does not take our clips.
        MissingExtraError: transformers or openSMILE is not installed.
    """
    if teacher.startswith(FUNCTIONALS):
        if layer is not None:
            raise ConfigError(f"layer {layer}: {teacher} has no layers; leave it out")
        return baselines.functionals(teacher.removeprefix(FUNCTIONALS))
    if not teacher.startswith(ENCODER):
        known = "hf:NAME or hf:FOLDER, for instance hf:microsoft/wavlm-base-plus, or smile:ComParE_2016"
        raise ConfigError(f"teacher '{teacher}': write {known}")
    from feltone.lab.probe import encoder

    return encoder(teacher.removeprefix(ENCODER), layer, accelerator)


def taught_by(recipe: "Recipe", hearing: Hearing) -> "Recipe":
    """The recipe with an encoder for a teacher; what trained its own, and learnt its answers, is left out.

    Raises:
        ConfigError: none of its stages has a teacher.
    """
    teachers = {stage.teacher for stage in recipe.stages} - {None}
    if not teachers:
        raise ConfigError(f"recipe '{recipe.name}': none of its stages has a teacher; choose one such as paper")
    taught = [stage for stage in recipe.stages if stage.name not in teachers]
    stages = tuple(_heard_by(stage) if stage.teacher else stage for stage in taught)
    name = f"{recipe.name}-{in_a_name(hearing.name.removeprefix('probe-'))}"
    return replace(recipe, name=name, stages=stages, outside=hearing)


def _heard_by(stage: Stage) -> Stage:
    """A stage taught by an encoder, which has features and no answers."""
    losses = {name: weight for name, weight in stage.losses.items() if name != "teacher_cross_entropy"}
    return replace(stage, teacher=OUTSIDE, losses=losses)


def features_of(
    samples: Sequence[Sample],
    hearing: Hearing,
    config: FeatureConfig,
    seed: int,
    cache: Path,
    progress: Progress = lambda done, total: None,
) -> NDArray[np.float32]:
    """What an encoder hears in every sample: (samples, width), of mean 0 and variance 1 over them.

    Args:
        samples: the training part; their order is kept.
        hearing: the encoder.
        config: the student's front end, whose window is heard.
        seed: of the perturbations.
        cache: folder of cached vectors.
        progress: told after every clip.

    Raises:
        ConfigError: the front end has another sampling rate than the encoder.
    """
    if config.sample_rate != SAMPLE_RATE:
        rates = f"the student hears {config.sample_rate} samples a second, encoders {SAMPLE_RATE}"
        raise ConfigError(f"teacher {hearing.name}: {rates}; choose a recipe of {SAMPLE_RATE} Hz")
    clips, copies = dict.fromkeys(sample.clip for sample in samples), tuple(COPIES)
    heard = {}
    for done, clip in enumerate(clips, start=1):
        heard[clip] = copies_of(clip, hearing, config, seed, cache)
        progress(done, len(clips))
    found = np.stack([heard[sample.clip][copies.index(sample.copy)] for sample in samples]).astype(np.float64)
    spread = found.std(0)
    return np.asarray((found - found.mean(0)) / np.where(spread > 0, spread, 1), np.float32)


def copies_of(clip: Clip, hearing: Hearing, config: FeatureConfig, seed: int, cache: Path) -> NDArray[np.float32]:
    """Vectors of the four copies of a clip, (copies, width), in the order of `COPIES`; from the cache or made now."""
    window = [config.sample_rate, config.clip_samples]
    made_from = [dataset.CACHE_VERSION, hearing.settings, clip.start, clip.end, window, list(COPIES), seed, clip.key]

    def vectors() -> NDArray[np.float32]:
        waveform = audio.load(clip.path, config.sample_rate, start=clip.start, end=clip.end)
        sounds = [dataset.waveform_of_copy(waveform, clip, copy, config, seed) for copy in COPIES]
        return np.stack([hearing.vector(_window(sound, config)) for sound in sounds])

    return caching.kept(caching.file_of(cache / "teachers", made_from, clip.path.read_bytes()), vectors)


def _window(sound: NDArray[np.float32], config: FeatureConfig) -> NDArray[np.float32]:
    seen = sound[: config.clip_samples]
    return np.pad(seen, (0, max(0, round(SHORTEST_SECONDS * SAMPLE_RATE) - len(seen))))
