"""One function per way of training; its docstring says the command, the cost and what to expect."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from feltone.errors import ConfigError
from feltone.features import FeatureConfig
from feltone.lab.baselines import Hearing
from feltone.lab.corpora import CORPORA
from feltone.lab.training.regimen import Regimen
from feltone.lab.training.stages import Stage, alone, three_stages


@dataclass(frozen=True)
class Recipe:
    """Everything about a training but the data and the seed."""

    name: str
    stages: tuple[Stage, ...]
    features: FeatureConfig = FeatureConfig()
    outside: Hearing | None = None  # the teacher that stages call `OUTSIDE` (`outside.py`)
    company: tuple[str, ...] = ()  # corpora whose clips join every training part (`experiment.joined`)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        stages = [stage.to_dict() for stage in self.stages]
        told: dict[str, Any] = {"name": self.name, "stages": stages, "features": self.features.to_dict()}
        told |= {"outside": self.outside.settings} if self.outside else {}
        return told | ({"company": list(self.company)} if self.company else {})


def paper() -> Recipe:
    """Table 3: teacher 6/5 with stem and ICE, then its student; 50 + 50 + 50 epochs at batch 4.

    Command: `feltone train paper --corpus emodb --data ROOT --protocol paper --out RUN`.
    Cost: an hour and forty minutes of one core (bf16, AMX) per EmoDB fold.
    Published: teacher 99.06, student 99.76 % WA on EmoDB.
    """
    return Recipe("paper", three_stages("teacher", "student"))


def paper_12() -> Recipe:
    """Table 2: teacher 12/12, then its student.

    Command: `feltone train paper-12 --corpus emodb --data ROOT --protocol paper --out RUN`.
    Cost: about twice `paper`. Published: teacher 96.96, student 98.83 % WA on EmoDB.
    """
    return Recipe("paper-12", three_stages("teacher-12", "student"))


def paper_16x16() -> Recipe:
    """`paper` with square patches of 16x16, the other side of the paper's attention figure.

    Command: `feltone train paper-16x16 --corpus emodb --data ROOT --protocol paper --out RUN`.
    Cost: about three quarters of `paper`. Published: no accuracy, only that its attention is less steady.
    """
    return Recipe("paper-16x16", three_stages("teacher-16x16", "student-16x16"))


def nope() -> Recipe:
    """Table 1: the teacher 6/5 without positions; the one with ICE is the first stage of `paper`.

    Command: `feltone train nope --corpus emodb --data ROOT --protocol paper --out RUN`.
    Cost: two thirds of `paper`. Published: 98.83 % WA on EmoDB, with ICE 99.06.
    """
    return Recipe("nope", (alone("teacher-nope"),))


def ast() -> Recipe:
    """Table 2: AST with patches side by side, from random weights, on the schedule of the paper's teacher.

    Command: `feltone train ast --corpus emodb --data ROOT --protocol paper --out RUN`; to begin from a checkpoint on
    the Hugging Face hub or in a folder, `feltone train ast:MIT/ast-finetuned-audioset-10-10-0.4593 ...`.
    Cost: four times the multiply-adds of `paper`'s teacher; wants a GPU.
    Published, from ImageNet weights: 96.02 % WA on EmoDB.
    """
    return Recipe("ast", (alone("ast"),))


def septr() -> Recipe:
    """Table 3: SepTr, on the schedule of the paper's teacher.

    Command: `feltone train septr --corpus emodb --data ROOT --protocol paper --out RUN`.
    Cost: 125 times the multiply-adds of `paper`'s teacher; wants a GPU. Published: 92.75 % WA on EmoDB.
    """
    return Recipe("septr", (alone("septr"),))


def brief() -> Recipe:
    """`paper` with a fifth of its epochs (10 + 10 + 10, halved every 2): a first look at a corpus.

    Command: `feltone train brief --corpus emodb --data ROOT --protocol clean --out RUN`.
    Cost: about twenty minutes of one core per EmoDB fold.
    """
    return Recipe("brief", three_stages("teacher", "student", epochs=10, halve_every=2))


def regular() -> Recipe:
    """The paper's three stages under a regimen: masks, mixing, smoothed targets, decay, a cosine, batches of 16.

    Command: `feltone train regular --corpus emodb --data ROOT --protocol emobox --out RUN`.
    Cost: not measured yet, nor is its accuracy; it is to become the recipe for honest protocols (docs/log.md).
    """
    made = []
    for stage in three_stages("teacher", "student", epochs=40):
        losses = {name.replace("cross_entropy", "smoothed_cross_entropy"): w for name, w in stage.losses.items()}
        made.append(replace(stage, losses=losses, batch=16, learning_rate=4e-4, regimen=Regimen()))
    return Recipe("regular", tuple(made))


def smoke() -> Recipe:
    """One epoch per stage, on anything: does it run at all?

    Command: `feltone train smoke --corpus manifest --data my.csv --protocol clean --out RUN`.
    Cost: a few minutes. Expect a rough score; it shows that everything runs.
    """
    return Recipe("smoke", three_stages("student", "student", epochs=1, halve_every=1))


def in_company(made: Recipe, corpora: Sequence[str]) -> Recipe:
    """A recipe that learns from other corpora besides the one that is divided.

    Raises:
        ConfigError: a corpus that is not known.
    """
    if unknown := sorted(set(corpora) - set(CORPORA)):
        raise ConfigError(f"corpus '{unknown[0]}' is not known; known: {', '.join(CORPORA)}")
    company = tuple(dict.fromkeys(corpora))
    return replace(made, name=f"{made.name}-with-{'-'.join(company)}", company=company)


RECIPES: Mapping[str, Callable[[], Recipe]] = {
    "paper": paper,
    "paper-12": paper_12,
    "paper-16x16": paper_16x16,
    "nope": nope,
    "ast": ast,
    "septr": septr,
    "brief": brief,
    "regular": regular,
    "smoke": smoke,
}


def recipe(name: str) -> Recipe:
    """The recipe of that name, or of `NAME:WEIGHTS`, which begins from a checkpoint where its networks can.

    Raises:
        ConfigError: there is no such recipe, or its networks know no checkpoints; the message lists what there is.
    """
    base, _, weights = name.partition(":")
    if base not in RECIPES:
        raise ConfigError(f"recipe '{base}' is not known; known: {', '.join(RECIPES)}")
    found = RECIPES[base]()
    if not weights:
        return found
    stages = tuple(replace(stage, learner=f"{stage.learner}:{weights}") for stage in found.stages)
    last = re.sub(r"[^A-Za-z0-9.+]+", "-", Path(weights).name)  # the name of a recipe stands in names of files
    return replace(found, name=f"{base}-{last.strip('-')}", stages=stages)
