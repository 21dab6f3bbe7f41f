"""What ingredients are worth, told only where both sides were run on the same folds and seeds."""

from feltone.lab import ablation_table, tables


def row(recipe: str, wa: float, corpus: str = "emodb", folds: int = 5, seeds: int = 1, model: str = "residual") -> dict:
    return {
        "recipe": recipe,
        "corpus": corpus,
        "protocol": "emobox",
        "model": model,
        # Every further seed is five points better.
        "wa": {"mean": wa + 0.025 * (seeds - 1), "per_run": [[wa + 0.05 * seed] * folds for seed in range(seeds)]},
        "uar": {"mean": wa, "per_run": [[wa - 0.01] * folds for _ in range(seeds)]},
        "folds": 5,
        "folds_run": list(range(folds)),
        "seeds": list(range(seeds)),
    }


NAME = "honest-after-crema-d"
WHOLE = row(NAME, 0.85)


def cells(*rows: dict) -> list[list[str]]:
    lines = ablation_table.table(rows).splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]


def test_a_difference_is_told_from_the_whole_recipe() -> None:
    found = cells(WHOLE, row("honest-no-masks-after-crema-d", 0.83), row("honest-mixing-after-crema-d", 0.86))
    assert found == [
        ["`honest` after CREMA-D", "85.0 / 85.0"],
        ["without masks", "83.0 / 82.0 (−2.0 / −2.0)"],
        ["with mixing", "86.0 / 85.0 (+1.0 / +1.0)"],
    ]


def test_the_seeds_that_both_have_are_compared() -> None:
    one, three = row(NAME, 0.85, seeds=3), row("honest", 0.7)
    assert cells(one, three)[1] == ["nothing learnt before", "70.0 / 69.0 (−15.0 / −15.0)"]
    other = row("honest", 0.7) | {"seeds": [5]}
    assert cells(one, other)[1][1] == tables.NOT_RUN


def test_other_folds_and_corpora_are_not_compared() -> None:
    assert cells(WHOLE, row("honest", 0.7, folds=4))[1][1] == tables.NOT_RUN
    assert cells(row(NAME, 0.85, folds=4), row("honest", 0.7, folds=4)) == [
        ["`honest` after CREMA-D", "85.0 / 85.0 (4 of 5 folds)"],
        ["nothing learnt before", "70.0 / 69.0 (−15.0 / −15.0)"],
    ]
    savee = row(NAME, 0.5, "savee")
    assert cells(WHOLE, savee, row("honest", 0.4, "savee"))[1] == [
        "nothing learnt before",
        tables.NOT_RUN,
        "40.0 / 39.0 (−10.0 / −10.0)",
    ]


def test_without_a_second_side_there_is_nothing_to_tell() -> None:
    assert ablation_table.table([WHOLE]) == ablation_table.table([]) == tables.NOT_RUN


def test_matching_is_worth_what_the_student_lacks_without_it() -> None:
    """The teacher of the same recipe, a residual network, is no student."""
    rows = [
        row("honest-student", 0.6, model="student"),
        row("honest-student", 0.8),
        row("honest-student-unmatched", 0.55, model="student"),
    ]
    found = ablation_table.table_of_teaching(rows).splitlines()[2:4]
    assert "| 60.0 / 60.0 |" in found[0] and "| 55.0 / 54.0 (−5.0 / −5.0) |" in found[1]
