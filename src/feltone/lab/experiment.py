"""From a recipe and a corpus to scored artefacts: what `feltone train` and `feltone evaluate` do.

RUN/seed-0/fold-1/             the run of one fold (`training/run.py`)
RUN/seed-0/fold-1/<stage>/     artefact of a network worth keeping
RUN/seed-0/fold-1/<stage>.tested.json     what it says about the test part (`tested.py`)
"""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from feltone.artifact import DESCRIPTION, Artifact
from feltone.artifact import load as load_artifact
from feltone.errors import ConfigError
from feltone.files import UNFINISHED, held, write_text
from feltone.lab import corpora, crossing, dataset, judging, protocols, provenance
from feltone.lab.calibration import Calibration
from feltone.lab.corpora import CORPORA, Clip, manifest
from feltone.lab.export import Origin, export
from feltone.lab.models import Network
from feltone.lab.protocols import Fold
from feltone.lab.recipes import Recipe
from feltone.lab.tested import SUFFIX, FoldResult
from feltone.lab.training import before
from feltone.lab.training.folder import seconds_of
from feltone.lab.training.learner import Tick
from feltone.lab.training.machine import Machine
from feltone.lab.training.run import Run, train_many
from feltone.lab.training.schedule import Job, groups
from feltone.lab.training.stopping import is_helper
from feltone.labels import LabelSet


@dataclass(frozen=True)
class Material:
    """The recordings of one corpus, or of several joined: what is trained and tested on."""

    name: str
    clips: tuple[Clip, ...]
    source: dict[str, str]  # title, licence, citation

    @classmethod
    def read(cls, names: str, data: Path) -> "Material":
        """Corpora (or some speakers of them) joined by `+`, below a folder; or `manifest` and the manifest's path."""
        if corpora.whole(names) == manifest.NAME and str(data) == os.environ.get("FELTONE_DATA"):
            raise ConfigError("manifest: name your table or folder of recordings with --data, not by FELTONE_DATA")
        clips: list[Clip] = []
        known = []
        for name in names.split("+"):
            clips += corpora.read(name, data)
            known += [CORPORA[of]] if (of := corpora.whole(name)) in CORPORA else []
        source = {key: " / ".join(getattr(c, key) for c in known) for key in ("title", "licence", "citation")}
        own = {"title": f"a manifest ({data.name})", "licence": "the owner's", "citation": ""}
        return cls(names, tuple(clips), source if known else own)

    @property
    def labels(self) -> LabelSet:
        """Labels that occur, in order."""
        return LabelSet.of(clip.label for clip in self.clips)

    @property
    def audio(self) -> str:
        """What was done to the recordings, or "original"."""
        return corpora.audio_of(self.clips)


@dataclass(frozen=True)
class Experiment:
    """A corpus under a protocol: which clips train and which test."""

    corpus: str
    data: Path
    protocol: str
    seed: int = 0
    groups: int | None = None  # folds of a grouped protocol; None for its default
    folds_from: Path | None = None  # EmoBox's folds; None for folds/ below `data`
    test_corpus: str | None = None  # for `cross`
    before: tuple[str, ...] = ()  # corpora below `data` that are learnt from beforehand
    heard: tuple[Clip, ...] = ()  # what a model was trained on that training begins from

    def material(self) -> Material:
        """The clips that are divided (for `cross`: those that train)."""
        return Material.read(self.corpus, self.data)

    def folds(self, material: Material) -> list[Fold]:
        """The protocol's folds of these clips, each with what is learnt from before."""
        others = [*self.heard, *(clip for name in self.before for clip in corpora.read(name, self.data))]
        return [before.preceded(fold, others) for fold in self._divided(material)]

    def _divided(self, material: Material) -> list[Fold]:
        if self.protocol == "cross":
            if self.test_corpus is None:
                raise ConfigError("protocol cross: name the corpus to test on with --test-corpus")
            return protocols.cross(material.clips, Material.read(self.test_corpus, self.data).clips)
        return protocols.split(
            self.protocol,
            material.clips,
            seed=self.seed,
            folds=self.groups,
            published=self.folds_from or self.data / "folds",
        )


def chosen(folds: Sequence[Fold], wanted: Sequence[int] | None) -> list[Fold]:
    """The folds with these numbers, or all; raises `ConfigError` for a number that there is not."""
    absent = set(wanted or ()) - {fold.index for fold in folds}
    if absent:
        raise ConfigError(f"fold {min(absent)} does not exist; there are 1 to {len(folds)}")
    return [fold for fold in folds if not wanted or fold.index in wanted]


def run_folder(out: Path, seed: int, fold: int) -> Path:
    """Where the run of one fold lives."""
    return out / f"seed-{seed}" / f"fold-{fold}"


def model_name(stage: str, corpus: str) -> str:
    """What the artefact of a stage's network is called, in file names as well.

    >>> model_name("residual", "emodb+crema-d")
    'residual-emodb-crema-d'
    """
    return f"{stage}-{corpus.replace('+', '-')}"


def kept_stages(recipe: Recipe) -> dict[str, str]:
    """Stages whose network becomes an artefact -> its variant: teachers, and the last stage."""
    teachers = {stage.teacher for stage in recipe.stages}
    return {s.name: s.learner for s in recipe.stages if s.name in teachers or s is recipe.stages[-1]}


def jobs(wanted: Experiment, material: Material, only: Sequence[int] | None, seeds: int) -> list[Job]:
    """The folds asked for, with this many seeds from the experiment's on: fold by fold."""
    every = range(wanted.seed, wanted.seed + seeds)
    folds = [(seed, replace(wanted, seed=seed).folds(material)) for seed in every]  # a seed divides anew
    found = [Job(fold, len(all_of_them), seed) for seed, all_of_them in folds for fold in chosen(all_of_them, only)]
    return sorted(found, key=lambda job: job.fold.index)


def is_trained(job: Job, recipe: Recipe, out: Path) -> bool:
    """Whether the artefacts of a job are all there."""
    folder = run_folder(out, job.seed, job.fold.index)
    return all((folder / stage / DESCRIPTION).is_file() for stage in kept_stages(recipe))


def in_groups(jobs: Sequence[Job], recipe: Recipe, out: Path, at_most: int) -> list[list[Job]]:
    """Jobs to be trained at once; those that are trained already come first, one by one."""
    trained = [[job] for job in jobs if is_trained(job, recipe, out)]
    left = [job for job in jobs if not is_trained(job, recipe, out)]
    return trained + groups(left, at_most, recipe.stacked_batch)


def train_jobs(
    recipe: Recipe,
    material: Material,
    group: Sequence[Job],
    out: Path,
    *,
    machine: Machine,
    on_ticks: Sequence[Callable[[Tick], None]],
    calibration: Calibration | None = None,
) -> list[dict[str, Artifact]]:
    """Train and export the networks of jobs of alike size, all at once; what is already done is not done again.

    The artefacts of every job, by stage; a process that helps another one with its batches gets none.

    Raises:
        StorageError: another process is at work on one of the jobs.
    """
    runs = [
        Run(job.fold, job.labels, job.seed, run_folder(out, job.seed, job.fold.index), on_tick)
        for job, on_tick in zip(group, on_ticks, strict=True)
        if not is_trained(job, recipe, out)
    ]
    with ExitStack() as holding:
        for run in runs if not is_helper() else ():
            holding.enter_context(held(run.out))
        trained = train_many(recipe, runs, machine=machine, cache=dataset.cache_folder()) if runs else []
        if is_helper():
            return []
        for run, networks in zip(runs, trained, strict=True):
            export_run(recipe, material, run, networks, machine.accelerator, calibration)
    folders = [run_folder(out, job.seed, job.fold.index) for job in group]
    return [{stage: load_artifact(folder / stage) for stage in kept_stages(recipe)} for folder in folders]


def export_run(
    recipe: Recipe,
    material: Material,
    run: Run,
    networks: Mapping[str, Network],
    accelerator: str,
    calibration: Calibration | None = None,
) -> None:
    """Make artefacts of the networks of a run that are worth keeping, the last stage's calibrated."""
    seconds = sum(seconds_of(run.out).values())
    for stage, variant in kept_stages(recipe).items():
        sure = calibration if stage == recipe.stages[-1].name else None
        export_network(networks[stage], stage, variant, recipe, material, run, seconds, accelerator, sure)


def export_network(
    network: Network,
    stage: str,
    variant: str,
    recipe: Recipe,
    material: Material,
    run: Run,
    seconds: float,
    accelerator: str,
    calibration: Calibration | None,
) -> None:
    """Make the artefact of a network of a run in its folder, under the name of its stage; once."""
    folder, unfinished = run.out / stage, run.out / f".{stage}{UNFINISHED}"
    if (folder / DESCRIPTION).is_file():
        return
    some = run.fold.train[::7]
    images = dataset.load(some, run.labels, recipe.features, run.seed, dataset.cache_folder()).images
    trained_on = [sample.clip for sample in run.fold.learnt]
    origin = origin_of(
        material, recipe, run.fold, run.seed, model_name(stage, material.name), variant, seconds, accelerator
    )
    examples = images.astype(np.float32)
    export(network, run.labels, recipe.features, origin, trained_on, examples, unfinished, calibration)
    shutil.rmtree(folder, ignore_errors=True)  # what earlier versions left there when they were killed
    unfinished.replace(folder)  # an artefact is there when all of it is


def judge_fold(artifacts: dict[str, Artifact], material: Material, fold: Fold, folds: int, *, seed: int) -> None:
    """Write what every artefact of a fold says about the test part beside it, with its audit and origin; once."""
    for stage, artifact in artifacts.items():
        file = artifact.folder.parent / f"{stage}{SUFFIX}"
        if not file.is_file():
            write_text(file, judged(artifact, material, fold, folds, seed, stage).to_json())


def judged(artifact: Artifact, material: Material, fold: Fold, folds: int, seed: int, model: str) -> FoldResult:
    """What an artefact says about the test part of one of a protocol's folds."""
    about = judging.Exam(fold, seed, model, crossing.corpus_of(fold, material.name))
    found, audio, classes = judging.leakage(artifact, fold), crossing.audio_of(fold), crossing.classes_of(fold)
    return FoldResult.of(artifact, about.by_artifact(artifact), found, folds, audio, classes)


def origin_of(
    material: Material,
    recipe: Recipe,
    fold: Fold,
    seed: int,
    name: str,
    variant: str,
    seconds: float,
    accelerator: str = "cpu",
) -> Origin:
    """Where a network comes from, with what it learnt from before, for its artefact."""
    learnt = [vars(CORPORA[corpus]) for corpus in recipe.corpora_before]
    audio = [corpora.audio_of(sample.clip for sample in fold.learnt)]
    if recipe.begun:
        learnt.append(recipe.begun.origin["source"])
        audio.append(recipe.begun.origin["audio"])
    sources = [material.source, *learnt]
    source = {key: " / ".join(it[key] for it in sources if it[key]) for key in material.source}
    return Origin(
        name=name,
        variant=variant,
        corpus=material.name,
        audio=corpora.audio_together(audio),
        recipe=recipe.to_dict(),
        protocol=fold.protocol,
        fold=fold.index,
        seed=seed,
        train_seconds=round(seconds, 1),
        source=source,
        device=provenance.device(accelerator),
        versions=provenance.versions(),
        **provenance.origin(),
    )
