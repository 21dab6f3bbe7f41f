"""The three stages of the method, as values: who learns, from whom, with which losses, from which start."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from feltone.errors import ConfigError
from feltone.lab.models import variant
from feltone.lab.training.losses import LOSSES
from feltone.lab.training.regimen import Regimen
from feltone.lab.training.surroundings import NOWHERE

OUTSIDE = "outside"
"""The teacher that is no stage: a recipe's frozen encoder of speech."""

BEFORE = "before:"
"""Begins the name of what was trained before: a stage of the recipe by which other corpora were learnt (`before.py`),
or a finished model (`begun.py`)."""


@dataclass(frozen=True)
class Stage:
    """One training of one network."""

    name: str
    learner: str  # a variant
    losses: Mapping[str, float]  # loss -> weight
    teacher: str | None = None  # whose features are matched: those of an earlier stage's frozen network, or `OUTSIDE`
    start: str | None = (
        None  # an earlier stage, or `BEFORE` and the name of what came before: its weights are the initial ones
    )
    epochs: int = 50
    batch: int = 4
    learning_rate: float = 1e-4
    halve_every: int = 10  # epochs
    regimen: Regimen | None = None  # beyond the paper; its schedule takes the place of halving

    def __post_init__(self) -> None:
        unknown = set(self.losses) - set(LOSSES)
        if unknown or not self.losses:
            raise ConfigError(f"stage '{self.name}': losses {sorted(unknown)} unknown; known: {', '.join(LOSSES)}")
        if self.teacher is None and (taught := sorted({"feature_l1", "teacher_cross_entropy"} & set(self.losses))):
            raise ConfigError(f"stage '{self.name}': {taught[0]} needs a teacher stage")
        if self.teacher == OUTSIDE and "teacher_cross_entropy" in self.losses:
            raise ConfigError(f"stage '{self.name}': a teacher from outside has features to match, no answers to learn")
        if min(self.epochs, self.batch, self.halve_every) < 1:
            raise ConfigError(f"stage '{self.name}': epochs, batch and halve_every must be at least 1")
        variant(self.learner)

    def learning_rate_at(self, epochs: float) -> float:
        """Learning rate after so many epochs; under a regimen it moves within them, too."""
        if self.regimen:
            return self.regimen.rate_at(epochs / self.epochs, self.learning_rate)
        return float(self.learning_rate * 0.5 ** (epochs // self.halve_every))

    @property
    def stacks(self) -> bool:
        """Whether several networks may take its steps in one (`ensemble.py`), which knows no more than the paper."""
        return self.regimen is None and "teacher_cross_entropy" not in self.losses

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; a regimen only where there is one, as recipes of old have none."""
        told = {name: value for name, value in asdict(self).items() if name != "regimen"}
        return told | ({"regimen": self.regimen.to_dict()} if self.regimen else {})


def three_stages(
    teacher: str, student: str, epochs: int = 50, halve_every: int = 10, alpha: float = 10.0
) -> tuple[Stage, ...]:
    """Teacher by cross-entropy; student matches the teacher's feature; student by cross-entropy + alpha x matching."""
    first = Stage("teacher", teacher, {"cross_entropy": 1.0}, epochs=epochs, halve_every=halve_every)
    matching = replace(first, name="matching", learner=student, losses={"feature_l1": 1.0}, teacher="teacher")
    last = replace(matching, name="student", losses={"cross_entropy": 1.0, "feature_l1": alpha}, start="matching")
    return first, matching, last


def alone(learner: str) -> Stage:
    """A network that nobody teaches, by cross-entropy, on the schedule of the paper's teacher; it names the stage."""
    return Stage(learner, learner, {"cross_entropy": 1.0})


def residual(name: str) -> Stage:
    """A residual network by smoothed cross-entropy under a regimen."""
    losses = {"smoothed_cross_entropy": 1.0}
    return Stage(name, "residual", losses, epochs=10, batch=16, learning_rate=1.5e-3, regimen=Regimen())


def under(stage: Stage, **changes: Any) -> Stage:
    """A stage under its regimen with changes."""
    assert stage.regimen, "what is ablated is trained under a regimen"
    return replace(stage, regimen=replace(stage.regimen, **changes))


def in_large(stage: Stage) -> Stage:
    """A stage as thousands of clips want it."""
    return replace(stage, epochs=-(-stage.epochs * 3 // 5), batch=32)


def taught() -> tuple[Stage, ...]:
    """A residual teacher; a student that matches its feature; the same by its answers and the labels as well.

    All hear clips as recorded or over a telephone: of few clips that sound new every time a transformer learns little.
    """
    teacher = under(residual("teacher"), surroundings=NOWHERE)
    student = replace(teacher, learner="student-relative", teacher="teacher", batch=32, learning_rate=5e-4)
    losses = {"smoothed_cross_entropy": 0.3, "teacher_cross_entropy": 0.7, "feature_l1": 3.0}
    matching = replace(student, name="matching", losses={"feature_l1": 1.0}, epochs=2)
    return teacher, matching, replace(student, name="student", losses=losses, start="matching")
