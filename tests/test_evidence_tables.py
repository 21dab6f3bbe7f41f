"""The evidence as Markdown: published figures are the paper's, ours are the rows', and nothing is made up between."""

import doctest
import json
import re
from pathlib import Path

import pytest

from feltone.lab import evidence_tables, published
from feltone.lab.evidence_tables import comparisons, emobox_anchors, leak, paper_table
from feltone.lab.models.cost import PAPER_MACS
from feltone.lab.protocols import PAPER_WARNING
from feltone.lab.published import EMOBOX, PAPER_TABLES
from test_tables import made_row

ROOT = Path(__file__).parents[1]
COSTS = {row["variant"]: row for row in json.loads((ROOT / "results" / "flops.json").read_text())}
FACTS = {"macs": 316_000_000, "parameters": 2_200_000, "seconds_of_a_run": {"a machine": 5389.2, "another": 64.0}}


def row(**other) -> dict:
    return made_row(**FACTS | other)


def lines_of(table: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("| ")
    ]


def test_the_examples_in_the_docstrings_are_true() -> None:
    assert doctest.testmod(evidence_tables).failed == 0


def test_the_papers_figures_are_complete_and_cost_what_the_cost_table_says() -> None:
    assert [line.table for line in PAPER_TABLES] == [1, 1, 2, 2, 2, 3, 3, 3]
    assert all(set(line.wa) == {"savee", "emodb", "crema-d"} for line in PAPER_TABLES)
    told = {line.variant: line.macs for line in PAPER_TABLES if line.macs}
    assert all(told[variant] == macs for variant, macs in PAPER_MACS.items())


def test_the_published_figures_agree_with_the_paper_itself() -> None:
    """Differences the paper's text claims or its tables imply; a slip of a digit breaks one of them."""
    by_row = {(line.table, line.model): line.wa for line in PAPER_TABLES}
    assert by_row[1, "teacher"] == by_row[3, "teacher"]  # the same network stands in both
    assert all(by_row[1, "teacher"][c] > by_row[1, "teacher-nope"][c] for c in by_row[1, "teacher"])
    assert all(by_row[t, "student"][c] > by_row[t, "teacher"][c] for t in (2, 3) for c in by_row[t, "teacher"])
    sizes = {"savee": 384, "emodb": 428, "crema-d": 5954}  # 20 % of four copies of every clip (SPEC §6)
    for wa in by_row.values():
        for corpus, value in wa.items():
            right = round(value / 100 * sizes[corpus])
            assert any(int(10_000 * k / sizes[corpus]) == round(100 * value) for k in (right, right + 1)), (
                corpus,
                value,
            )


@pytest.mark.parametrize("number", [1, 2, 3])
def test_without_rows_every_score_of_ours_is_said_not_to_be_run(number: int) -> None:
    table = paper_table(number, [], COSTS)
    scores = [line for line in lines_of(table) if len(line) == 8][2:]
    assert len(scores) == 3 * sum(line.table == number for line in PAPER_TABLES)
    assert all(line[3:] == ["not run"] * 5 for line in scores)
    assert table.count(PAPER_WARNING) == 1


def test_a_row_of_ours_stands_beside_the_published_one_it_repeats_and_nowhere_else() -> None:
    rows = [row(protocol="clean", model="teacher"), row(protocol="clean", model="teacher", recipe="brief")]
    found = {(line[0], line[1]): line for line in lines_of(paper_table(3, rows, COSTS)) if len(line) == 8}
    assert found["teacher 6/5", "EmoDB"][2:5] == ["99.06", "not run", "83.2 ± 1.4 [79.9, 86.0]"]
    assert found["teacher 6/5", "SAVEE"][4] == found["student of it", "EmoDB"][4] == "not run"
    assert "83.2" not in paper_table(2, rows, COSTS)  # there the teacher is another one


def test_folds_that_are_missing_and_audio_that_is_not_the_original_are_said() -> None:
    part = row(protocol="speaker", folds=5, corpus="crema-d", audio="reconstructed")
    line = next(
        line for line in lines_of(paper_table(3, [part], COSTS)) if line[0] == "student of it" and "CREMA" in line[1]
    )
    assert line[1] == "CREMA-D (ours: reconstructed audio)" and line[5].endswith("(2 of 5 folds)")


def test_a_part_of_a_corpus_has_a_line_behind_the_whole_that_names_it() -> None:
    rows = [
        row(protocol="paper", corpus=corpus, audio="reconstructed", wa=made_row()["wa"] | {"mean": wa})
        for corpus, wa in (("crema-d@6", 0.7), ("crema-d@6+emodb", 0.8), ("emodb+crema-d@6", 0.9))
    ]
    table = lines_of(paper_table(3, rows, COSTS))
    found = [line[1:4] for line in table if len(line) == 8 and line[0] == "student of it"]
    assert [line[0] for line in found][-2:] == ["CREMA-D", "CREMA-D (ours: 6 speakers, reconstructed audio)"]
    assert found[-2][2] == "not run" and found[-1][1] == "95.24" and found[-1][2].startswith("70.0")
    assert not {"80.0", "90.0"} & {cell[:4] for line in found for cell in line}
    cost = next(line for line in table if len(line) == 5 and line[0] == "student of it")
    assert cost[4] == "CREMA-D (ours: 6 speakers) under `paper` 5,389 (a machine), 64 (another)"


def test_cost_is_that_of_the_row_else_of_the_variant_and_training_is_of_a_run_on_each_machine() -> None:
    table = lines_of(paper_table(3, [row(protocol="clean")], COSTS))
    by_name = {line[0]: line[1:] for line in table if len(line) == 5}
    assert by_name["student of it"] == [
        "0.316 G",
        "0.32 G",
        "2,200,000",
        "EmoDB under `clean` 5,389 (a machine), 64 (another)",
    ]
    assert by_name["teacher 6/5"] == ["1.410 G", "1.43 G", "4,488,136", "not run"]
    uncounted = lines_of(paper_table(3, [row(protocol="clean", macs=None)], COSTS))
    assert next(line for line in uncounted if len(line) == 5 and line[0] == "student of it")[1] == "–"


def test_a_rival_trained_in_two_ways_has_two_lines() -> None:
    rows = [row(model="ast", recipe=recipe, weights=began) for recipe, began in (("ast", "random"), ("ast:x", "x"))]
    table = paper_table(2, rows, COSTS)
    names = {line[0] for line in lines_of(table)}
    assert {"AST, recipe `ast`, random weights", "AST, recipe `ast:x`, x weights"} < names and "AST" not in names
    assert "AST began from weights of ImageNet" in table.splitlines()[-1]


def test_anchors_show_what_emobox_published_and_ours_on_its_folds_alone() -> None:
    rows = [row(), row(protocol="clean", model="other"), row(corpus="savee", folds=4)]
    table = lines_of(emobox_anchors(rows))
    assert len(table) == 2 + len(EMOBOX) + 1
    assert table[2] == ["wav2vec 2.0 base", "95 M", "83.14 / 82.06", "55.40 / 54.33", "61.90 / 61.95", "49.83 / 44.89"]
    assert table[-1][0] == "**here:** student" and table[-1][3:5] == ["not run"] * 2
    assert table[-1][5] == "83.21 / 83.21 (2 of 4 folds)"
    assert "40.0 % of 68,568 votes" in emobox_anchors([]) and "**here**" in emobox_anchors([])


def comparison(**other) -> dict:
    metric = {"first": 0.9, "second": 0.85, "difference": 0.05, "ci95": [-0.01, 0.1], "per_run": [0.05], "t_test": None}
    return {
        "question": "a or b", "corpus": "emodb", "protocol": "clean", "audio": "original", "first": "a", "second": "b",
        "folds": 5, "folds_run": [1, 2], "seeds": [0], "wa": metric, "uar": metric,
        "mcnemar": [{"seed": 0, "only_first": 7, "only_second": 2, "p": 0.18}],
    } | other  # fmt: skip


def test_a_comparison_in_full() -> None:
    (line,) = lines_of(comparisons({"comparisons": [comparison()], "not_run": []}))[2:]
    difference = "+5.0 [−1.0, +10.0]"
    assert line == [
        "a or b", "emodb", "clean", "a 90.0", "b 85.0", difference, "–", difference, "–", "7 : 2, 0.18", "2 of 5 × 1",
    ]  # fmt: skip


def test_the_warning_stands_below_comparisons_under_paper_and_what_is_missing_is_listed() -> None:
    absent = [{"question": "a or c", "corpus": "emodb", "protocol": p, "missing": "c"} for p in ("clean", "paper")] + [
        {"question": "d or e", "corpus": None, "protocol": None, "missing": "d and e"}
    ]
    shown = comparisons({"comparisons": [comparison()], "not_run": absent})
    assert PAPER_WARNING not in shown
    assert "* a or c: no c (emodb clean, emodb paper)\n* d or e: no d and e" in shown
    assert PAPER_WARNING in comparisons({"comparisons": [comparison(protocol="paper")], "not_run": []})


def test_the_leak_names_both_scores_and_carries_the_warning() -> None:
    metric = {"paper": 0.98, "clean": 0.86, "difference": 0.12, "ci95": [0.08, 0.17]}
    one = {"corpus": "crema-d", "audio": "reconstructed", "model": "student", "recipe": "paper", "wa": metric}
    shown = leak({"leak": [one | {"uar": metric, "seeds": {"paper": [0], "clean": [0, 1, 2]}}]})
    (line,) = lines_of(shown)[2:]
    assert line[0] == "crema-d (reconstructed audio)"
    assert line[3:] == ["98.0", "86.0", "+12.0 [+8.0, +17.0]", "+12.0 [+8.0, +17.0]", "1 and 3"]
    assert PAPER_WARNING in shown and PAPER_WARNING in leak({"leak": []})


def test_every_source_names_where_a_figure_can_be_looked_up() -> None:
    for source in (published.PAPER, published.EMOBOX_SOURCE, published.LISTENERS_SOURCE):
        assert "20" in source and any(word in source for word in ("IEEE", "arXiv"))


def test_the_page_on_protocols_types_no_score() -> None:
    """Numbers stand between markers; what is left over are definitions."""
    page = (ROOT / "docs" / "protocols.md").read_text(encoding="utf-8")
    prose = re.sub(r"<!-- table:.*?<!-- /table -->", "", page, flags=re.DOTALL)
    assert set(re.findall(r"[\d.]+ %", prose)) == {"95 %"}
    assert "<!-- table:leak -->" in page and "<!-- table:audit -->" in page


def test_the_audit_has_a_line_per_division_and_admits_what_is_not_known() -> None:
    rows = [
        row(),
        row(recipe="brief"),
        row(protocol="clean", leakage={"same_recording": 0.0, "same_speaker": 1.0, "same_sentence": None}),
    ]
    assert lines_of(evidence_tables.audit(rows))[2:] == [
        ["emodb", "`clean`", "0 %", "100 %", "unknown"],
        ["emodb", "`emobox`", "0 %", "25 %", "unknown"],
    ]
