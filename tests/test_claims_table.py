"""Claims of the paper: judged by the interval on the same clips, beside what was published, never without warning."""

import pytest

from feltone.lab import claims_table, evidence_tables, tables
from feltone.lab.comparisons import WANTED, evidence
from feltone.lab.published import PAPER_TABLES
from test_comparisons import folds_of, with_luck

CLAIM = next(one for one in WANTED if one.question == "student or its teacher, 6/5")


def lines_of(table: str) -> dict[str, list[str]]:
    """Cells of every line by its claim."""
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[0:1] == "|"]
    return {cells[0]: cells[1:] for cells in found[2:]}


def test_what_was_not_run_is_neither_borne_out_nor_denied() -> None:
    lines = lines_of(claims_table.table(evidence({})))
    assert lines.keys() == {one.claim for one in WANTED if one.claim}
    assert all(cells[-3:] == [tables.NOT_RUN] * 3 for cells in lines.values())


@pytest.mark.parametrize(("skill", "expected"), [(0.0, "yes"), (9.0, "the reverse"), (None, "not shown")])
def test_a_claim_is_judged_by_the_interval_under_the_papers_protocol(skill: float | None, expected: str) -> None:
    """The student errs now and then; its teacher guesses, or errs never, or is the student over again."""
    student = folds_of((1,), (0,), corpus="emodb", protocol="paper", model="student")
    teacher = with_luck(student, 1, skill=2.0 if skill is None else skill)
    student = with_luck(student, 1, skill=2.0, model="student")
    found = evidence({("student",): student, ("teacher",): teacher})
    table = claims_table.table(found)
    corpus, published, ours, told, *_ = lines_of(table)[CLAIM.claim]
    (one,) = [one for one in found["comparisons"] if one["question"] == CLAIM.question]
    assert (corpus, ours, told) == ("EmoDB", evidence_tables.points(one["wa"]), expected)
    wa = {one.model: one.wa["emodb"] for one in PAPER_TABLES if one.recipe == "paper"}
    assert float(published) == pytest.approx(wa["student"] - wa["teacher"])
    assert evidence_tables.DAGGER in table


def test_a_verdict_on_a_rival_says_whose_weights_it_began_from() -> None:
    """The published AST began from ImageNet's; one from random weights is another, which the verdict is about."""
    about = {"corpus": "emodb", "protocol": "paper"}
    student = folds_of((1,), (0,), model="student", **about)
    ast = folds_of((1,), (0,), model="ast", recipe="ast", skill=0.5, **about)
    lines = lines_of(claims_table.table(evidence({("student",): student, ("ast",): ast})))
    assert lines["student 6/5 above AST"][3].endswith("(AST from random weights, theirs ImageNet's)")


def test_a_rival_by_several_recipes_has_a_line_of_each() -> None:
    """AST begins from random weights or from published ones; neither hides the other."""
    about = {"corpus": "emodb", "protocol": "paper"}
    student = folds_of((1,), (0,), model="student", **about)
    rivals = {
        (recipe,): folds_of((1,), (0,), model="ast", recipe=recipe, skill=0.5, **about) for recipe in ("ast", "x")
    }
    lines = lines_of(claims_table.table(evidence({("student",): student, **rivals})))
    assert {"student 6/5 above AST", "student 6/5 above AST: ast (x)"} <= lines.keys()
