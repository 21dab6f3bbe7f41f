"""Comparisons: what is paired is really paired, the signs are right, and luck is told from difference."""

import json
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from feltone.errors import ConfigError
from feltone.lab import metrics
from feltone.lab.comparisons import WANTED, evidence, leaks
from feltone.lab.evaluate import RunFacts, pool
from feltone.lab.metrics import corrected_t_test
from feltone.lab.paired import common, compare, leak, ratio_tested_to_trained
from feltone.lab.predictions import Predictions
from feltone.lab.protocols import Leakage
from feltone.lab.tested import FoldResult, collected, kept
from test_evaluate import predictions

FACTS = RunFacts(1_000, 10, 10.0, "a machine", {"numpy": "2"}, "abc", "feltone train", "2026")


def judged(fold: int = 1, seed: int = 0, recipe: str = "paper", audio: str = "original", **other) -> FoldResult:
    made = predictions(fold, seed, **other)
    return FoldResult(made, Leakage(0.0, 0.0, 1.0), 3, {"name": recipe, "stages": []}, audio, FACTS)


def folds_of(folds=(1, 2, 3), seeds=(0, 1), **other) -> list[FoldResult]:
    return [judged(fold, seed, **other) for seed, fold in product(seeds, folds)]


def with_luck(results: list[FoldResult], luck: int, **other) -> list[FoldResult]:
    """The same clips heard by another model: the truth stays, the probabilities are drawn anew."""
    changed = []
    for one in results:
        of, rng = one.predictions, np.random.default_rng([luck, one.predictions.seed, one.predictions.fold])
        logits = rng.normal(size=(len(of.keys), 3)) + other.get("skill", 2.0) * np.eye(3)[of.truth]
        chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        model = other.get("model", "teacher")
        changed.append(replace(one, predictions=replace(of, probabilities=chances, model=model)))
    return changed


def test_a_model_does_not_differ_from_itself() -> None:
    found = compare(folds_of(), folds_of())
    for name in ("wa", "uar"):
        assert found[name]["difference"] == 0 and found[name]["ci95"] == [0, 0]
        assert found[name]["t_test"]["p"] == 1
    assert [(test["only_first"], test["only_second"], test["p"]) for test in found["mcnemar"]] == [(0, 0, 1.0)] * 2


def test_turned_round_every_sign_turns_and_no_p_does() -> None:
    one, two = folds_of(), with_luck(folds_of(), luck=1)
    there, back = compare(one, two), compare(two, one)
    for name in ("wa", "uar"):
        assert there[name]["difference"] == -back[name]["difference"]
        assert there[name]["ci95"] == pytest.approx([-limit for limit in reversed(back[name]["ci95"])], abs=1e-6)
        assert there[name]["t_test"]["p"] == back[name]["t_test"]["p"]
    assert there["mcnemar"][0]["only_first"] == back["mcnemar"][0]["only_second"]


def test_scores_are_those_of_the_rows() -> None:
    one, two = folds_of(), with_luck(folds_of(), luck=1)
    found = compare(one, two)
    for side, results in (("first", one), ("second", two)):
        row = pool([(result.predictions, result.leakage) for result in results])
        for name in ("wa", "uar"):
            assert found[name][side] == pytest.approx(row.metrics[name].pooled, abs=1e-6)
    assert found["wa"]["difference"] == pytest.approx(found["wa"]["first"] - found["wa"]["second"], abs=2e-6)


def test_the_paired_interval_is_the_bootstrap_of_the_difference() -> None:
    """Equal to `clustered_bootstrap` with a statistic of every single sample: the sums per speaker lose nothing."""
    one, two = folds_of(seeds=(0,)), with_luck(folds_of(seeds=(0,)), luck=1)
    right = [np.concatenate([r.predictions.predicted == r.predictions.truth for r in side]) for side in (one, two)]
    gain = right[0].astype(float) - right[1]
    people = [person for result in one for person in result.predictions.people]
    expected = metrics.clustered_bootstrap(lambda weights: weights @ gain / weights.sum(1), people)
    found = compare(one, two)
    assert found["wa"]["ci95"] == pytest.approx([expected.low, expected.high], abs=1e-6)
    assert found["resampled"] == [expected.unit, expected.units]


def test_pairing_narrows_the_interval_of_models_that_err_on_the_same_clips() -> None:
    one = folds_of(seeds=(0,), skill=1.0)
    rng = np.random.default_rng(0)
    alike = [replace(r, predictions=replace(r.predictions)) for r in one]
    for result in alike:  # but for one clip in ten
        changed = result.predictions.probabilities.copy()
        rows = rng.choice(len(changed), len(changed) // 10, replace=False)
        changed[rows] = changed[rows][:, [1, 2, 0]]
        object.__setattr__(result.predictions, "probabilities", changed)

    def width(side: list[FoldResult]) -> float:
        low, high = compare(one, side)["wa"]["ci95"]
        return high - low

    assert width(alike) < 0.7 * width(with_luck(one, luck=1, skill=1.0))


def test_a_better_model_is_found_better() -> None:
    found = compare(folds_of(skill=3.0), with_luck(folds_of(), luck=1, skill=0.5))
    for name in ("wa", "uar"):
        assert found[name]["ci95"][0] > 0 and found[name]["t_test"]["p"] < 0.01
    assert all(test["p"] < 1e-3 and test["only_first"] > test["only_second"] for test in found["mcnemar"])


def test_the_t_test_is_the_corrected_one_over_all_runs() -> None:
    found = compare(folds_of(), with_luck(folds_of(), luck=1))["wa"]
    expected = corrected_t_test(found["per_run"], ratio_tested_to_trained("speaker", 3))
    assert len(found["per_run"]) == 6
    assert found["t_test"]["p"] == pytest.approx(expected.p, rel=1e-3)
    assert found["t_test"]["tested_to_trained"] == 0.5


def test_where_no_t_test_is_possible_there_is_none_and_json_can_hold_what_there_is() -> None:
    alone = folds_of((1,), (0,))
    assert compare(alone, with_luck(alone, luck=1))["wa"]["t_test"] is None
    across = folds_of(protocol="cross")
    assert compare(across, with_luck(across, luck=1))["wa"]["t_test"] is None  # how much was trained on is not known
    constant = [replace(r, predictions=replace(r.predictions, truth=r.predictions.predicted)) for r in folds_of()]
    wrong = [
        replace(r, predictions=replace(r.predictions, probabilities=np.roll(r.predictions.probabilities, 1, 1)))
        for r in constant
    ]
    found = compare(constant, wrong)
    assert found["wa"]["difference"] == 1 and found["wa"]["t_test"] == {
        "mean": 1.0,
        "t": None,
        "p": 0.0,
        "tested_to_trained": 0.5,
    }
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    ("other", "fault"),
    [
        (folds_of((1, 2)), "the same folds and seeds"),
        (folds_of(seeds=(0, 2)), "the same folds and seeds"),
        ([], "not .* with none"),
        (folds_of(n=59), "differ in their keys"),
        (folds_of(protocol="clean"), "differ in their protocol"),
        (folds_of(corpus="other"), "differ in their corpus"),
        (folds_of(audio="reconstructed"), "heard original audio and .* reconstructed"),
    ],
)
def test_what_was_not_tested_on_the_same_is_refused(other: list[FoldResult], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        compare(folds_of(), other)


def test_recordings_themselves_may_be_what_is_compared() -> None:
    rebuilt = folds_of(audio="reconstructed")
    found = compare(rebuilt, folds_of(), of_audio=True)
    assert found["audio"] == "reconstructed" and found["wa"]["difference"] == 0


def test_of_rows_that_grow_at_their_own_pace_the_common_runs_are_compared() -> None:
    one, two = common(folds_of((1, 2), (0, 1)), folds_of((2, 3), (0, 1, 2)))
    assert [(r.predictions.seed, r.predictions.fold) for r in one] == [(0, 2), (1, 2)]
    assert compare(one, two)["folds_run"] == [2]


def row(**other) -> list[FoldResult]:
    return folds_of((1,), (0, 1), **other)


def test_the_leak_is_paper_minus_clean_with_its_own_resamples_on_either_side() -> None:
    paper, clean = row(protocol="paper", skill=4.0), row(protocol="clean", skill=1.0)
    found = leak(paper, clean)
    assert found["wa"]["difference"] == pytest.approx(found["wa"]["paper"] - found["wa"]["clean"], abs=2e-6)
    assert 0 < found["wa"]["ci95"][0] < found["wa"]["difference"] < found["wa"]["ci95"][1]
    nothing = leak(row(protocol="paper"), row(protocol="clean"))  # the same predictions under two names
    assert nothing["wa"]["difference"] == 0
    assert nothing["wa"]["ci95"][0] < 0 < nothing["wa"]["ci95"][1]  # not paired: the draws differ


def test_evidence_answers_what_it_can_and_says_what_was_not_run(tmp_path) -> None:
    for protocol in ("paper", "clean"):
        one = row(protocol=protocol, corpus="emodb")
        collected(one, tmp_path)
        collected(with_luck(one, luck=1), tmp_path)
        collected([replace(r, recipe={"name": "brief"}) for r in one], tmp_path)
    collected(
        [replace(r, recipe={"name": "ours"}) for r in with_luck(row(protocol="clean", corpus="emodb"), 2, model="ast")],
        tmp_path,
    )
    found = evidence(kept(tmp_path))
    made = {(one["question"], one["protocol"]) for one in found["comparisons"]}
    assert made == {
        ("student or its teacher, 6/5", "paper"),
        ("student or its teacher, 6/5", "clean"),
        ("student or AST", "clean"),  # whatever recipe it was trained by
    }
    assert {wanted.question for wanted in WANTED} == {
        one["question"] for part in ("comparisons", "not_run") for one in found[part]
    }
    assert {"question": "student or AST", "corpus": "emodb", "protocol": "paper", "missing": "ast"} in found["not_run"]
    assert [(one["model"], one["recipe"]) for one in found["leak"]] == [
        ("student", "paper"),
        ("student", "brief"),
        ("teacher", "paper"),
    ]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_without_folds_everything_is_not_run() -> None:
    found = evidence({})
    assert not found["comparisons"] and not found["leak"] and len(found["not_run"]) == len(WANTED)
    assert leaks({"student": row(protocol="paper")}) == []


def test_speakers_of_two_corpora_are_not_one_person() -> None:
    keys = tuple(f"{corpus}/{k} original" for corpus in ("emodb", "savee") for k in range(30))
    both: Predictions = predictions(keys=keys, speakers=("03",) * 60)
    assert set(both.people) == {"emodb/03", "savee/03"}
