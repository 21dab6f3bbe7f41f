"""The whole story on a small synthetic corpus: train, score, recognise with the result, audit it, continue it."""

import csv
import json
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import feltone
from feltone.doors import cli
from feltone.lab.protocols import PAPER_WARNING
from toy import QUICKLY, know_tiny

SCHEMA = {
    "corpus", "audio", "protocol", "model", "recipe", "folds", "seeds", "wa", "uar", "macro_f1", "leakage", "macs",
    "parameters", "train_seconds", "device", "versions", "commit", "command", "date",
}  # fmt: skip


@pytest.fixture(scope="module")
def run(synthetic_emodb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the smoke recipe under protocol `paper`."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FELTONE_CACHE", str(folder / "cache"))
        patch.setenv("FELTONE_DATA", str(synthetic_emodb))
        command = ["train", "smoke", "--corpus", "emodb", "--protocol", "paper", "--out", str(folder / "run")]
        assert cli.run([*command, *QUICKLY, "--tensorboard", str(folder / "curves")]) == 0
    return folder / "run"


def test_a_run_becomes_a_row_of_the_published_schema_with_its_warning(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["evaluate", str(run), "--results", str(tmp_path), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    files = sorted(tmp_path.glob("*.json"))
    assert [file.name for file in files] == [f"emodb__paper__{stage}__smoke.json" for stage in ("student", "teacher")]
    for row in printed:
        assert set(row) >= SCHEMA and row["warning"] == PAPER_WARNING
        assert row["leakage"]["same_recording"] > 0.9
        assert row["wa"]["ci95"][0] <= row["wa"]["pooled"] <= row["wa"]["ci95"][1]
        assert row["n_test"] == 45 and row["train_seconds"] > 0
        assert json.loads((tmp_path / f"emodb__paper__{row['model']}__smoke.json").read_text()) == row
        report = (run / f"report-{row['model']}" / "report.html").read_text()
        assert "test clips have augmented copies in training" in report


def test_curves_hold_every_epoch_of_every_stage(run: Path) -> None:
    (log,) = (run.parent / "curves").iterdir()
    curves = EventAccumulator(str(log)).Reload()
    history = [json.loads(line) for line in (run / "seed-0" / "fold-1" / "history.jsonl").read_text().splitlines()]
    for epoch in history:
        (loss,) = curves.Scalars(f"{epoch['stage']}/loss")
        assert (loss.step, loss.value) == (epoch["epoch"], pytest.approx(epoch["loss"], rel=1e-5))
    assert [epoch["stage"] for epoch in history] == ["teacher", "matching", "student"]


def test_the_warning_is_printed_beside_the_scores(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["evaluate", str(run)]) == 0
    printed = capsys.readouterr().out
    assert printed.count(PAPER_WARNING) == printed.count("WA ") == 2


def test_the_artefact_knows_what_it_saw_and_recognises(run: Path, synthetic_emodb: Path) -> None:
    model = run / "seed-0" / "fold-1" / "student"
    recognize = feltone.load(model)
    recording = next((synthetic_emodb / "emodb").rglob("*.wav"))
    prediction = recognize(recording)
    assert prediction.label in recognize.labels and len(prediction.scores) == 7
    with (model / "training.csv").open() as handle:
        assert len(list(csv.DictReader(handle))) == 56  # under `paper` every clip, in some copy, was trained on


def test_judging_a_model_on_what_it_was_trained_on_says_so(
    run: Path,
    synthetic_emodb: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The split is honest; the ledger of the model is what tells that this model has heard its test part."""
    monkeypatch.setenv("FELTONE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FELTONE_DATA", str(synthetic_emodb))
    model = str(run / "seed-0" / "fold-1" / "student")
    command = ["evaluate", model, "--corpus", "emodb", "--protocol", "clean", "--out", str(tmp_path / "out"), "--json"]
    assert cli.run(command) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["leakage"]["same_recording"] == 1.0 and "100 %" in row["warning"]


def test_a_finished_run_is_not_run_again(run: Path, synthetic_emodb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FELTONE_DATA", str(synthetic_emodb))
    before = {file: file.stat().st_mtime_ns for file in (run / "seed-0").rglob("*") if file.is_file()}
    command = ["train", "smoke", "--corpus", "emodb", "--protocol", "paper", "--out", str(run)]
    assert cli.run(command + QUICKLY) == 0
    assert before == {file: file.stat().st_mtime_ns for file in (run / "seed-0").rglob("*") if file.is_file()}


def test_a_users_own_table_of_recordings_is_trained_like_any_corpus(
    synthetic_emodb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FELTONE_CACHE", str(tmp_path / "cache"))
    paths = sorted((synthetic_emodb / "emodb").glob("*a01*.wav"))
    rows = [f"{path},{'up' if path.stem[5] in 'WF' else 'down'},{path.stem[:2]}" for path in paths]
    table = tmp_path / "mine.csv"
    table.write_text("\n".join(["path,label,speaker", *rows]))
    know_tiny(monkeypatch)
    command = ["train", "tiny", "--corpus", "manifest", "--data", str(table), "--protocol", "speaker", "--fold", "2"]
    assert cli.run([*command, "--out", str(tmp_path / "run"), *QUICKLY]) == 0
    recognize = feltone.load(tmp_path / "run" / "seed-0" / "fold-2" / "student")
    assert recognize.labels.names == ("down", "up")
    scores = json.loads((tmp_path / "run" / "report-student" / "scores.json").read_text())
    assert scores["leakage"]["same_speaker"] == 0 and scores["folds_run"] == [2]
