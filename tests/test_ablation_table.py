"""What ingredients are worth, told only where both sides were run on the same folds and seeds."""

from feltone.lab import ablation_table, tables


def row(recipe: str, wa: float, corpus: str = "emodb", folds: int = 5, seeds: int = 1) -> dict:
    return {
        "recipe": recipe,
        "corpus": corpus,
        "protocol": "emobox",
        "model": "residual",
        # Every further seed is five points better.
        "wa": {"mean": wa + 0.025 * (seeds - 1), "per_run": [[wa + 0.05 * seed] * folds for seed in range(seeds)]},
        "uar": {"mean": wa, "per_run": [[wa - 0.01] * folds for _ in range(seeds)]},
        "folds_run": list(range(folds)),
        "seeds": list(range(seeds)),
    }


WHOLE = row(ablation_table.WHOLE, 0.85)


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
    one, three = row(ablation_table.WHOLE, 0.85, seeds=3), row("honest", 0.7)
    assert cells(one, three)[1] == ["nothing learnt before", "70.0 / 69.0 (−15.0 / −15.0)"]
    other = row("honest", 0.7) | {"seeds": [5]}
    assert cells(one, other)[1][1] == tables.NOT_RUN


def test_other_folds_and_corpora_are_not_compared() -> None:
    assert cells(WHOLE, row("honest", 0.7, folds=4))[1][1] == tables.NOT_RUN
    savee = row(ablation_table.WHOLE, 0.5, "savee")
    assert cells(WHOLE, savee, row("honest", 0.4, "savee"))[1] == [
        "nothing learnt before",
        tables.NOT_RUN,
        "40.0 / 39.0 (−10.0 / −10.0)",
    ]


def test_without_a_second_side_there_is_nothing_to_tell() -> None:
    assert ablation_table.table([WHOLE]) == ablation_table.table([]) == tables.NOT_RUN
