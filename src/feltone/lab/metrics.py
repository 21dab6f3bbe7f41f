"""How good are predictions: pure functions of arrays.

WA, UAR and macro-F1 are functions of a confusion matrix, or of a whole stack of them: the last two axes are truth and
prediction, whatever stands before is carried along. So an estimate and the 2,000 resamples behind its interval are
computed by the same lines. A class that does not occur in the truth has no recall; it is left out of every average.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from sklearn.metrics import confusion_matrix

Floats = NDArray[np.float64]
BINS = 15  # of confidence, equally wide
FEWEST_SPEAKERS = 4  # to be drawn as wholes: two that happen to score alike would make an interval of no width
CHUNK = 4_000_000  # weights held at a time while resampling: 32 MB


class Interval(NamedTuple):
    """A 95 % percentile interval, and what was resampled to get it."""

    low: float
    high: float
    unit: str  # "speaker", or "clip" where whole speakers could not be drawn
    units: int  # how many there were to draw from


class McNemar(NamedTuple):
    """Samples that only one of two models has right, and the two-sided p of the exact test."""

    only_first: int
    only_second: int
    p: float


class TTest(NamedTuple):
    """Mean difference over resamplings, Student's t of it, and the two-sided p."""

    mean: float
    t: float
    p: float


def confusion(truth: ArrayLike, predicted: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Counts, (classes, classes): rows truth, columns prediction.

    >>> confusion([0, 0, 1], [0, 1, 1], classes=2).tolist()
    [[1, 1], [0, 1]]
    """
    return np.asarray(confusion_matrix(truth, predicted, labels=range(classes)), np.int64)


def weighted_confusions(truth: ArrayLike, predicted: ArrayLike, classes: int, weights: Floats) -> Floats:
    """One confusion matrix per row of weights: (resamples, samples) -> (resamples, classes, classes).

    >>> weighted_confusions([0, 1], [0, 1], 2, np.array([[2.0, 0.0]])).tolist()
    [[[2.0, 0.0], [0.0, 0.0]]]
    """
    cell = np.asarray(truth, np.int64) * classes + np.asarray(predicted, np.int64)
    tables: Floats = weights @ np.eye(classes * classes)[cell]
    return tables.reshape(-1, classes, classes)


def accuracy(table: ArrayLike) -> Floats:
    """WA: right / all = sum_k C_kk / sum_jk C_jk.

    >>> round(float(accuracy([[9, 1], [1, 1]])), 4)
    0.8333
    """
    counts = np.asarray(table, np.float64)
    return ratio(_diagonal(counts).sum(-1), counts.sum((-2, -1)))


def recall(table: ArrayLike) -> Floats:
    """Recall of every class: C_kk / sum_j C_kj; nan where class k does not occur in the truth.

    >>> recall([[9, 1], [0, 0]]).tolist()
    [0.9, nan]
    """
    counts = np.asarray(table, np.float64)
    return ratio(_diagonal(counts), counts.sum(-1))


def uar(table: ArrayLike) -> Floats:
    """UAR (UA): mean over the classes that occur in the truth of their recall.

    >>> float(uar([[9, 1, 0], [1, 1, 0], [0, 0, 0]]))
    0.7
    """
    return _mean_of_known(recall(table))


def macro_f1(table: ArrayLike) -> Floats:
    """Mean over the classes that occur in the truth of F1_k = 2 C_kk / (sum_j C_kj + sum_j C_jk).

    >>> round(float(macro_f1([[9, 1], [1, 1]])), 4)
    0.7
    """
    counts = np.asarray(table, np.float64)
    in_truth, in_prediction = counts.sum(-1), counts.sum(-2)
    f1 = ratio(2 * _diagonal(counts), in_truth + in_prediction)
    return _mean_of_known(np.where(in_truth > 0, f1, np.nan))


def reliability(truth: ArrayLike, probabilities: ArrayLike, bins: int = BINS) -> Floats:
    """Samples, mean confidence and accuracy per bin of confidence: (bins, 3).

    Confidence is the probability of the predicted class; bin m holds (m - 1) / bins < confidence <= m / bins. An empty
    bin is a row of zeros.

    >>> reliability([0, 1], [[0.75, 0.25], [0.75, 0.25]], bins=2).tolist()
    [[0.0, 0.0, 0.0], [2.0, 0.75, 0.5]]
    """
    scores = np.asarray(probabilities, np.float64)
    confidence, right = scores.max(-1), scores.argmax(-1) == np.asarray(truth)
    bin_of = np.digitize(confidence, np.linspace(0, 1, bins + 1)[1:-1], right=True)
    count = np.bincount(bin_of, minlength=bins)
    sums = [np.bincount(bin_of, value, minlength=bins) for value in (confidence, right)]
    return np.stack([count, *(total / np.maximum(count, 1) for total in sums)], -1)


def calibration_error(truth: ArrayLike, probabilities: ArrayLike, bins: int = BINS) -> float:
    """Expected calibration error: sum over bins of (n_m / n) |accuracy_m - confidence_m| (Guo et al., ICML 2017).

    >>> calibration_error([0, 1], [[0.75, 0.25], [0.75, 0.25]])
    0.25
    """
    count, confidence, right = reliability(truth, probabilities, bins).T
    return float((count / count.sum() * np.abs(right - confidence)).sum())


def clustered_bootstrap(
    statistic: Callable[[Floats], Floats],
    clusters: Sequence[str | None],
    samples: int = 2000,
    seed: int = 0,
    clips: Sequence[str] | None = None,
) -> Interval:
    """95 % percentile interval of a statistic when whole speakers are drawn with replacement.

    Clips of one speaker resemble each other, so an interval from single clips is too narrow. Where a speaker is
    unknown, or there are fewer than `FEWEST_SPEAKERS`, clips are drawn after all, and the interval says so. With few
    speakers (SAVEE has four) it is still optimistic. What it covers is the choice of test speakers, not that of the
    training data.

    Args:
        statistic: from weights (resamples, samples), how often each sample was drawn, to values (resamples,).
        clusters: the speaker of every sample, or None.
        samples: number of resamples.
        seed: of the draws.
        clips: the recording of every sample, where several samples share one; else every sample is its own.

    >>> right = np.array([1.0, 1.0, 0.0, 0.0])
    >>> clustered_bootstrap(lambda weights: weights @ right / weights.sum(1), ["a", "b", "c", "d"])
    Interval(low=0.0, high=1.0, unit='speaker', units=4)
    """
    unit = drawn_unit(clusters)
    drawn = (range(len(clusters)) if clips is None else clips) if unit == "clip" else clusters
    names, unit_of = np.unique(np.asarray(drawn), return_inverse=True)
    units, rng = len(names), np.random.default_rng(seed)
    step = max(1, CHUNK // len(clusters))
    values = [
        statistic(multiplicities(rng, min(step, samples - start), units)[:, unit_of])
        for start in range(0, samples, step)
    ]
    low, high = np.quantile(np.concatenate(values), [0.025, 0.975])
    return Interval(float(low), float(high), unit, units)


def drawn_unit(speakers: Sequence[str | None]) -> str:
    """What is drawn with replacement for an interval, given the speaker of every sample: "speaker" or "clip"."""
    return "clip" if None in speakers or len(set(speakers)) < FEWEST_SPEAKERS else "speaker"


def mcnemar(first_right: ArrayLike, second_right: ArrayLike) -> McNemar:
    """Exact McNemar test of two models on the same samples: are they wrong equally often?

    p = min(1, 2 P(X <= min(b, c))), X ~ Binomial(b + c, 1/2), where b and c count the samples that only the first and
    only the second model has right. Samples are taken as independent: several clips of one speaker make p too small.

    >>> mcnemar([1, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0])
    McNemar(only_first=5, only_second=0, p=0.0625)
    """
    first, second = np.asarray(first_right, bool), np.asarray(second_right, bool)
    b, c = int((first & ~second).sum()), int((second & ~first).sum())
    return McNemar(b, c, float(stats.binomtest(b, b + c).pvalue) if b + c else 1.0)


def corrected_t_test(differences: ArrayLike, test_to_train: float) -> TTest:
    """Resampled t test with the correction of Nadeau & Bengio (2003), for folds whose training sets overlap.

    t = mean(d) / sqrt((1/k + n_test / n_train) var(d)), k - 1 degrees of freedom; var with k - 1.

    Args:
        differences: of a metric between two models, one per run (fold and seed); at least two.
        test_to_train: n_test / n_train, 0.25 for an 80:20 split.

    >>> test = corrected_t_test([0.02, 0.03, 0.04], 0.5)
    >>> round(test.mean, 4), round(test.t, 4), round(test.p, 4)
    (0.03, 3.2863, 0.0814)
    """
    d = np.asarray(differences, np.float64)
    if len(d) < 2:
        raise ValueError(f"a t test needs at least two differences, not {len(d)}")
    mean, error = float(d.mean()), float(np.sqrt((1 / len(d) + test_to_train) * d.var(ddof=1)))
    if error == 0:
        return TTest(mean, float(np.sign(mean) * np.inf) if mean else 0.0, 0.0 if mean else 1.0)
    return TTest(mean, mean / error, float(2 * stats.t.sf(abs(mean / error), len(d) - 1)))


def multiplicities(rng: np.random.Generator, resamples: int, units: int) -> Floats:
    """How often each of `units` was drawn in `units` draws with replacement: (resamples, units)."""
    draws = rng.integers(units, size=(resamples, units)) + units * np.arange(resamples)[:, None]
    counts: Floats = np.bincount(draws.ravel(), minlength=resamples * units).astype(np.float64)
    return counts.reshape(resamples, units)


def _diagonal(table: NDArray[Any]) -> NDArray[Any]:
    diagonal: NDArray[Any] = np.diagonal(table, axis1=-2, axis2=-1)
    return diagonal


def ratio(part: ArrayLike, whole: ArrayLike) -> Floats:
    """part / whole, nan where whole is 0."""
    divisor = np.asarray(whole, np.float64)
    shares: Floats = np.divide(part, divisor, out=np.full(divisor.shape, np.nan), where=divisor > 0)
    return shares


def _mean_of_known(values: Floats) -> Floats:
    """Mean over the last axis of what is not nan; nan where nothing is (an empty table), without numpy's warning."""
    return ratio(np.nansum(values, -1), (~np.isnan(values)).sum(-1))
