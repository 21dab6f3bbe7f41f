"""Groups of speakers and thresholds: what is counted is what was predicted, and luck is not called a difference."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from feltone.doors import cli
from feltone.lab import group_tables, groups, tested
from feltone.lab.corpora import CORPORA
from feltone.lab.evaluate import METRICS
from feltone.lab.metrics import confusion
from feltone.lab.tested import FoldResult

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "results" / "accuracy" / "folds"


@pytest.fixture(scope="module")
def emodb() -> list[FoldResult]:
    return tested.in_folder(KEPT / "emodb__emobox__student")


def by_hand(folds: list[FoldResult], wanted) -> np.ndarray:
    """Confusion of the clips that `wanted` says yes to, clip by clip."""
    of = [one.predictions for one in folds]
    pairs = [
        (truth, predicted)
        for run in of
        for key, truth, predicted in zip(run.clips, run.truth, run.predicted, strict=True)
        if wanted(key)
    ]
    return confusion(*zip(*pairs, strict=True), len(of[0].labels))


def test_a_group_scores_as_its_clips_do_when_counted_one_by_one(emodb: list[FoldResult]) -> None:
    by_sex, by_age = groups.by_group(emodb, "row")
    women = {"08", "09", "13", "14", "16"}
    table = by_hand(emodb, lambda key: key[6:8] in women)
    assert by_sex["groups"]["female"]["clips"] == table.sum() and by_sex["groups"]["female"]["speakers"] == 5
    for name in ("wa", "uar"):
        assert by_sex["groups"]["female"][name]["value"] == pytest.approx(METRICS[name](table), abs=1e-6)
    young = by_hand(emodb, lambda key: key[6:8] in {"09", "11", "12", "15"})
    assert by_age["groups"]["under 31"]["wa"]["value"] == pytest.approx(METRICS["wa"](young), abs=1e-6)


@pytest.mark.parametrize("grouping", [0, 1])
def test_groups_part_the_clips_and_the_difference_is_that_of_their_scores(
    emodb: list[FoldResult], grouping: int
) -> None:
    found = list(groups.by_group(emodb, "row"))[grouping]
    assert sum(told["clips"] for told in found["groups"].values()) == 535
    first, last = (found["groups"][name]["wa"]["value"] for name in found["difference"]["of"])
    gap = found["difference"]["wa"]
    assert gap["difference"] == pytest.approx(first - last, abs=2e-6)
    assert gap["ci95"][0] < gap["difference"] < gap["ci95"][1]


def test_groups_that_are_heard_alike_do_not_differ(emodb: list[FoldResult]) -> None:
    """Everybody right: no group is better, and the interval has no width."""
    right = [
        replace(one, predictions=replace(one.predictions, probabilities=np.eye(7)[one.predictions.truth]))
        for one in emodb
    ]
    for found in groups.by_group(right, "row"):
        assert found["difference"]["wa"] == {"first": 1.0, "second": 1.0, "difference": 0.0, "ci95": [0.0, 0.0]}


def test_a_corpus_of_men_has_no_groups() -> None:
    assert list(groups.by_group(tested.in_folder(KEPT / "savee__emobox__student"), "row")) == []


def test_few_speakers_are_said_to_be_few(emodb: list[FoldResult]) -> None:
    """Without speaker 12, three are under 31: clips are drawn, and the table says so with a star."""
    fewer = [
        replace(one, predictions=one.predictions.only([k for k, s in enumerate(one.predictions.speakers) if s != "12"]))
        for one in emodb
    ]
    found = list(groups.by_group(fewer, "row"))
    assert found[1]["groups"]["under 31"]["resampled"][0] == "clip"
    table = group_tables.by_group(found)
    assert "under 31 (3*)" in table and "31 to 45 (6)" in table


@pytest.mark.parametrize("corpus", ["emodb", "crema-d"])
def test_a_speaker_has_one_age_and_all_are_adults(corpus: str) -> None:
    names = CORPORA[corpus].expected_names()
    clips = [groups.clip_of(f"{corpus}/{name}") for name in names]
    ages = {(clip.speaker, clip.age) for clip in clips}
    assert len(ages) == CORPORA[corpus].speakers and all(18 <= age <= 80 for _, age in ages)


def test_thresholds_only_take_away_and_count_right(emodb: list[FoldResult]) -> None:
    found = groups.by_confidence(emodb, "row")["points"]
    confidence = np.concatenate([one.predictions.probabilities.max(1) for one in emodb])
    right = np.concatenate([one.predictions.truth == one.predictions.predicted for one in emodb])
    for point in found:
        kept = confidence >= point["threshold"]
        assert point["answered"] == kept.sum() and point["coverage"] == pytest.approx(kept.mean(), abs=1e-6)
        assert point["wa"] == pytest.approx(right[kept].mean(), abs=1e-6)
        low, high = point["wa_ci95"]
        assert low <= point["wa"] <= high
    assert [p["answered"] for p in found] == sorted((p["answered"] for p in found), reverse=True)
    assert found[0]["coverage"] == 1.0


def test_a_threshold_that_nothing_reaches_has_no_accuracy(emodb: list[FoldResult]) -> None:
    (point,) = groups.above([one.predictions for one in emodb], [1.5])
    assert point["answered"] == 0 and point["wa"] is None and point["wa_ci95"] == [None, None]
    assert point["coverage_ci95"] == [0.0, 0.0]


def test_leaking_and_incomplete_rows_say_nothing_of_groups(emodb: list[FoldResult]) -> None:
    assert groups.tells(emodb) and not groups.tells(emodb[:4])
    assert not groups.tells(tested.in_folder(KEPT / "emodb__paper__student"))


def test_a_seed_under_way_changes_nothing_before_it_has_all_folds(emodb: list[FoldResult]) -> None:
    begun = [replace(one, predictions=replace(one.predictions, seed=1)) for one in emodb[:2]]
    assert groups.evidence({"row": [*emodb, *begun]}) == groups.evidence({"row": emodb})


def test_a_model_stands_once_wherever_it_was_run_by_several_recipes() -> None:
    ran = ["brief", "honest-large", "everyday-large", "honest-no-masks-after-crema-d"]
    found = [
        {"corpus": corpus, "protocol": "emobox", "model": "residual", "recipe": recipe, "grouping": grouping}
        for corpus, recipes in {"crema-d": ran, "savee": ran[:1], "emodb": ran[3:]}.items()
        for recipe in recipes
        for grouping in ("sex", "age")
    ]
    shown = [(one["corpus"], one["recipe"], one["grouping"]) for one in group_tables.chosen(found, ["residual"])]
    assert shown == [(c, r, g) for c, r in (("crema-d", ran[2]), ("savee", ran[0])) for g in ("sex", "age")]


def test_the_figure_and_its_numbers_are_of_the_kept_folds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["figure", "coverage", "--rows", str(ROOT / "results" / "accuracy"), "--out", str(tmp_path / "c.png")]
    assert cli.run([*command, "--numbers", str(tmp_path / "n.json")]) == 0
    told = json.loads((tmp_path / "n.json").read_text())
    assert told.pop("origin")["command"] and told == json.loads((ROOT / "results" / "groups.json").read_text())
    assert cli.run(["figure", "coverage", "--rows", str(tmp_path), "--out", str(tmp_path / "d.png")]) == 2
    assert "no complete row of a network" in capsys.readouterr().err
