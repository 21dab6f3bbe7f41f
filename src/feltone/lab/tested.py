"""A tested fold: what a network said about a test part, and everything a row of results has to say about it.

One JSON file each, beside the run it came from. Copies of these files are kept with the results, so that a row grows
fold by fold, whichever machine trained them and however long ago, and can be scored again at any time:

    RUN/seed-0/fold-1/student.tested.json
    results/accuracy/folds/emodb__emobox__student/seed-0-fold-1.json
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from feltone.artifact import Artifact
from feltone.errors import ConfigError, FeltoneError
from feltone.files import write_text
from feltone.lab.crossing import Classes
from feltone.lab.evaluate import RunFacts, pool, row, row_file
from feltone.lab.models import RANDOM
from feltone.lab.predictions import Predictions
from feltone.lab.protocols import Leakage

SUFFIX = ".tested.json"
FOLDER = "folds"  # of the copies, among the rows


@dataclass(frozen=True)
class FoldResult:
    """A network's (or a baseline's) predictions of one fold with their audit and origin."""

    predictions: Predictions
    leakage: Leakage
    folds: int  # of the protocol
    recipe: dict[str, Any]  # its name, stages and features
    audio: str
    facts: RunFacts
    classes: Classes | None = None  # under `cross`: which both sides have, and what was left out

    @classmethod
    def of(
        cls,
        artifact: Artifact,
        predictions: Predictions,
        leakage: Leakage,
        folds: int,
        audio: str,
        classes: Classes | None = None,
    ) -> "FoldResult":
        """With what an artefact says of its own origin."""
        told = artifact.description
        origin = told["origin"]
        kept = ("train_seconds", "device", "versions", "commit", "command", "date")
        facts = RunFacts(
            told["macs"],
            told["parameters"],
            **{key: origin[key] for key in kept},
            weights=told["model"].get("weights", RANDOM),
        )
        return cls(predictions, leakage, folds, origin["recipe"], audio, facts, classes)

    @property
    def row_name(self) -> str:
        """File of the row that the fold belongs to."""
        of = self.predictions
        return row_name(of.corpus, of.protocol, of.model, self.recipe["name"])

    def to_json(self) -> str:
        """A JSON document with one line per sample."""
        head = {name: getattr(self, name) for name in ("folds", "recipe", "audio")}
        head |= {"leakage": asdict(self.leakage), "facts": asdict(self.facts)}
        head |= {"classes": self.classes} if self.classes else {}
        return f'{json.dumps(head)[:-1]}, "predictions": {self.predictions.to_json().rstrip()}}}\n'

    @classmethod
    def read(cls, file: Path) -> "FoldResult":
        """What `to_json` wrote; raises `FeltoneError` naming the file where it is something else."""
        try:
            told = json.loads(file.read_text(encoding="utf-8"))
            predictions = Predictions.from_json(json.dumps(told.pop("predictions")))
            leakage, facts = Leakage(**told.pop("leakage")), RunFacts(**told.pop("facts"))
            return cls(predictions, leakage, facts=facts, **told)
        except (OSError, ValueError, KeyError, TypeError, FeltoneError) as fault:
            raise FeltoneError(f"{file}: is no tested fold ({fault}); delete it and train that fold again") from None


Kept = Mapping[str, Sequence[FoldResult]]
"""Tested folds by the name of their row."""


def row_name(corpus: str, protocol: str, model: str, recipe: str) -> str:
    """File of a row; recipe `paper` goes without saying, and one named as its model.

    >>> row_name("emodb", "clean", "student", "brief"), row_name("emodb", "clean", "septr", "septr")
    ('emodb__clean__student__brief.json', 'emodb__clean__septr.json')
    """
    return row_file(corpus, protocol, model, None if recipe in ("paper", model) else recipe)


def kept_at(results: Path, row: str, seed: int, fold: int) -> Path:
    """Where a tested fold of a row is kept among the results."""
    return results / FOLDER / row.removesuffix(".json") / f"seed-{seed}-fold-{fold}.json"


def of_run(run: Path) -> dict[str, list[FoldResult]]:
    """Tested networks of a run folder, by stage; raises `ConfigError` when there is none yet."""
    found: dict[str, list[FoldResult]] = {}
    for file in sorted(run.glob(f"*/fold-*/*{SUFFIX}")):
        found.setdefault(file.name.removesuffix(SUFFIX), []).append(FoldResult.read(file))
    if not found:
        raise ConfigError(f"{run}: holds no tested fold; finish one with feltone train")
    return found


def collected(fresh: Sequence[FoldResult], results: Path) -> list[FoldResult]:
    """Keep tested folds of one row among the results; all that are kept of that row, these included."""
    files = [keep(one, results) for one in fresh]
    return in_folder(files[0].parent)


def keep(one: FoldResult, results: Path) -> Path:
    """Keep a tested fold among the results; its file."""
    file = kept_at(results, one.row_name, one.predictions.seed, one.predictions.fold)
    write_text(file, one.to_json())
    return file


def in_folder(folder: Path) -> list[FoldResult]:
    """All tested folds of one row."""
    return [FoldResult.read(file) for file in sorted(folder.glob("*.json"))]


def kept(results: Path) -> dict[str, list[FoldResult]]:
    """All tested folds that are kept among the results, by the name of their row's file without its ending."""
    folders = sorted(path for path in (results / FOLDER).glob("*") if path.is_dir())
    return {folder.name: there for folder in folders if (there := in_folder(folder))}


def complete(tested: Sequence[FoldResult]) -> list[FoldResult]:
    """Those of the seeds that have as many folds as any: a seed under way does not count before it has caught up."""
    folds: dict[int, set[int]] = {}
    for one in tested:
        folds.setdefault(one.predictions.seed, set()).add(one.predictions.fold)
    most = max(map(len, folds.values()))
    return [one for one in tested if len(folds[one.predictions.seed]) == most]


def row_of(tested: Sequence[FoldResult]) -> dict[str, Any]:
    """The row of tested folds, as plain values; of the seeds that are `complete`.

    Raises:
        ConfigError: they were trained in different ways, so that one number cannot speak for all.
    """
    first = tested[0]
    for what in ("recipe", "audio", "folds", "classes"):
        if any(getattr(one, what) != getattr(first, what) for one in tested):
            where = f"folds of {first.row_name} differ in their {what}"
            raise ConfigError(f"{where}; delete those of the old one below {FOLDER}/, or keep this one elsewhere")
    tested = complete(tested)
    facts = asdict(first.facts)
    for what in ("device", "commit", "command", "date"):
        facts[what] = "; ".join(dict.fromkeys(getattr(one.facts, what) for one in tested))
    # One network tested on several folds was trained once.
    facts["train_seconds"] = round(sum({one.facts.train_seconds for one in tested}), 1)
    pooled = pool([(one.predictions, one.leakage) for one in tested])
    made = row(pooled, recipe=first.recipe["name"], audio=first.audio, folds=first.folds, facts=RunFacts(**facts))
    made["seconds_of_a_run"] = {
        device: round(mean(one.facts.train_seconds for one in tested if one.facts.device == device), 1)
        for device in dict.fromkeys(one.facts.device for one in tested)
    }
    return made | ({"classes": first.classes} if first.classes else {})
