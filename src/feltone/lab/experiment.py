"""From a recipe and a corpus to scored artefacts: what `feltone train` and `feltone evaluate` do.

RUN/seed-0/fold-1/             the run of one fold (`training/run.py`)
RUN/seed-0/fold-1/<stage>/     artefact of a network worth keeping
RUN/seed-0/fold-1/<stage>.predictions.json
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from lightning_fabric.utilities.rank_zero import rank_zero_only

from feltone.artifact import DESCRIPTION, Artifact
from feltone.artifact import load as load_artifact
from feltone.errors import ConfigError
from feltone.files import write_json, write_text
from feltone.lab import corpora, dataset, ledger, protocols, provenance
from feltone.lab.corpora import CORPORA, Clip, manifest
from feltone.lab.evaluate import RunFacts
from feltone.lab.export import Origin, export
from feltone.lab.predictions import Predictions, key_of
from feltone.lab.protocols import Fold, Leakage
from feltone.lab.recipes import Recipe
from feltone.lab.training.loop import Tick
from feltone.lab.training.run import Machine, seconds_of, train
from feltone.labels import LabelSet
from feltone.recognizer import Recognizer

PREDICT_BATCH = 16


@dataclass(frozen=True)
class Material:
    """The recordings of one corpus, or of several joined: what is trained and tested on."""

    name: str
    clips: tuple[Clip, ...]
    source: dict[str, str]  # title, licence, citation

    @classmethod
    def read(cls, names: str, data: Path) -> "Material":
        """Corpora by name, joined by `+`, below a folder; or `manifest` and the manifest's path."""
        if names == manifest.NAME and str(data) == os.environ.get("FELTONE_DATA"):
            raise ConfigError("manifest: name your table or folder of recordings with --data, not by FELTONE_DATA")
        clips: list[Clip] = []
        known = []
        for name in names.split("+"):
            clips += corpora.read(name, data)
            known += [CORPORA[name]] if name in CORPORA else []
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

    def material(self) -> Material:
        """The clips that are divided (for `cross`: those that train)."""
        return Material.read(self.corpus, self.data)

    def folds(self, material: Material) -> list[Fold]:
        """The protocol's folds of these clips."""
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


def kept_stages(recipe: Recipe) -> dict[str, str]:
    """Stages whose network becomes an artefact -> its variant: teachers, and the last stage."""
    teachers = {stage.teacher for stage in recipe.stages}
    return {s.name: s.learner for s in recipe.stages if s.name in teachers or s is recipe.stages[-1]}


def train_fold(
    recipe: Recipe,
    material: Material,
    fold: Fold,
    out: Path,
    *,
    seed: int,
    machine: Machine,
    on_tick: Callable[[Tick], None] = lambda tick: None,
) -> dict[str, Artifact]:
    """Train and export the networks of one fold; what is already done is not done again. The artefacts, by stage."""
    folder, cache = run_folder(out, seed, fold.index), dataset.cache_folder()
    labels = LabelSet.of(sample.clip.label for sample in fold.train)
    kept = kept_stages(recipe)
    if not all((folder / stage / DESCRIPTION).is_file() for stage in kept):
        networks = train(recipe, fold, labels, folder, seed=seed, machine=machine, cache=cache, on_tick=on_tick)
        if rank_zero_only.rank:  # of several processes, the first one writes
            return {}
        seconds = sum(seconds_of(folder).values())
        images = dataset.load(fold.train[::7], labels, recipe.features, seed, cache).images.astype(np.float32)
        trained_on = [sample.clip for sample in fold.train]
        for stage, variant in kept.items():
            origin = origin_of(material, recipe, fold, seed, f"{stage}-{material.name}", variant, seconds)
            export(networks[stage], labels, recipe.features, origin, trained_on, images, folder / stage)
    return {stage: load_artifact(folder / stage) for stage in kept}


def judge_fold(
    artifacts: dict[str, Artifact], material: Material, fold: Fold, folds: int, out: Path, *, seed: int
) -> None:
    """Write what every artefact of a fold says about the test part, and the audit; once."""
    folder = run_folder(out, seed, fold.index)
    for stage, artifact in artifacts.items():
        file = predictions_file(folder, stage)
        if not file.is_file():
            audit = vars(leakage(artifact, fold))
            write_json(folder / "tested.json", {"leakage": audit, "folds": folds})
            write_text(file, predict(artifact, material, fold, seed, stage).to_json())


def predictions_file(folder: Path, stage: str) -> Path:
    """Where the predictions of a fold's test part are kept."""
    return folder / f"{stage}.predictions.json"


def predict(artifact: Artifact, material: Material, fold: Fold, seed: int, model: str) -> Predictions:
    """Probabilities of an artefact for the test part of a fold, through the path that a user's recognition takes."""
    recognize = Recognizer(artifact)
    data = dataset.load(fold.test, artifact.labels, artifact.features, seed, dataset.cache_folder())
    rows = range(0, len(data.images), PREDICT_BATCH)
    parts = [recognize.images(data.images[i : i + PREDICT_BATCH].astype(np.float32)).probabilities for i in rows]
    return Predictions(
        fold=fold.index,
        protocol=fold.protocol,
        seed=seed,
        model=model,
        corpus=material.name,
        labels=artifact.labels,
        keys=tuple(map(key_of, fold.test)),
        truth=data.targets,
        probabilities=np.concatenate(parts),
        speakers=tuple(sample.clip.speaker for sample in fold.test),
    )


def leakage(artifact: Artifact, fold: Fold) -> Leakage:
    """Audit of a test part against the ledger of what the artefact has really seen."""
    seen = tuple(protocols.Sample(clip) for clip in ledger.read(artifact.folder))
    return protocols.audit(replace(fold, train=seen))


def origin_of(
    material: Material, recipe: Recipe, fold: Fold, seed: int, name: str, variant: str, seconds: float
) -> Origin:
    """Where a network comes from, for its artefact."""
    return Origin(
        name=name,
        variant=variant,
        corpus=material.name,
        audio=material.audio,
        recipe=recipe.to_dict(),
        protocol=fold.protocol,
        fold=fold.index,
        seed=seed,
        train_seconds=round(seconds, 1),
        source=material.source,
        device=provenance.device(),
        versions=provenance.versions(),
        commit=provenance.commit(),
        command=provenance.command(),
        date=provenance.today(),
    )


def facts(artifacts: Sequence[Artifact]) -> RunFacts:
    """Cost and origin of a row, from the artefacts it was measured on."""
    first = artifacts[0].description
    origin = first["origin"]
    return RunFacts(
        macs=first["macs"],
        parameters=first["parameters"],
        train_seconds=round(sum(a.description["origin"]["train_seconds"] for a in artifacts), 1),
        **{key: origin[key] for key in ("device", "versions", "commit", "command", "date")},
    )


@dataclass(frozen=True)
class Finished:
    """A network of a run whose fold was tested: what is scored."""

    artifact: Artifact
    predictions: Predictions
    leakage: Leakage
    folds: int  # of the protocol


def finished(run: Path) -> dict[str, list[Finished]]:
    """Tested networks of a run folder, by stage; raises `ConfigError` when there is none yet."""
    found: dict[str, list[Finished]] = {}
    for file in sorted(run.glob("seed-*/fold-*/*.predictions.json")):
        stage = file.name.partition(".")[0]
        report = json.loads((file.parent / "tested.json").read_text(encoding="utf-8"))
        predictions = Predictions.from_json(file.read_text(encoding="utf-8"))
        artifact = load_artifact(file.parent / stage, verify=False)
        found.setdefault(stage, []).append(
            Finished(artifact, predictions, Leakage(**report["leakage"]), report["folds"])
        )
    if not found:
        raise ConfigError(f"{run}: holds no tested fold; finish one with feltone train")
    return found
