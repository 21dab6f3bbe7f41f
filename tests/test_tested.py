"""Tested folds: a row is the same whether its folds were trained in one run or on many machines over the years."""

from dataclasses import replace
from pathlib import Path

import pytest

from feltone.errors import ConfigError, FeltoneError
from feltone.lab.evaluate import RunFacts
from feltone.lab.protocols import Leakage
from feltone.lab.tested import FOLDER, SUFFIX, FoldResult, collected, of_run, row_of
from test_evaluate import predictions

RECIPE = {"name": "paper", "stages": [{"epochs": 50}], "features": {"mel_bands": 128}}


def result(fold: int, seed: int = 0, **other: object) -> FoldResult:
    facts = RunFacts(1_000, 10, 10.0 * fold + seed, f"machine {fold}", {"numpy": "2"}, "abc", "feltone train", "2026")
    one = FoldResult(predictions(fold, seed), Leakage(0.0, None, 0.5), 5, RECIPE, "original", facts)
    return replace(one, **other)


def test_a_fold_read_back_makes_the_same_row(tmp_path: Path) -> None:
    file = tmp_path / "fold.json"
    file.write_text(result(2).to_json(), encoding="utf-8")
    assert row_of([FoldResult.read(file)]) == row_of([result(2)])
    assert FoldResult.read(file).to_json() == result(2).to_json()


def test_folds_of_several_runs_make_the_row_of_all(tmp_path: Path) -> None:
    for fold in (3, 1):
        kept = collected([result(fold, seed) for seed in (0, 1)], tmp_path)
    assert row_of(kept) == row_of([result(fold, seed) for seed in (0, 1) for fold in (1, 3)])
    row = row_of(kept)
    assert row["folds_run"] == [1, 3] and row["folds"] == 5 and row["train_seconds"] == 10 + 11 + 30 + 31
    assert row["device"] == "machine 1; machine 3"
    assert row["seconds_of_a_run"] == {"machine 1": 10.5, "machine 3": 30.5}


def test_a_seed_that_is_under_way_does_not_count_before_it_has_every_fold() -> None:
    first = [result(fold, seed=0) for fold in (1, 2, 3)]
    begun = [result(fold, seed=1) for fold in (1, 2)]
    assert row_of([*begun, *first]) == row_of(first)
    assert row_of([*first, *begun, result(3, seed=1)])["seeds"] == [0, 1]


def test_a_fold_given_again_replaces_itself_alone(tmp_path: Path) -> None:
    better = result(1, predictions=predictions(1, skill=9.0))
    collected([result(1), result(2)], tmp_path)
    assert row_of(collected([better], tmp_path)) == row_of([better, result(2)])
    assert sorted(path.name for path in (tmp_path / FOLDER).rglob("*.json")) == [
        "seed-0-fold-1.json",
        "seed-0-fold-2.json",
    ]


@pytest.mark.parametrize(
    "change", [{"recipe": RECIPE | {"stages": []}}, {"audio": "reconstructed"}, {"folds": 4}], ids=str
)
def test_what_was_trained_in_another_way_is_not_mixed_in(change: dict) -> None:
    with pytest.raises(ConfigError, match=f"differ in their {next(iter(change))}; delete those of the old one"):
        row_of([result(1), result(2, **change)])


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    whole = result(1).to_json()
    file = tmp_path / "seed-0" / "fold-1" / f"student{SUFFIX}"
    file.parent.mkdir(parents=True)
    for text in ("", whole[: len(whole) // 2], "[]", whole.replace('"truth"', '"lie"')):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(FeltoneError, match=r"student\.tested\.json: is no tested fold .*train that fold again$"):
            of_run(tmp_path)
