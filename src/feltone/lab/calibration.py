"""How sure a model may be: a temperature for its answers, and the confidence below which it had better say "unsure".

    tested folds of strangers --of_folds--> Calibration --cooled--> a network whose classifier says so by itself

Both are chosen on what networks of the same recipe said about speakers that they had not learnt from; a model that is
shipped has learnt from all, and has nobody left to be judged by. The temperature goes into the classifier's weights: so
the graph, the page and every export of the model are calibrated, and none of them has to know.

Source: temperature scaling, Guo et al., "On calibration of modern neural networks", ICML 2017.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from feltone.errors import ConfigError
from feltone.lab import metrics, tested
from feltone.lab.metrics import Floats
from feltone.lab.models import Network
from feltone.lab.predictions import DECIMALS
from feltone.lab.tested import FoldResult

RANGE = (0.1, 10.0)  # of temperatures
RIGHT = 0.7  # share of the sure answers that is to be right
UNDISTURBED = ("speaker", "speaker-sentence")  # protocols under which every tested voice is a stranger's


@dataclass(frozen=True)
class Calibration:
    """What was chosen, and what it is worth on the clips it was chosen on."""

    temperature: float
    unsure_below: float  # highest probability below which an answer is unsure
    right: float  # share of the sure answers that is right
    answered: float  # share of the clips that get a sure answer
    ece_before: float
    ece_after: float
    clips: int
    row: str  # whose tested folds it was chosen on

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def read(folder: Path, right: float = RIGHT) -> Calibration:
    """The calibration that the tested folds in a folder ask for.

    Args:
        folder: of a row, as `results/accuracy/folds/` holds them.
        right: share of the sure answers that is to be right.

    Raises:
        ConfigError: there are none, or their speakers are no strangers.
    """
    folds = tested.in_folder(folder)
    if not folds:
        raise ConfigError(f"{folder}: holds no tested folds; name a folder below results/accuracy/folds/")
    if (protocol := folds[0].predictions.protocol) not in UNDISTURBED:
        known = " or ".join(UNDISTURBED)
        raise ConfigError(f"{folder}: tested under {protocol}, where voices are known; choose a row of {known}")
    return of_folds(folds, right)


def of_folds(folds: Sequence[FoldResult], right: float = RIGHT) -> Calibration:
    """See `read`."""
    truth = np.concatenate([one.predictions.truth for one in folds])
    said = np.concatenate([one.predictions.probabilities for one in folds])
    temperature = best_temperature(truth, said)
    cooled = at_temperature(said, temperature)
    confidence, hit = cooled.max(1), cooled.argmax(1) == truth
    limit = threshold(confidence, hit, right)
    sure = confidence >= limit
    return Calibration(
        temperature=round(temperature, 4),
        unsure_below=limit,
        right=round(float(hit[sure].mean()), DECIMALS),
        answered=round(float(sure.mean()), DECIMALS),
        ece_before=round(metrics.calibration_error(truth, said), DECIMALS),
        ece_after=round(metrics.calibration_error(truth, cooled), DECIMALS),
        clips=len(truth),
        row=folds[0].row_name,
    )


def at_temperature(probabilities: Floats, temperature: float) -> Floats:
    """Probabilities (n, classes) as they are when logits are divided by a temperature.

    >>> at_temperature(np.array([[0.8, 0.2]]), 2.0).round(3).tolist()
    [[0.667, 0.333]]
    """
    logits = np.log(np.maximum(probabilities, 10.0**-DECIMALS))
    return np.asarray(softmax(logits / temperature, axis=1), np.float64)


def best_temperature(truth: np.ndarray, probabilities: Floats) -> float:
    """The temperature under which what is true is likeliest."""
    logits, rows = np.log(np.maximum(probabilities, 10.0**-DECIMALS)), np.arange(len(truth))

    def surprise(exponent: float) -> float:
        return -float(log_softmax(logits / np.exp(exponent), axis=1)[rows, truth].mean())

    return float(np.exp(minimize_scalar(surprise, bounds=tuple(np.log(RANGE)), method="bounded").x))


def threshold(confidence: Floats, hit: np.ndarray, right: float) -> float:
    """The lowest confidence, in hundredths, from which on at least a share of `right` is right.

    Raises:
        ConfigError: not even the surest answers are.
    """
    for limit in np.arange(0, 1, 0.01):
        sure = confidence >= limit
        if sure.any() and hit[sure].mean() >= right:
            return round(float(limit), 2)
    raise ConfigError(f"no answers are right to {right:.0%}, however sure; ask for less")


def cooled(network: Network, temperature: float) -> Network:
    """The network, its classifier divided by a temperature: what is likeliest stays so."""
    with torch.no_grad():
        network.classifier.weight.div_(temperature)
        network.classifier.bias.div_(temperature)
    return network
