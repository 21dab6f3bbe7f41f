"""Protocol `cross` end to end: labels of two corpora meet in one vocabulary, and the row says what was left out."""

import doctest
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from conftest import SAMPLE_RATE, speak
from feltone.doors import cli
from feltone.errors import ConfigError
from feltone.lab import corpora, crossing, protocols
from feltone.lab.corpora import Clip
from feltone.lab.tested import FoldResult, row_of
from test_comparisons import judged
from toy import QUICKLY, know_tiny

SAVEE = {"a": "W", "d": "E", "f": "A", "h": "F", "n": "N", "sa": "T", "su": "L"}  # its code -> a manner of `speak`
SHARED = ["anger", "disgust", "fear", "happiness", "neutral", "sadness"]


@pytest.fixture(scope="module")
def two_corpora(synthetic_emodb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`emodb/` of 28 clips and `savee/` of 28, which has surprise where the other has boredom."""
    root = tmp_path_factory.mktemp("two")
    (root / "emodb").mkdir()
    for file in (synthetic_emodb / "emodb").glob("0[38]*"):
        (root / "emodb" / file.name).symlink_to(file)
    (root / "savee").mkdir()
    for seed, (code, letter) in enumerate(SAVEE.items()):
        for speaker, voice in (("DC", "03"), ("JE", "10")):
            for number in (1, 2):
                sound = speak(voice, f"a0{number}", letter, 100 + 4 * seed + number)
                file = root / "savee" / f"{speaker}_{code}{number:02}.wav"
                soundfile.write(file, sound.astype(np.float32), SAMPLE_RATE, subtype="PCM_16")
    return root


def test_the_examples_in_the_docstrings_are_true() -> None:
    assert doctest.testmod(crossing).failed == 0


def test_a_network_is_trained_on_one_corpus_and_tested_on_another(
    two_corpora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FELTONE_DATA", str(two_corpora))
    monkeypatch.setenv("FELTONE_CACHE", str(tmp_path / "cache"))
    run, results = tmp_path / "run", tmp_path / "results"
    know_tiny(monkeypatch)
    command = ["train", "tiny", "--corpus", "emodb", "--test-corpus", "savee", "--protocol", "cross"]
    assert cli.run([*command, "--out", str(run), *QUICKLY]) == 0
    assert "Left out: boredom (4 clips of emodb), surprise (4 clips of savee)." in capsys.readouterr().out
    assert cli.run(["evaluate", str(run), "--results", str(results)]) == 0
    row = json.loads((results / "emodb-to-savee__cross__student__tiny.json").read_text())
    assert row["labels"] == row["classes"]["shared"] == SHARED
    assert row["classes"]["dropped"] == {"boredom": {"emodb": 4}, "surprise": {"savee": 4}}
    assert row["n_test"] == 24 and row["resampled"] == ["clip", 24]  # two speakers are too few to draw from
    assert row["leakage"] == {"same_recording": 0.0, "same_speaker": 0.0, "same_sentence": 0.0}
    report = (run / "report-student" / "report.html").read_text()
    assert "Classes of both sides: anger, disgust" in report and "surprise (4 clips of savee)" in report
    assert "--corpus emodb-to-savee" not in report
    (kept,) = (results / "folds" / "emodb-to-savee__cross__student__tiny").iterdir()
    assert all(key.startswith("savee/") for key in FoldResult.read(kept).predictions.keys)


def test_a_finished_model_is_crossed_over_the_classes_of_both_sides(
    two_corpora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FELTONE_DATA", str(two_corpora))
    monkeypatch.setenv("FELTONE_CACHE", str(tmp_path / "cache"))
    options = ["--protocol", "cross", "--out", str(tmp_path / "out"), "--results", str(tmp_path / "results")]
    assert cli.run(["evaluate", "student-emodb", "--corpus", "emodb", "--test-corpus", "savee", *options]) == 0
    (row,) = (json.loads(file.read_text()) for file in (tmp_path / "results").glob("*.json"))
    assert row["labels"] == SHARED and row["corpus"] == "emodb-to-savee"  # though it knows boredom, too
    (kept,) = (tmp_path / "results" / "folds").glob("*/*.json")
    assert FoldResult.read(kept).predictions.probabilities.sum(1) == pytest.approx(1, abs=1e-5)
    capsys.readouterr()
    assert cli.run(["evaluate", "student-emodb", "--corpus", "savee", "--test-corpus", "emodb", *options]) == 2
    assert "learnt from emodb; name that with --corpus" in " ".join(capsys.readouterr().err.split())


def test_anxiety_and_fear_are_one_class(two_corpora: Path) -> None:
    (fold,) = protocols.cross(corpora.read("emodb", two_corpora), corpora.read("savee", two_corpora))
    for part, name in ((fold.train, "emodb"), (fold.test, "savee")):
        assert {sample.clip.corpus for sample in part} == {name}
        assert sum(sample.clip.label == "fear" and sample.copy == "original" for sample in part) == 4


def clip(name: str, label: str, corpus: str) -> Clip:
    return Clip(corpus, name, Path(name), label, "s", None, "t")


def test_every_clip_is_in_training_in_test_or_said_to_be_left_out() -> None:
    train = [clip(f"{label}{k}", label, corpus) for corpus in ("a", "b") for label in ("x", "y", "z") for k in range(2)]
    test = [clip(f"{label}{k}", label, "c") for label in ("x", "y", "w") for k in range(3)]
    (fold,) = protocols.cross(train, test)
    used = {sample.clip for sample in (*fold.train, *fold.test)}
    assert used | set(fold.dropped) == {*train, *test} and not used & set(fold.dropped)
    assert crossing.classes_of(fold) == {"shared": ["x", "y"], "dropped": {"w": {"c": 3}, "z": {"a": 2, "b": 2}}}
    assert crossing.corpus_of(fold, "a+b") == "a+b-to-c"


def test_other_protocols_leave_no_class_out_and_keep_their_name(synthetic_emodb: Path) -> None:
    (fold,) = protocols.clean(corpora.read("emodb", synthetic_emodb), 0)
    assert crossing.classes_of(fold) is None and fold.dropped == ()
    assert crossing.corpus_of(fold, "emodb") == "emodb" and crossing.audio_of(fold) == "original"


def test_folds_with_other_classes_are_not_one_row_and_files_without_them_are_still_read(tmp_path: Path) -> None:
    plain = judged()
    file = tmp_path / "fold.json"
    file.write_text(plain.to_json(), encoding="utf-8")
    assert '"classes"' not in plain.to_json() and FoldResult.read(file).classes is None
    assert "classes" not in row_of([plain])
    told = {"shared": ["anger", "fear", "neutral"], "dropped": {"boredom": {"emodb": 3}}}
    crossed = FoldResult(plain.predictions, plain.leakage, 3, plain.recipe, plain.audio, plain.facts, told)
    file.write_text(crossed.to_json(), encoding="utf-8")
    assert FoldResult.read(file).classes == told == row_of([crossed])["classes"]
    with pytest.raises(ConfigError, match="differ in their classes"):
        row_of([plain, crossed])
