"""Which runs of a command are trained together: those of alike size, up to a number."""

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


def groups(jobs: Sequence[Job], at_most: int, batch: int) -> list[list[Job]]:
    """Jobs that can be trained at once, in order.

    They tell equally many labels apart, and their samples are equally many or all come in full batches; of the
    latter those of about one size go together, since the smaller ones wait for the larger.
    """
    alike: dict[tuple[int, int], list[int]] = {}
    for number, job in enumerate(jobs):
        size = len(job.fold.train)
        alike.setdefault((size if size % batch else 0, len(job.labels)), []).append(number)
    chosen = []
    for same in alike.values():
        by_size = sorted(same, key=lambda number: len(jobs[number].fold.train)) if at_most > 1 else same
        chosen += [sorted(by_size[start : start + at_most]) for start in range(0, len(same), at_most)]
    return [[jobs[number] for number in numbers] for numbers in sorted(chosen)]
