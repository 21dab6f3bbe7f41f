"""What a stage minimises: pure functions of a network's output and what was expected."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

from feltone.lab.models import Output


class Expected(NamedTuple):
    """The other side of a loss."""

    targets: Tensor  # (B,) class numbers
    feature: Tensor | None = None  # (B, D): the frozen teacher's feature of the same images
    logits: Tensor | None = None  # (B, classes): likewise, its answers
    others: Tensor | None = None  # (B,) class numbers of what was mixed into the images
    share: Tensor | None = None  # (B,) how much of an image is its own


SMOOTHING = 0.1
TEMPERATURE = 2.0  # at which a teacher's answers are compared, so that its second choices count

Loss = Callable[[Output, Expected], Tensor]


def cross_entropy(output: Output, expected: Expected, smoothing: float = 0.0) -> Tensor:
    """-log of the probability given to the true class, averaged over the batch; of both, where images were mixed."""
    logits = output.logits.float()
    if expected.others is None or expected.share is None:
        return F.cross_entropy(logits, expected.targets, label_smoothing=smoothing)
    own, other = (
        F.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing)
        for targets in (expected.targets, expected.others)
    )
    return (expected.share * own + (1 - expected.share) * other).mean()


def smoothed_cross_entropy(output: Output, expected: Expected) -> Tensor:
    """Cross-entropy against targets of which `SMOOTHING` is spread evenly over all classes."""
    return cross_entropy(output, expected, SMOOTHING)


def teacher_cross_entropy(output: Output, expected: Expected) -> Tensor:
    """Cross-entropy against the teacher's probabilities, both at `TEMPERATURE`, scaled to gradients of the usual size.

    Source: Hinton, Vinyals & Dean, "Distilling the knowledge in a neural network", 2015.
    """
    assert expected.logits is not None, "a stage that learns a teacher's answers names it"
    wanted = (expected.logits / TEMPERATURE).softmax(-1)
    return TEMPERATURE**2 * F.cross_entropy(output.logits.float() / TEMPERATURE, wanted)


def feature_l1(output: Output, expected: Expected) -> Tensor:
    """Mean absolute difference between the learner's feature and the teacher's (feature-map matching)."""
    assert expected.feature is not None, "a stage that matches features names its teacher"
    return F.l1_loss(output.embedding.float(), expected.feature)


LOSSES: Mapping[str, Loss] = {
    "cross_entropy": cross_entropy,
    "smoothed_cross_entropy": smoothed_cross_entropy,
    "teacher_cross_entropy": teacher_cross_entropy,
    "feature_l1": feature_l1,
}
