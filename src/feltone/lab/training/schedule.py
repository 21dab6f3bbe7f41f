"""Which runs of a command are trained together: those of equal size, up to a number."""

from collections.abc import Sequence
from dataclasses import dataclass

from feltone.lab.protocols import Fold
from feltone.labels import LabelSet


@dataclass(frozen=True)
class Job:
    """One fold to be trained with one seed."""

    fold: Fold
    folds: int  # of the protocol
    seed: int

    @property
    def labels(self) -> LabelSet:
        """What its networks learn to tell apart."""
        return LabelSet.of(sample.clip.label for sample in self.fold.train)


def groups(jobs: Sequence[Job], at_most: int) -> list[list[Job]]:
    """Jobs that can be trained at once, in order: equally many samples of equally many labels."""
    alike: dict[tuple[int, int], list[int]] = {}
    for number, job in enumerate(jobs):
        alike.setdefault((len(job.fold.train), len(job.labels)), []).append(number)
    chosen = [same[start : start + at_most] for same in alike.values() for start in range(0, len(same), at_most)]
    return [[jobs[number] for number in numbers] for numbers in sorted(chosen)]
