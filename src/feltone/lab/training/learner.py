"""A network on its way through a stage, and what is told of it."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feltone.errors import TrainingError
from feltone.lab.models import Network
from feltone.lab.training.resident import TrainingData
from feltone.lab.training.stages import Stage

MOST_NAMED = 8  # samples in a message


class Tick(NamedTuple):
    """Progress of a stage."""

    stage: str
    epoch: int  # running epoch, from 1
    epochs: int
    step: int  # done in this epoch
    steps: int
    loss: float  # mean over the epoch so far
    accuracy: float  # on the training samples of the epoch so far (WA)


@dataclass(frozen=True)
class Learner:
    """A network on its way through a stage."""

    network: Network  # with its initial weights; trained in place
    data: TrainingData
    seed: int  # of the order of the samples
    checkpoint: Path  # file of the position reached; continued when it exists
    on_tick: Callable[[Tick], None] = lambda tick: None  # told about progress
    names: Sequence[str] = ()  # of the samples, for messages

    def steps(self, stage: Stage) -> int:
        """Steps of an epoch."""
        return -(-len(self.data.targets) // stage.batch)

    def order(self, stage: Stage, epoch: int) -> NDArray[np.int64]:
        """Numbers of the samples in the order of an epoch, counted from 0."""
        return epoch_order(len(self.data.targets), self.seed, stage.name, epoch)

    def chance(self, stage: Stage, epoch: int) -> np.random.Generator:
        """What is dealt in an epoch: a function of seed, stage and epoch alone."""
        return np.random.default_rng([self.seed, _entropy(stage.name), epoch, 1])

    def dice(self, stage: Stage, epoch: int, step: int) -> int:
        """What a network draws from in a step, alike in every process and after every interruption."""
        return int(np.random.default_rng([self.seed, _entropy(stage.name), epoch, 2, step]).integers(2**63))

    def unsound(self, stage: Stage, place: tuple[int, int], fault: str) -> TrainingError:
        """What to tell of a step in which something went wrong, with the samples that it learnt from.

        Args:
            stage: which stage.
            place: epoch and step, counted from 0.
            fault: what went wrong.
        """
        epoch, step = place
        rows = self.order(stage, epoch)[step * stage.batch : (step + 1) * stage.batch]
        named = [self.names[row] if self.names else f"sample {row}" for row in rows[:MOST_NAMED]]
        batch = ", ".join([*named, *(["..."] if len(rows) > MOST_NAMED else [])])
        where = f"{self.checkpoint.parent}: stage {stage.name}, epoch {epoch + 1}, step {step + 1}"
        remedy = "see whether these recordings are sound, or train with --precision 32"
        return TrainingError(f"{where}: {fault} on {batch}; {remedy}; the last checkpoint is kept")


def epoch_order(samples: int, seed: int, stage: str, epoch: int) -> NDArray[np.int64]:
    """Permutation of the samples for one epoch: a function of its arguments alone."""
    return np.random.default_rng([seed, _entropy(stage), epoch]).permutation(samples)


def _entropy(stage: str) -> int:
    return int.from_bytes(hashlib.sha256(stage.encode()).digest()[:8])
