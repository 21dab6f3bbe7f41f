"""One evaluated row as a folder to look at: scores.json, the figures as PNG, and report.html, which holds it all."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from feltone import page
from feltone.files import write_atomically, write_json, write_text
from feltone.lab import crossing, figures
from feltone.lab.history import read as read_history
from feltone.lab.predictions import Predictions
from feltone.lab.protocols import PROTOCOLS
from feltone.page import Html

Row = Mapping[str, Any]
"""What `evaluate.row` gives."""

MISTAKES = 12  # shown, of all seeds and folds
FEW_SPEAKERS = 20  # below it a percentile interval of resampled speakers is noticeably too narrow
METRICS = {"wa": "WA", "uar": "UAR", "macro_f1": "macro-F1"}
MEANING = (
    "WA is accuracy, the share of clips heard rightly. UAR is recall averaged over the classes, so that a rare emotion "
    "counts as much as a frequent one. Macro-F1 joins recall and precision of every class."
)
AUDIT = {
    "same_recording": (
        "same recording",
        "These clips, or altered copies of them, were trained on: for them the score measures memory, not hearing.",
        "No test clip was trained on.",
    ),
    "same_speaker": (
        "same speaker",
        "The voice was trained on: expect lower scores for people the model has never heard.",
        "Every test speaker is a stranger to the model.",
    ),
    "same_sentence": (
        "same sentence",
        "The words were trained on: the model may know how this very sentence sounds in each emotion.",
        "No test sentence was trained on.",
    ),
}


def write_report(
    folder: Path, row: Row, predictions: Sequence[Predictions] = (), *, history: Sequence[Path] = ()
) -> Path:
    """Write the folder; returns its report.html.

    Args:
        folder: made when missing; what an earlier report left there is replaced.
        row: from `evaluate.row`.
        predictions: of the same runs, for the list of mistakes.
        history: `history.jsonl` of the runs, for the training curves.
    """
    write_json(folder / "scores.json", row)
    pictures = draw(row, [read_history(file) for file in history])
    for name, png in pictures.items():
        _write(folder / f"{name}.png", png)
    write_text(folder / "report.html", html(row, pictures, predictions))
    return folder / "report.html"


def draw(row: Row, histories: Sequence[figures.History] = ()) -> dict[str, bytes]:
    """Figures of a row, by name: confusion, calibration, folds (of several runs), curves (with histories)."""
    title, warning, uar = title_of(row), row["warning"], row["uar"]
    drawn = {
        "confusion": figures.confusion(row["confusion"], row["labels"], title, warning),
        "calibration": figures.calibration(row["reliability"], row["ece"], title, warning),
    }
    if len(row["fold_names"]) > 1 or len(row["seeds"]) > 1:
        drawn["folds"] = figures.runs(
            uar["per_run"], row["fold_names"], row["seeds"], uar["pooled"], uar["ci95"], "UAR", title, warning
        )
    if any(histories):
        drawn["curves"] = figures.training(histories, title, warning)
    return drawn


def html(row: Row, pictures: Mapping[str, bytes], predictions: Sequence[Predictions] = ()) -> str:
    """The page of a row."""
    return page.page(
        title_of(row),
        page.warning(row["warning"]) if row["warning"] else "",
        _evaluated(row),
        _headline(row),
        _audit(row),
        _classes(row, pictures["confusion"]),
        _mistakes(predictions) if any((run.predicted != run.truth).any() for run in predictions) else "",
        _calibration(row, pictures["calibration"]),
        _runs(row, pictures.get("folds")),
        _training(pictures["curves"]) if "curves" in pictures else "",
        _provenance(row),
        _next(row),
    )


def title_of(row: Row) -> str:
    """What the figures and the page are called."""
    return f"{row['model']} on {row['corpus']}, protocol {row['protocol']}"


def _evaluated(row: Row) -> Html:
    about, run, seeds = PROTOCOLS.get(row["protocol"]), len(row["folds_run"]), ", ".join(map(str, row["seeds"]))
    return page.paragraph(
        "Model ",
        page.code(row["model"]),
        " (recipe ",
        page.code(row["recipe"]),
        ") on the corpus ",
        page.code(row["corpus"]),
        f" ({row['audio']} audio) under protocol ",
        page.code(row["protocol"]),
        f": {about}. " if about else ". ",
        f"Folds run: {run} of {row['folds']}; seeds: {seeds}; {row['n_test']:,} test samples in all.",
        f" {crossing.told(row['classes'])}" if row.get("classes") else "",
    )


def _headline(row: Row) -> Html:
    runs = sum(map(len, row["uar"]["per_run"]))
    rows = [
        [
            name,
            _percent(row[key]["mean"]),
            _percent(row[key]["sd"]) if runs > 1 else "–",
            _percent(row[key]["pooled"]),
            " to ".join(map(_percent, row[key]["ci95"])),
        ]
        for key, name in METRICS.items()
    ]
    headers = ["%", "mean of runs", "sd of runs", "all folds", "95 % interval"]
    texts = [page.paragraph(text) for text in (MEANING, _interval(*row["resampled"]))]
    return page.section("How well it hears", page.table(headers, rows), *texts)


def _interval(unit: str, units: int) -> str:
    drawn = f"The interval is that of all folds together, from 2,000 resamples of the {units:,} {unit}s"
    if unit == "clip":
        return f"{drawn}: whole speakers could not be drawn (unknown, or only one), so it is too narrow."
    few = " With so few speakers it is somewhat too narrow." if units < FEW_SPEAKERS else ""
    return f"{drawn}. It tells how much hangs on who was tested, not on what was trained on.{few}"


def _audit(row: Row) -> Html:
    def line(key: str) -> list[str]:
        name, shared, disjoint = AUDIT[key]
        share = row["leakage"][key]
        if share is None:
            return [name, "unknown", "The corpus does not tell; it may be on both sides."]
        return [name, f"{100 * share:.1f}", shared if share else disjoint]

    text = page.paragraph("What of the test clips was also in training, found from the clips themselves.")
    headers = ["in training too", "% of test clips", "what that means"]
    return page.section("Leakage audit", text, page.table(headers, map(line, AUDIT)))


def _classes(row: Row, png: bytes) -> Html:
    recall = ", ".join(f"{k} {_percent(v)} %" if v is not None else f"{k} not tested" for k, v in row["recall"].items())
    caption = "Every row sums to 100 %; below the share stands the number of clips, added up over folds and seeds."
    return page.section(
        "Class by class",
        page.paragraph("Recall: of the clips spoken so, how many were heard so."),
        page.bars(row["recall"]),
        page.figure(png, f"Confusion matrix, rows spoken and columns heard. Recall: {recall}.", caption),
    )


def _mistakes(predictions: Sequence[Predictions]) -> Html:
    wrong = [(run, i) for run in predictions for i in np.flatnonzero(run.predicted != run.truth)]
    wrong.sort(key=lambda pair: (-pair[0].probabilities[pair[1]].max(), pair[0].keys[pair[1]]))
    rows = [
        [
            run.keys[i].removesuffix(" original"),
            run.labels.names[run.truth[i]],
            run.labels.names[run.predicted[i]],
            _percent(run.probabilities[i].max()),
            str(run.seed),
        ]
        for run, i in wrong[:MISTAKES]
    ]
    text = f"The {len(rows)} surest of {len(wrong):,}. Worth a listen: a wrong label in the corpus shows up here first."
    headers = ["clip", "spoken as", "heard as", "sure by %", "seed"]
    return page.section("Surest mistakes", page.paragraph(text), page.table(headers, rows))


def _calibration(row: Row, png: bytes) -> Html:
    error = f"Expected calibration error {_percent(row['ece'])} %"
    text = "How far the probability of the chosen label is from the share of clips that it is right for, on average."
    caption = "On the dashed line a probability means what it says; below it the model is too sure of itself."
    return page.section(
        "Calibration", page.paragraph(f"{error}. {text}"), page.figure(png, f"Reliability diagram. {error}.", caption)
    )


def _runs(row: Row, png: bytes | None) -> Html:
    keys = [(key, k) for k in range(len(row["seeds"])) for key in ("wa", "uar")]
    headers = ["fold", *(f"{METRICS[key]} %, seed {row['seeds'][k]}" for key, k in keys)]
    body = [
        [name, *(_percent(row[key]["per_run"][k][fold]) for key, k in keys)]
        for fold, name in enumerate(row["fold_names"])
    ]
    caption = "Each mark is one training; line and band are all folds together, and their 95 % interval."
    drawn = [page.figure(png, "UAR of every fold and seed; the numbers are in the table.", caption)] if png else []
    rest = page.paragraph("Macro-F1 of every run is in ", page.code("scores.json"), ".")
    return page.section("Fold by fold", *drawn, page.table(headers, body), rest)


def _training(png: bytes) -> Html:
    caption = (
        "Loss and accuracy on the training samples, stage by stage, one line per run. A stage that only matches "
        "features does not train the classifier: its accuracy stays at chance."
    )
    return page.section("Training", page.figure(png, "Training loss and accuracy per epoch of every stage.", caption))


def _provenance(row: Row) -> Html:
    versions = ", ".join(f"{name} {version}" for name, version in row["versions"].items())
    rows = [
        ["parameters", f"{row['parameters']:,}"],
        ["multiply-adds per clip", "not countable" if row["macs"] is None else f"{row['macs'] / 1e9:.3f} G"],
        ["training, all runs", f"{row['train_seconds'] / 60:.1f} minutes"],
        ["machine", row["device"]],
        ["versions", versions],
        ["commit", row["commit"]],
        ["command", page.code(row["command"])],
        ["date", row["date"]],
    ]
    return page.section("Where the numbers come from", page.table(["fact", "value"], rows))


def _next(row: Row) -> Html:
    left = sorted(set(range(1, row["folds"] + 1)) - set(row["folds_run"]))
    tested = {label: value for label, value in row["recall"].items() if value is not None}
    weakest = min(tested, key=lambda label: tested[label])
    corpus = row["corpus"].partition(crossing.BETWEEN)[0]
    train = f"feltone train {row['recipe']} --corpus {corpus} --data ROOT --protocol"
    steps: list[Html] = []
    if row["leakage"]["same_speaker"]:
        steps += [
            page.paragraph("Judge the same recipe on speakers it has not heard:"),
            page.commands(f"{train} speaker --out runs/{corpus}-speaker"),
        ]
    if left:
        flags = " ".join(f"--fold {fold}" for fold in left)
        steps.append(page.paragraph("Not all folds were run; repeat the training with ", page.code(flags), "."))
    if len(row["seeds"]) == 1:
        steps.append(page.paragraph("One seed tells little about luck; repeat the training with ",
                                    page.code(f"--seed {row['seeds'][0] + 1}"), "."))  # fmt: skip
    steps.append(
        page.paragraph(f"Weakest class: {weakest} ({_percent(tested[weakest])} % recall). Listen to its clips.")
    )
    steps.append(page.paragraph("Try the model on your own recordings:"))
    steps.append(
        page.commands(
            "feltone predict your.wav --model MODEL", "feltone explain your.wav --model MODEL --out attention.png"
        )
    )
    return page.section("What to do next", *steps)


def _write(file: Path, content: bytes) -> None:
    write_atomically(file, lambda handle: handle.write(content))


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}"
