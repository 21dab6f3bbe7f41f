"""Tables for README and RESULTS.md: every number from a file, every warning beside its number."""

import doctest
import json

import pytest

from feltone.errors import ConfigError
from feltone.lab import tables
from feltone.lab.protocols import PAPER_WARNING
from feltone.lab.tables import LEGEND, markdown_table, read_rows, render


def made_row(**other):
    spread = {"mean": 0.8321, "sd": 0.0144, "ci95": [0.7991, 0.8599], "per_run": [[0.82, 0.84], [0.83, 0.84]]}
    fields = {
        "corpus": "emodb",
        "audio": "original",
        "protocol": "emobox",
        "model": "student",
        "recipe": "paper",
        "folds": 2,
        "folds_run": [1, 2],
        "seeds": [0, 1],
        "wa": spread,
        "uar": spread,
        "macro_f1": spread,
        "leakage": {"same_recording": 0.0, "same_speaker": 0.25, "same_sentence": None},
        "warning": None,
    }
    return fields | other


def cells(table: str, line: int = 0) -> list[str]:
    return [cell.strip() for cell in table.splitlines()[2 + line].strip("|").split(" | ")]


def test_the_examples_in_the_docstrings_are_true():
    assert doctest.testmod(tables).failed == 0


def test_one_row_in_full():
    score = "83.2 ± 1.4 [79.9, 86.0]"
    assert cells(markdown_table([made_row()])) == [
        "emodb", "emobox", "student", "paper", score, score, score, "2 × 2", "25", "original",
    ]  # fmt: skip


def test_every_line_has_as_many_cells_as_the_head():
    table = markdown_table([made_row(), {"corpus": "a|b", "protocol": "paper", "model": "student"}])
    lines = [line for line in table.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
    assert len(lines) == 4


def test_rows_of_protocol_paper_carry_dagger_and_warning_even_if_they_forgot_it():
    table = markdown_table([made_row(), made_row(protocol="paper", warning=None)])
    assert cells(table, 1)[1] == "paper †"
    assert "†" not in cells(table, 0)[1]
    assert table.count(PAPER_WARNING) == 1
    assert table.index("† **Warning:**") > table.index("| paper †")


def test_honest_rows_carry_no_warning():
    table = markdown_table([made_row(), made_row(protocol="clean")])
    assert "†" not in table and "Warning" not in table and LEGEND in table


def test_other_warnings_have_their_own_marks():
    found = [made_row(warning=f"{k} % of the test clips are also in training") for k in range(6)]
    table = markdown_table([*found, made_row(protocol="paper")])
    marks = [cells(table, k)[1].split()[1] for k in range(7)]
    assert len(set(marks)) == 7 and marks[-1] == "†"
    for mark in marks:
        assert f"\n{mark} **Warning:**" in table


def test_what_was_not_run_is_not_a_number():
    table = markdown_table([{"corpus": "savee", "protocol": "speaker", "model": "student"}])
    assert cells(table)[3:] == ["not run"] * 7
    assert cells(markdown_table([made_row(wa=None)]))[4] == "not run"


def test_a_single_run_has_no_spread_and_unknown_speakers_are_unknown():
    single = {"mean": 0.9, "sd": 0.0, "ci95": [0.85, 0.95], "per_run": [[0.9]]}
    leakage = {"same_recording": 0.0, "same_speaker": None, "same_sentence": None}
    row = cells(markdown_table([made_row(wa=single, leakage=leakage, folds=5, folds_run=[2], seeds=[0])]))
    assert row[4] == "90.0 [85.0, 95.0]"
    assert row[7] == "1 of 5 × 1"
    assert row[8] == "unknown"


def test_rows_are_read_in_order_of_their_files(tmp_path):
    for name in ("b", "a"):
        (tmp_path / f"{name}.json").write_text(json.dumps(made_row(corpus=name)))
    assert [row["corpus"] for row in read_rows(tmp_path)] == ["a", "b"]


@pytest.mark.parametrize("text", ["{", "[]", '{"corpus": "emodb"}'])
def test_a_file_that_is_no_row_is_named(tmp_path, text):
    (tmp_path / "odd.json").write_text(text)
    with pytest.raises(ConfigError, match=r"odd\.json"):
        read_rows(tmp_path)


TEXT = "# T\n\n<!-- table:one -->\nold\n<!-- /table -->\n\nbetween\n\n<!-- table:two -->\n<!-- /table -->\nafter\n"


def test_tables_are_put_between_their_markers_and_nothing_else_changes():
    rendered = render(TEXT, {"one": "| 1 \\1 \\g<name> |\n", "two": "| 2 |", "unused": "x"})
    assert rendered == (
        "# T\n\n<!-- table:one -->\n| 1 \\1 \\g<name> |\n<!-- /table -->\n\nbetween\n\n"
        "<!-- table:two -->\n| 2 |\n<!-- /table -->\nafter\n"
    )


def test_rendering_again_changes_nothing():
    given = {"one": markdown_table([made_row(protocol="paper")]), "two": "| 2 |"}
    once = render(TEXT, given)
    assert render(once, given) == once
    assert render("no markers", {}) == "no markers"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("<!-- table:other -->\n<!-- /table -->", "no such table; known: one"),
        ("<!-- table:one -->\nnever closed", "not closed"),
        ("<!-- table:one -->\n<!-- table:one -->\n<!-- /table -->", "not closed"),
    ],
)
def test_markers_that_cannot_be_filled_are_named(text, fault):
    with pytest.raises(ConfigError, match=fault):
        render(text, {"one": "x"})
