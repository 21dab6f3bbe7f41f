"""A tested fold: what a network said about a test part, and everything a row of results has to say about it.

One JSON file each, beside the run it came from. Copies of these files are kept with the results, so that a row grows
fold by fold, whichever machine trained them and however long ago, and can be scored again at any time:

    RUN/seed-0/fold-1/student.tested.json
    results/accuracy/folds/emodb__emobox__student/seed-0-fold-1.json
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
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
        """File of the row that the fold belongs to; recipe `paper` goes without saying, and one named as its model."""
        of, recipe = self.predictions, self.recipe["name"]
        return row_file(of.corpus, of.protocol, of.model, None if recipe in ("paper", of.model) else recipe)

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


def of_run(run: Path) -> dict[str, list[FoldResult]]:
    """Tested networks of a run folder, by stage; raises `ConfigError` when there is none yet."""
    found: dict[str, list[FoldResult]] = {}
    for file in sorted(run.glob(f"seed-*/fold-*/*{SUFFIX}")):
        found.setdefault(file.name.removesuffix(SUFFIX), []).append(FoldResult.read(file))
    if not found:
        raise ConfigError(f"{run}: holds no tested fold; finish one with feltone train")
    return found


def collected(fresh: Sequence[FoldResult], results: Path) -> list[FoldResult]:
    """Keep tested folds of one row among the results; all that are kept of that row, these included."""
    folder = results / FOLDER / fresh[0].row_name.removesuffix(".json")
    for one in fresh:
        of = one.predictions
        write_text(folder / f"seed-{of.seed}-fold-{of.fold}.json", one.to_json())
    return [FoldResult.read(file) for file in sorted(folder.glob("*.json"))]


def kept(results: Path) -> dict[str, list[FoldResult]]:
    """All tested folds that are kept among the results, by the name of their row's file without its ending."""
    found: dict[str, list[FoldResult]] = {}
    for file in sorted((results / FOLDER).glob("*/*.json")):
        found.setdefault(file.parent.name, []).append(FoldResult.read(file))
    return found


def row_of(tested: Sequence[FoldResult]) -> dict[str, Any]:
    """The row of tested folds, as plain values.

    Raises:
        ConfigError: they were trained in different ways, so that one number cannot speak for all.
    """
    first = tested[0]
    for what in ("recipe", "audio", "folds", "classes"):
        if any(getattr(one, what) != getattr(first, what) for one in tested):
            where = f"folds of {first.row_name} differ in their {what}"
            raise ConfigError(f"{where}; delete those of the old one below {FOLDER}/, or keep this one elsewhere")
    facts = asdict(first.facts)
    for what in ("device", "commit", "command", "date"):
        facts[what] = "; ".join(dict.fromkeys(getattr(one.facts, what) for one in tested))
    # One network tested on several folds was trained once.
    facts["train_seconds"] = round(sum({one.facts.train_seconds for one in tested}), 1)
    pooled = pool([(one.predictions, one.leakage) for one in tested])
    made = row(pooled, recipe=first.recipe["name"], audio=first.audio, folds=first.folds, facts=RunFacts(**facts))
    return made | ({"classes": first.classes} if first.classes else {})
