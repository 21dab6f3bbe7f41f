"""The command line: exit codes, one clear line for what is wrong, JSON alone on standard output."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from feltone.artifact import DEFAULT_NAME
from feltone.doors import cli
from feltone.doors.demo import CLIPS


@pytest.fixture
def voice(tmp_path: Path) -> Path:
    """Nine seconds of something like a voice."""
    t = np.arange(9 * 16000) / 16000
    wave = sum(np.sin(2 * np.pi * 140 * k * t) / k for k in range(1, 12)) * (0.3 + 0.2 * np.sin(2 * np.pi * 3 * t))
    file = tmp_path / "voice.wav"
    soundfile.write(file, (wave * 0.2).astype(np.float32), 16000)
    return file


def test_json_is_one_document_and_nothing_else(voice: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["predict", str(voice), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    (prediction,) = printed["predictions"]
    assert printed["model"] == DEFAULT_NAME and printed["errors"] == []
    assert sum(prediction["scores"].values()) == pytest.approx(1, abs=1e-4)
    assert prediction["label"] == max(prediction["scores"], key=prediction["scores"].get)
    assert prediction["seconds"] == 4.0 and prediction["cut"]


def test_a_bad_file_among_good_ones_is_listed_and_the_rest_is_done(
    voice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.wav").write_text("this is no recording")
    assert cli.run(["predict", str(tmp_path), "--json"]) == 3
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert [Path(p["file"]).name for p in document["predictions"]] == ["voice.wav"]
    assert [Path(e["file"]).name for e in document["errors"]] == ["bad.wav"]
    assert "bad.wav" in printed.err and "1 recognised, 1 not" in printed.err


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system keeps names that are no text out")
def test_a_name_that_is_no_text_is_printed_escaped(voice: Path, tmp_path: Path) -> None:
    (tmp_path / "odd").mkdir()
    odd = os.fsencode(tmp_path / "odd") + b"/\xff\x1b[2J.wav"
    Path(os.fsdecode(odd)).write_bytes(voice.read_bytes())
    Path(os.fsdecode(odd + b".wav")).write_bytes(b"no recording")
    command = [sys.executable, "-m", "feltone.doors.cli", "predict", str(tmp_path / "odd"), "--json"]
    strict = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(command, capture_output=True, env=strict)
    assert done.returncode == 3, done.stderr
    (found,) = json.loads(done.stdout)["predictions"]
    assert os.fsencode(found["file"]) == odd, "what is escaped can be read back"
    assert b"\x1b" not in done.stderr and b"\\udcff\\x1b[2J.wav.wav: " in done.stderr


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["predict", "missing.wav"], r"feltone: missing\.wav: no such file"),
        (["predict", "."], r"feltone: \.: no recordings below this folder.*"),
        (["predict", "x.wav", "--model", "nope"], r"feltone: nope: no such model; shipped: .*"),
        (["predict", "x.wav", "--timeline", "--format", "srt"], r"feltone: format 'srt' is not known; known: .*rttm.*"),
        (["predict"], r"feltone: Missing (argument|parameter).*"),
        (["predict", "x.wav", "--loud"], r"feltone: No such option '--loud'.*"),
        (["sing"], r"feltone: No such command 'sing'.*"),
        (["flops", "techer"], r"feltone: variant 'techer' is not known; known: student, .*"),
        (["train", "papper", "--corpus", "emodb", "--data", ".", "--protocol", "clean", "--out", "r"],
         r"feltone: recipe 'papper' is not known; known: paper, .*"),
        (["train", "smoke", "--corpus", "emodp", "--data", ".", "--protocol", "clean", "--out", "r"],
         r"feltone: corpus 'emodp' is not known; known: emodb, .*"),
        (["train", "smoke", "--corpus", "emodb", "--data", ".", "--protocol", "clean", "--out", "r"],
         r"feltone: .*no recordings of EmoDB; it is obtained so: .*"),
        (["reproduce", "table3", "--plan"],
         r"feltone: Missing option '--data'\. Name it, or set FELTONE_DATA \(see feltone --help\)"),
        (["evaluate", "no-run"], r"feltone: no-run: holds no tested fold.*"),
    ],
)  # fmt: skip
def test_a_wrong_request_gets_one_line_and_code_two(
    arguments: list[str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FELTONE_DATA", raising=False)
    assert cli.run(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and re.fullmatch(line + "\n", printed.err)


@pytest.mark.parametrize("form", ["json", "csv", "rttm", "audacity"])
def test_a_timeline_covers_the_recording_in_every_format(
    voice: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["predict", str(voice), "--timeline", "--hop", "2", "--format", form]) == 0
    text = capsys.readouterr().out
    if form == "json":
        ((document),) = json.loads(text)
        assert document["segments"][0]["start"] == 0 and document["segments"][-1]["end"] == pytest.approx(9)
    else:
        assert "9.000" in text.splitlines()[-1] or float(text.split()[3]) + float(text.split()[4]) <= 9.0


def test_standard_input_is_a_recording(
    voice: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.run(["predict", str(voice), "--json"])
    by_name = json.loads(capsys.readouterr().out)["predictions"][0]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(voice.read_bytes())))
    assert cli.run(["predict", "-", "--json"]) == 0
    piped = json.loads(capsys.readouterr().out)["predictions"][0]
    assert piped["scores"] == by_name["scores"] and piped["file"] == "standard input"


def test_demo_writes_one_page_that_needs_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "demo.html"
    assert cli.run(["demo", "--out", str(page)]) == 0
    printed, html = capsys.readouterr(), page.read_text()
    clips = [file.name for file in CLIPS.glob("*.flac")]
    assert all(name in printed.out and name in html for name in clips)
    assert html.count("data:image/png;base64,") == len(clips) and "synthetic" in html
    assert not re.search(r"""(src|href)=["'](?!data:)""", html)
    assert page.resolve().as_uri() in printed.err


def test_demo_takes_a_users_own_recording(voice: Path, tmp_path: Path) -> None:
    page = tmp_path / "demo.html"
    assert cli.run(["demo", str(voice), "--out", str(page)]) == 0
    html = page.read_text()
    assert "voice.wav" in html and "synthetic" not in html


def test_explain_draws_a_picture(voice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["explain", str(voice), "--out", str(tmp_path / "x.png")]) == 0
    assert str(tmp_path / "x.png") in capsys.readouterr().out
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.format == "PNG" and picture.width > 800


def test_flops_as_json_is_what_the_table_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["flops", "student", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert set(row) == {"variant", "macs", "executed_macs", "parameters", "paper_macs"}
    assert cli.run(["flops", "student"]) == 0
    assert f"{row['macs'] / 1e9:.3f} G" in capsys.readouterr().out


def test_corpora_tells_what_was_found(synthetic_emodb: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["corpora", "--data", str(synthetic_emodb), "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["emodb"]["found"] == 56 and rows["savee"]["found"] is None
    assert all(row["licence"] and row["citation"] and row["obtain"] for row in rows.values())


def test_prepare_reports_what_is_missing_and_returns_three(
    synthetic_emodb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FELTONE_CACHE", str(tmp_path))
    assert cli.run(["prepare", "emodb", str(synthetic_emodb), "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert document["clips"] == 56 and len(list(tmp_path.rglob("*.npy"))) == 56
    assert len(document["problems"]["missing"]) > 400


def test_the_shell_sees_what_python_sees(voice: Path) -> None:
    command = [sys.executable, "-m", "feltone.doors.cli", "predict", str(voice), "missing.wav", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 3 and len(json.loads(done.stdout)["predictions"]) == 1
    assert "missing.wav: no such file" in done.stderr and "Traceback" not in done.stderr
