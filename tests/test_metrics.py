"""Metrics: equal to scikit-learn and to sums done by hand, and intervals that behave as intervals must."""

import doctest
import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score, recall_score

from feltone.lab import metrics

RNG = np.random.default_rng(0)
TRUTH = RNG.integers(5, size=400)  # class 5 of 6 never occurs in the truth ...
PREDICTED = np.where(RNG.uniform(size=400) < 0.6, TRUTH, RNG.integers(6, size=400))  # ... but is predicted
PRESENT = range(5)


def test_the_examples_in_the_docstrings_are_true():
    assert doctest.testmod(metrics).failed == 0
    assert doctest.testmod(metrics).attempted >= 12


def test_equal_to_scikit_learn_over_the_classes_that_occur():
    table = metrics.confusion(TRUTH, PREDICTED, classes=6)
    assert PREDICTED.max() == 5 and TRUTH.max() == 4
    assert metrics.accuracy(table) == pytest.approx(accuracy_score(TRUTH, PREDICTED))
    assert metrics.uar(table) == pytest.approx(recall_score(TRUTH, PREDICTED, labels=PRESENT, average="macro"))
    assert metrics.macro_f1(table) == pytest.approx(f1_score(TRUTH, PREDICTED, labels=PRESENT, average="macro"))


def test_by_hand():
    table = [[3, 1, 0], [0, 2, 2], [0, 0, 0]]  # the third class does not occur
    assert metrics.accuracy(table) == pytest.approx(5 / 8)
    assert metrics.recall(table)[:2] == pytest.approx([3 / 4, 1 / 2])
    assert math.isnan(metrics.recall(table)[2])
    assert metrics.uar(table) == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert metrics.macro_f1(table) == pytest.approx((6 / 7 + 4 / 7) / 2)


@pytest.mark.parametrize("metric", [metrics.accuracy, metrics.uar, metrics.macro_f1])
def test_perfect_is_one_all_wrong_is_zero_and_order_does_not_matter(metric):
    assert metric(metrics.confusion(TRUTH, TRUTH, 6)) == 1.0
    assert metric(metrics.confusion(TRUTH, (TRUTH + 1) % 5, 6)) == 0.0
    order = RNG.permutation(len(TRUTH))
    assert metric(metrics.confusion(TRUTH, PREDICTED, 6)) == metric(
        metrics.confusion(TRUTH[order], PREDICTED[order], 6)
    )


def test_always_the_same_answer_has_chance_uar_however_unbalanced_the_classes():
    truth = np.array([0] * 90 + [1] * 10)
    table = metrics.confusion(truth, np.zeros(100, int), 2)
    assert metrics.accuracy(table) == 0.9
    assert metrics.uar(table) == 0.5


@pytest.mark.parametrize("metric", [metrics.accuracy, metrics.uar, metrics.macro_f1])
def test_a_stack_of_tables_gives_what_its_tables_give(metric):
    stack = RNG.integers(0, 9, size=(3, 2, 4, 4))
    one_by_one = [[metric(table) for table in line] for line in stack]
    assert metric(stack) == pytest.approx(np.array(one_by_one))


@pytest.mark.parametrize("metric", [metrics.accuracy, metrics.uar, metrics.macro_f1])
def test_an_empty_table_has_no_score(metric):
    assert math.isnan(metric(np.zeros((3, 3))))


def test_weighted_confusions_count_every_sample_as_often_as_it_was_drawn():
    weights = RNG.integers(0, 4, size=(7, 400)).astype(float)
    tables = metrics.weighted_confusions(TRUTH, PREDICTED, 6, weights)
    for table, times in zip(tables, weights.astype(int), strict=True):
        repeated = metrics.confusion(np.repeat(TRUTH, times), np.repeat(PREDICTED, times), 6)
        np.testing.assert_array_equal(table, repeated)


def _calibrated(n: int, sharpen: float) -> tuple[np.ndarray, np.ndarray]:
    """Truth drawn from the probabilities themselves, which are then sharpened (1: left as they are)."""
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet(np.full(4, 0.5), size=n)
    truth = (probabilities.cumsum(1) < rng.uniform(size=(n, 1))).sum(1).clip(max=3)
    sharp = probabilities**sharpen
    return truth, sharp / sharp.sum(1, keepdims=True)


def test_calibration_error_is_near_zero_for_true_probabilities_and_grows_with_overconfidence():
    errors = [metrics.calibration_error(*_calibrated(20_000, sharpen)) for sharpen in (1, 2, 4)]
    assert errors[0] < 0.015
    assert errors[0] < errors[1] < errors[2]


def test_calibration_error_by_hand():
    truth = [0, 0, 1, 1]
    probabilities = [[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.4, 0.6]]
    # bin of 0.9: two of three right; bin of 0.6: one of one
    assert metrics.calibration_error(truth, probabilities) == pytest.approx(3 / 4 * (0.9 - 2 / 3) + 1 / 4 * (1 - 0.6))


def test_certainty_falls_into_the_last_bin_and_every_sample_into_one():
    bins = metrics.reliability([0, 0, 1], [[1.0, 0.0], [0.5, 0.5], [0.3, 0.7]])
    assert bins[-1].tolist() == [1.0, 1.0, 1.0]
    assert bins[:, 0].sum() == 3
    assert len(bins) == metrics.BINS
    assert metrics.reliability([0], [[0.5, 0.5]], bins=2)[:, 0].tolist() == [
        1.0,
        0.0,
    ]  # an edge belongs to the bin below


def _mean_right(right: np.ndarray):
    return lambda weights: weights @ right / weights.sum(1)


def _speakers(groups: int, n: int = 240) -> list[str | None]:
    return [f"s{k % groups}" for k in range(n)]


RIGHT = np.array([0.2, 0.9, 0.5, 0.7, 0.4, 0.8, 0.6, 1.0, 0.3, 0.6] * 24).round()  # of 10 speakers, alike within each


def test_the_interval_contains_the_estimate_and_is_the_same_every_time():
    first = metrics.clustered_bootstrap(_mean_right(RIGHT), _speakers(10))
    assert first.low < RIGHT.mean() < first.high
    assert first == metrics.clustered_bootstrap(_mean_right(RIGHT), _speakers(10))
    assert (first.unit, first.units) == ("speaker", 10)


def test_the_interval_does_not_depend_on_the_order_of_samples():
    order = RNG.permutation(len(RIGHT))
    speakers = _speakers(10)
    shuffled = metrics.clustered_bootstrap(_mean_right(RIGHT[order]), [speakers[i] for i in order])
    assert shuffled == pytest.approx(metrics.clustered_bootstrap(_mean_right(RIGHT), speakers))


def test_clips_that_resemble_each_other_widen_the_interval():
    def width(clusters: list[str | None]) -> float:
        found = metrics.clustered_bootstrap(_mean_right(RIGHT), clusters)
        return found.high - found.low

    alone = [f"clip {k}" for k in range(len(RIGHT))]
    assert width(_speakers(10)) > 2 * width(alone)  # ten speakers tell less than 240 strangers


def test_independent_clips_get_the_textbook_interval():
    right = (np.random.default_rng(3).uniform(size=400) < 0.7).astype(float)
    found = metrics.clustered_bootstrap(_mean_right(right), [str(k) for k in range(400)], samples=4000)
    error = 1.96 * math.sqrt(right.mean() * (1 - right.mean()) / 400)
    assert (found.low, found.high) == pytest.approx((right.mean() - error, right.mean() + error), abs=0.006)


@pytest.mark.parametrize("clusters", [["a"] * 6, ["a", "b", None, "c", "d", "e"], ["a", "b", "c"] * 2])
def test_without_enough_speakers_clips_are_drawn_and_the_interval_says_so(clusters):
    found = metrics.clustered_bootstrap(_mean_right(np.array([1.0, 0, 1, 0, 1, 1])), clusters)
    assert (found.unit, found.units) == ("clip", 6)
    copies = metrics.clustered_bootstrap(
        _mean_right(np.array([1.0, 0, 1, 0, 1, 1])), clusters, clips=["x", "x", "y", "y", "z", "z"]
    )
    assert (copies.unit, copies.units) == ("clip", 3)


def test_chunks_do_not_change_the_interval(monkeypatch):
    whole = metrics.clustered_bootstrap(_mean_right(RIGHT), _speakers(10))
    monkeypatch.setattr(metrics, "CHUNK", 1_000)
    assert metrics.clustered_bootstrap(_mean_right(RIGHT), _speakers(10)) == whole


def test_mcnemar_is_the_binomial_test_of_the_disagreements():
    first, second = RNG.uniform(size=200) < 0.8, RNG.uniform(size=200) < 0.6
    found = metrics.mcnemar(first, second)
    assert found.only_first + found.only_second == (first != second).sum()
    by_hand = 2 * stats.binom.cdf(min(found[:2]), found.only_first + found.only_second, 0.5)
    assert found.p == pytest.approx(by_hand)
    assert metrics.mcnemar(second, first).p == pytest.approx(found.p)
    assert metrics.mcnemar(first, first) == (0, 0, 1.0)


def test_corrected_t_without_correction_is_students_and_with_it_is_more_cautious():
    differences = [0.03, 0.01, 0.04, -0.01, 0.02]
    plain = stats.ttest_1samp(differences, 0)
    assert metrics.corrected_t_test(differences, 0.0)[1:] == pytest.approx((plain.statistic, plain.pvalue))
    assert metrics.corrected_t_test(differences, 0.25).p > plain.pvalue


def test_corrected_t_at_the_edges():
    assert metrics.corrected_t_test([0.0, 0.0], 0.25) == (0.0, 0.0, 1.0)
    assert metrics.corrected_t_test([0.5, 0.5], 0.25).p == 0.0
    with pytest.raises(ValueError, match="at least two"):
        metrics.corrected_t_test([0.1], 0.25)
