"""What a stage minimises: pure functions of a network's output and what was expected."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

from feltone.lab.models import Output


class Expected(NamedTuple):
    """The other side of a loss."""

    targets: Tensor  # (B,) class numbers
    feature: Tensor | None  # (B, D): the frozen teacher's feature of the same images


Loss = Callable[[Output, Expected], Tensor]


def cross_entropy(output: Output, expected: Expected) -> Tensor:
    """-log of the probability given to the true class, averaged over the batch."""
    return F.cross_entropy(output.logits.float(), expected.targets)


def feature_l1(output: Output, expected: Expected) -> Tensor:
    """Mean absolute difference between the learner's feature and the teacher's (feature-map matching)."""
    assert expected.feature is not None, "a stage that matches features names its teacher"
    return F.l1_loss(output.embedding.float(), expected.feature)


LOSSES: Mapping[str, Loss] = {"cross_entropy": cross_entropy, "feature_l1": feature_l1}
