"""Robustness: paired with the very clips as recorded, repeatable, and only on what a model has not been trained on."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from feltone.artifact import load
from feltone.doors import cli
from feltone.errors import CorpusError, ProtocolError
from feltone.lab import corpora, protocols, recipes, robustness, trained
from feltone.lab.conditions import CLEAN, CONDITIONS
from feltone.lab.recipes import Recipe
from feltone.lab.robustness import Subject, document, judged
from feltone.lab.study_tables import robustness as table
from feltone.lab.tested import FoldResult
from feltone.lab.training.stages import Stage
from toy import QUICKLY

FEW = {name: CONDITIONS[name] for name in (CLEAN, "seconds-0.5", "white-0", "babble-0")}


def at_once() -> Recipe:
    """A student in a few steps that nobody teaches."""
    return Recipe("smoke", (Stage("student", "student", {"cross_entropy": 1.0}, epochs=1, batch=32),))


@pytest.fixture(scope="module")
def run(synthetic_emodb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one fold of strangers."""
    folder = tmp_path_factory.mktemp("robustness")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FELTONE_CACHE", str(folder / "cache"))
        patch.setattr(recipes, "RECIPES", {"smoke": at_once})
        where = ["--corpus", "emodb", "--data", str(synthetic_emodb), "--protocol", "speaker", "--fold", "2"]
        assert cli.run(["train", "smoke", *where, "--out", str(folder / "run"), *QUICKLY]) == 0
    return folder / "run"


def command(data: Path, asked: Path | str, out: Path, *options: str, protocol: str = "speaker") -> list[str]:
    where = ["--corpus", "emodb", "--data", str(data), "--protocol", protocol, "--out", str(out)]
    return ["robustness", str(asked), *where, *options]


def test_every_condition_is_compared_with_the_clips_that_evaluate_scores(
    run: Path, synthetic_emodb: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    asked = command(synthetic_emodb, run, tmp_path / "out", "--json", "--results", str(results))
    assert cli.run(asked) == 0
    found = json.loads(capsys.readouterr().out)
    scored = FoldResult.read(run / "seed-0" / "fold-2" / "student.tested.json")
    clean = found["conditions"][0]
    truth, predicted = scored.predictions.truth, scored.predictions.predicted
    assert clean["wa"]["pooled"] == pytest.approx(np.mean(truth == predicted), abs=1e-6)
    assert [condition["name"] for condition in found["conditions"]] == list(CONDITIONS)
    assert found["n_test"] == len(truth) and found["leakage"]["same_speaker"] == 0
    for condition in found["conditions"]:
        for metric in ("wa", "uar"):
            one = condition[metric]
            assert one["pooled"] - clean[metric]["pooled"] == pytest.approx(one["difference"], abs=2e-6)
        (test,) = condition["mcnemar"]
        gained = (test["only_first"] - test["only_second"]) / found["n_test"]
        assert condition["wa"]["difference"] == pytest.approx(gained, abs=2e-6)
    assert json.loads((results / "emodb__speaker__student__smoke.json").read_text()) == found
    assert json.loads((tmp_path / "out" / "robustness.json").read_text()) == found
    with Image.open(tmp_path / "out" / "robustness.png") as figure:
        assert figure.width > 1_000
    rows = table([found]).splitlines()
    assert sum(row.startswith("|") for row in rows) == 2 + len(CONDITIONS) and "1 of 4 folds" in rows[0]


def test_an_artefact_says_what_its_run_says_and_the_same_again(
    run: Path, synthetic_emodb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(robustness, "CONDITIONS", FEW)
    clips = corpora.read("emodb", synthetic_emodb)
    fold = protocols.split("speaker", clips, seed=0)[1]
    subject = Subject.of_artifact(load(run / "seed-0" / "fold-2" / "student"))
    one, again = (judged(subject, "emodb", fold, 4, seed=0) for _ in range(2))
    of_run = robustness.judged(_of_run(run / "seed-0" / "fold-2"), "emodb", fold, 4, seed=0)
    for name in FEW:
        probabilities = one[name].predictions.probabilities
        np.testing.assert_array_equal(probabilities, again[name].predictions.probabilities)
        np.testing.assert_allclose(probabilities, of_run[name].predictions.probabilities, atol=1e-4)
    other = judged(subject, "emodb", fold, 4, seed=1)
    same = [np.array_equal(one[n].predictions.probabilities, other[n].predictions.probabilities) for n in FEW]
    assert same == [True, True, False, False]  # what is random follows the seed, and nothing else does
    assert document([one])["conditions"][0]["mcnemar"][0]["p"] == 1


def _of_run(folder: Path) -> Subject:
    return Subject.of_run(trained.read(folder, "student"), folder)


def test_a_model_is_not_asked_about_what_it_was_trained_on(
    run: Path, synthetic_emodb: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fold = run / "seed-0" / "fold-2"
    refused = {
        "is of protocol speaker, not clean": command(synthetic_emodb, run, tmp_path, protocol="clean"),
        "is not a run, whose stages": command(synthetic_emodb, fold / "student", tmp_path, "--stage", "teacher"),
        "holds no run of fold 3": command(synthetic_emodb, run, tmp_path, "--fold", "3"),
        "tests perturbed copies": command(synthetic_emodb, fold / "student", tmp_path, protocol="paper"),
    }
    for message, asked in refused.items():
        assert cli.run(asked) == 2
        assert message in capsys.readouterr().err
    assert cli.run(command(synthetic_emodb, fold / "student", tmp_path, "--fold", "1")) == 2
    told = capsys.readouterr().err
    assert "was trained on 100% of the test clips" in told and "--test-corpus" in told and told.count("\n") == 1
    assert not list(tmp_path.iterdir())
    clips = corpora.read("emodb", synthetic_emodb)
    with pytest.raises(ProtocolError, match="was trained on other clips than those of fold 1"):
        judged(_of_run(fold), "emodb", protocols.split("speaker", clips, seed=0)[0], 4, seed=0)


def test_across_corpora_the_answers_are_those_that_both_sides_have(
    synthetic_emodb: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(robustness, "CONDITIONS", FEW)
    clips = corpora.read("emodb", synthetic_emodb)
    others = [replace(clip, corpus="other") for clip in clips if clip.label in ("anger", "sadness")][:6]
    strange = [replace(clip, corpus="other", label="calm") for clip in clips[:2]]
    subject = Subject.of_artifact(load())
    (fold,) = protocols.cross(clips, others + strange)
    (result, *_) = judged(subject, "emodb", fold, 1, seed=0).values()
    assert result.predictions.labels.names == ("anger", "sadness") and result.classes["dropped"]["calm"] == {"other": 2}
    whole = subject.ask(np.zeros((1, 128, 128), np.float32))
    assert whole.shape == (1, 7) and result.predictions.probabilities.shape == (6, 2)
    with pytest.raises(CorpusError, match="does not know calm"):
        judged(subject, "emodb", replace(fold, test=tuple(map(protocols.Sample, strange))), 1, seed=0)


def test_babble_is_never_the_speakers_own_voice(synthetic_emodb: Path) -> None:
    clips = corpora.read("emodb", synthetic_emodb)
    (fold,) = protocols.clean(clips, 0)
    voices = robustness._Voices.of(fold, 0, 16_000)
    trained_on = {sample.clip.key for sample in fold.train}
    assert {clip.key for clip, _ in voices.spoken} <= trained_on
    spoken = {clip.speaker: sum(other.speaker != clip.speaker for other, _ in voices.spoken) for clip in clips}
    for clip in clips:
        assert len(voices.beside(clip)) == spoken[clip.speaker] > 0
    alone = robustness._Voices(tuple(pair for pair in voices.spoken if pair[0].speaker == clips[0].speaker))
    with pytest.raises(ProtocolError, match="no training clip is of another speaker"):
        alone.beside(clips[0])
