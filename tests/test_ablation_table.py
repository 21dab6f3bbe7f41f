"""What ingredients are worth, told only where both sides were run on the same folds and seeds."""

from feltone.lab import ablation_table, tables


def row(recipe: str, wa: float, corpus: str = "emodb", folds: int = 5, seeds: int = 1) -> dict:
    return {
        "recipe": recipe,
        "corpus": corpus,
        "protocol": "emobox",
        "model": "residual",
        "wa": {"mean": wa},
        "uar": {"mean": wa - 0.01},
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
        ["`honest` after CREMA-D", "85.0 / 84.0"],
        ["without masks", "83.0 / 82.0 (−2.0 / −2.0)"],
        ["with mixing", "86.0 / 85.0 (+1.0 / +1.0)"],
    ]


def test_other_folds_seeds_and_corpora_are_not_compared() -> None:
    (_, part), (_, more) = (cells(WHOLE, row("honest", 0.7, **other))[1] for other in ({"folds": 4}, {"seeds": 2}))
    assert part == more == tables.NOT_RUN
    savee = row(ablation_table.WHOLE, 0.5, "savee")
    assert cells(WHOLE, savee, row("honest", 0.4, "savee"))[1] == [
        "nothing learnt before",
        tables.NOT_RUN,
        "40.0 / 39.0 (−10.0 / −10.0)",
    ]


def test_without_a_second_side_there_is_nothing_to_tell() -> None:
    assert ablation_table.table([WHOLE]) == ablation_table.table([]) == tables.NOT_RUN
