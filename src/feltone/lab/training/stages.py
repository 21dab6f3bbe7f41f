"""The three stages of the method, as values: who learns, from whom, with which losses, from which start."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from feltone.errors import ConfigError
from feltone.lab.models import variant
from feltone.lab.training.losses import LOSSES
from feltone.lab.training.regimen import Regimen

OUTSIDE = "outside"
"""The teacher that is no stage: a recipe's frozen encoder of speech."""


@dataclass(frozen=True)
class Stage:
    """One training of one network."""

    name: str
    learner: str  # a variant
    losses: Mapping[str, float]  # loss -> weight
    teacher: str | None = None  # whose features are matched: those of an earlier stage's frozen network, or `OUTSIDE`
    start: str | None = None  # an earlier stage: its weights are the initial ones
    epochs: int = 50
    batch: int = 4
    learning_rate: float = 1e-4
    halve_every: int = 10  # epochs
    regimen: Regimen | None = None  # beyond the paper; its schedule takes the place of halving

    def __post_init__(self) -> None:
        unknown = set(self.losses) - set(LOSSES)
        if unknown or not self.losses:
            raise ConfigError(f"stage '{self.name}': losses {sorted(unknown)} unknown; known: {', '.join(LOSSES)}")
        if "feature_l1" in self.losses and self.teacher is None:
            raise ConfigError(f"stage '{self.name}': feature_l1 needs a teacher stage")
        if min(self.epochs, self.batch, self.halve_every) < 1:
            raise ConfigError(f"stage '{self.name}': epochs, batch and halve_every must be at least 1")
        variant(self.learner)

    def learning_rate_at(self, epoch: int) -> float:
        """Learning rate of the 0-based epoch."""
        if self.regimen:
            return self.regimen.rate_at(epoch, self.epochs, self.learning_rate)
        return float(self.learning_rate * 0.5 ** (epoch // self.halve_every))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; a regimen only where there is one, as recipes of old have none."""
        told = asdict(self)
        return told if self.regimen else {name: value for name, value in told.items() if name != "regimen"}


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
