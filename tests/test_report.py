"""The report: complete, self-contained, and never without its warning."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from feltone.lab import figures
from feltone.lab.evaluate import Predictions, RunFacts, pool, row
from feltone.lab.protocols import PAPER_WARNING, Leakage
from feltone.lab.report import write_report
from feltone.labels import LabelSet

LABELS = LabelSet(("anger", "boredom", "disgust", "fear", "happiness", "neutral"))
FACTS = RunFacts(317_000_000, 1_894_151, 90.0, "a machine", {"torch": "2.9"}, "abc123", "feltone train …", "2026-01-01")
ODD = ["a", "$\\b$", "_c^"]  # as labels
HISTORY = [
    {"stage": stage, "epoch": epoch, "epochs": 3, "step": 9, "steps": 9, "loss": 1 / epoch, "accuracy": epoch / 4}
    for stage in ("teacher", "matching", "student")
    for epoch in (1, 2, 3)
]


def made_runs(protocol="speaker", folds=(1, 2), leakage=Leakage(0.0, 0.0, 1.0), name="clip", skill=2.0):  # noqa: B008
    def one(fold: int) -> Predictions:
        rng = np.random.default_rng(fold)
        truth = rng.integers(6, size=90)
        logits = rng.normal(size=(90, 6)) + skill * np.eye(6)[truth]
        probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        keys = tuple(f"emodb/{name} {k} original" for k in range(90))
        speakers = tuple(f"{fold}{k % 3}" for k in range(90))
        return Predictions(fold, protocol, 0, "student", "emodb", LABELS, keys, truth, probabilities, speakers)

    return [(one(fold), leakage) for fold in folds]


def made_row(runs, folds=5):
    return row(pool(runs), recipe="paper", audio="original", folds=folds, facts=FACTS)


@pytest.fixture(scope="module")
def honest(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("honest")
    history = folder / "history.jsonl"
    history.write_text("".join(json.dumps(line) + "\n" for line in HISTORY))
    runs = made_runs()
    assert write_report(folder, made_row(runs), [p for p, _ in runs], history=[history]) == folder / "report.html"
    return folder


@pytest.fixture(scope="module")
def leaky(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("leaky")
    runs = made_runs("paper", [1], Leakage(0.99, 1.0, None), name='<script>alert("x")</script>')
    write_report(folder, made_row(runs, folds=1), [p for p, _ in runs])
    return folder


def test_everything_is_there(honest):
    written = {path.name for path in honest.iterdir()}
    assert written >= {"scores.json", "confusion.png", "calibration.png", "folds.png", "curves.png", "report.html"}
    for picture in honest.glob("*.png"):
        with Image.open(picture) as image:
            assert min(image.size) > 400
            assert np.asarray(image.convert("L")).std() > 10  # something is drawn


def test_the_scores_are_the_row(honest):
    assert json.loads((honest / "scores.json").read_text()) == made_row(made_runs())


def test_the_page_shows_the_numbers_of_the_row(honest):
    text, values = (honest / "report.html").read_text(), made_row(made_runs())
    for metric in ("wa", "uar", "macro_f1"):
        for fraction in (values[metric]["mean"], values[metric]["pooled"], *values[metric]["ci95"]):
            assert f"{100 * fraction:.1f}" in text
    for fraction in values["recall"].values():
        assert f"{100 * fraction:.1f} %" in text
    for fact in ("1,894,151", "0.317 G", "abc123", "torch 2.9", "a machine", "2 of 5", "--fold 3 --fold 4 --fold 5"):
        assert fact in text
    assert text.count("data:image/png") == 4


def test_protocol_paper_is_warned_of_before_any_number_and_honest_protocols_are_not(honest, leaky):
    text = (leaky / "report.html").read_text()
    assert text.index(PAPER_WARNING) < text.index("How well it hears")
    assert json.loads((leaky / "scores.json").read_text())["warning"] == PAPER_WARNING
    assert "augmented copies in training" not in (honest / "report.html").read_text()
    assert 'class="warning"' not in (honest / "report.html").read_text()


def test_the_audit_says_what_it_found_in_words(honest, leaky):
    strict, leaked = ((folder / "report.html").read_text() for folder in (honest, leaky))
    assert "Every test speaker is a stranger" in strict and "The words were trained on" in strict
    assert "99.0" in leaked and "altered copies of them, were trained on" in leaked
    assert "unknown" in leaked and "may be on both sides" in leaked


def test_a_clip_cannot_put_markup_into_the_page(leaky):
    text = (leaky / "report.html").read_text()
    assert "<script" not in text
    assert "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;" in text


def test_who_leaks_is_led_to_strangers(honest, leaky):
    assert "--protocol speaker" in (leaky / "report.html").read_text()
    assert "--protocol speaker" not in (honest / "report.html").read_text()


def test_perfect_predictions_make_a_report_without_mistakes(tmp_path):
    runs = made_runs(skill=60.0)
    text = write_report(tmp_path, made_row(runs), [p for p, _ in runs]).read_text()
    assert made_row(runs)["uar"]["mean"] == 1.0
    assert "Surest mistakes" not in text and "Training" not in text
    assert not (tmp_path / "curves.png").exists()


def _pixels(png: bytes, file: Path) -> np.ndarray:
    file.write_bytes(png)
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_a_warning_is_drawn_into_the_figure_itself(tmp_path):
    def warm(warning: str | None) -> int:
        pixels = _pixels(figures.confusion([[8, 2], [1, 9]], ["anger", "fear"], "title", warning), tmp_path / "x.png")
        return int(((pixels[..., 0] - pixels[..., 2]) > 80).sum())  # the colour of warnings, which nothing else has

    assert warm(None) == 0
    assert warm(PAPER_WARNING) > 1000


def test_darkness_of_a_cell_is_its_share_of_the_row(tmp_path):
    pixels = _pixels(figures.confusion([[90, 10], [0, 5]], ["anger", "fear"], ""), tmp_path / "x.png")
    blues = {tuple(colour) for colour in pixels.reshape(-1, 3)[::7]}
    assert (8, 48, 107) in blues  # 5 of 5: full, although 90 clips are more
    assert (247, 251, 255) in blues  # none


def test_figures_are_the_same_every_time_and_bear_odd_input(tmp_path):
    counts = [[0, 0, 0], [1, 0, 2], [0, 12_345, 0]]
    assert figures.confusion(counts, ODD, "t") == figures.confusion(counts, ODD, "t")
    bins = [[0, 0, 0]] * 14 + [[3, 0.99, 1.0]]
    assert math.prod(_pixels(figures.calibration(bins, 0.01, "t"), tmp_path / "x.png").shape) > 0
    assert figures.runs([[1.0]], ["fold 1"], [0], 1.0, [1.0, 1.0], "UAR", "t")
    assert figures.training([HISTORY, HISTORY[:1]], "t")
