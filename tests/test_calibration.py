"""How sure a model may be: the temperature that suits it, the confidence that keeps a promise, and who is told."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import feltone
from feltone import artifact, recognizer
from feltone.doors import cli
from feltone.doors.predict import described
from feltone.errors import ArtifactError, ConfigError
from feltone.lab import calibration, tested
from feltone.lab.evaluate import RunFacts
from feltone.lab.models import build
from feltone.lab.predictions import Predictions
from feltone.lab.protocols import Leakage
from feltone.lab.tested import FoldResult
from feltone.labels import LabelSet
from feltone_benchmarks.tiny import TINY
from toy import QUICKLY, know_tiny

LABELS = LabelSet(("anger", "happiness", "neutral", "sadness"))
FACTS = RunFacts(1, 1, 1.0, "here", {}, "0", "none", "2026-01-01")


def overconfident(count: int = 4000, temperature: float = 3.0) -> FoldResult:
    """Answers that would be calibrated, had their logits not been multiplied by a temperature."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (count, len(LABELS)))
    honest = recognizer.softmax(logits)
    truth = np.array([rng.choice(len(LABELS), p=p / p.sum()) for p in honest.astype(np.float64)])
    said = recognizer.softmax(temperature * logits)
    keys = tuple(f"toy/{number} original" for number in range(count))
    of = Predictions(1, "speaker", 0, "student", "toy", LABELS, keys, truth, said, ("a",) * count)
    return FoldResult(of, Leakage(0.0, 0.0, 0.0), 1, {"name": "smoke"}, "original", FACTS)


def test_the_temperature_that_made_answers_overconfident_is_found_and_undone() -> None:
    found = calibration.of_folds([overconfident()], right=0.6)
    assert found.temperature == pytest.approx(3.0, rel=0.08)
    assert found.ece_after < 0.03 < 0.1 < found.ece_before
    assert calibration.of_folds([overconfident(temperature=1.0)], right=0.6).temperature == pytest.approx(1, rel=0.08)


@pytest.mark.parametrize("right", [0.5, 0.7, 0.9])
def test_sure_answers_are_right_as_often_as_promised_and_a_lower_limit_would_not_do(right: float) -> None:
    one = overconfident()
    found = calibration.of_folds([one], right)
    cool = calibration.at_temperature(one.predictions.probabilities, found.temperature)
    hit = cool.argmax(1) == one.predictions.truth
    sure, more = (cool.max(1) >= limit for limit in (found.unsure_below, found.unsure_below - 0.01))
    assert hit[sure].mean() >= right and found.right == pytest.approx(hit[sure].mean())
    assert found.unsure_below == 0 or hit[more].mean() < right
    assert found.answered == pytest.approx(sure.mean())


def test_a_promise_that_nothing_keeps_is_refused() -> None:
    one = overconfident(200)
    wrong = replace(one.predictions, truth=(one.predictions.predicted + 1) % len(LABELS))
    with pytest.raises(ConfigError, match=r"no answers are right to 70%"):
        calibration.of_folds([replace(one, predictions=wrong)])


def test_voices_that_were_known_say_nothing_about_sureness(tmp_path: Path) -> None:
    one = overconfident(50)
    with pytest.raises(ConfigError, match=r"holds no tested folds; name a folder below"):
        calibration.read(tmp_path)
    tested.keep(replace(one, predictions=replace(one.predictions, protocol="clean")), tmp_path)
    with pytest.raises(ConfigError, match=r"tested under clean, where voices are known"):
        calibration.read(tmp_path / "folds" / "toy__clean__student__smoke")


@torch.inference_mode()
def test_a_cooled_network_says_the_same_less_surely() -> None:
    images = torch.rand(5, 128, 128)
    before = build(TINY, 4, seed=0).eval()(images).logits
    after = calibration.cooled(build(TINY, 4, seed=0), 2.5).eval()(images).logits
    torch.testing.assert_close(after, before / 2.5)


@pytest.fixture(scope="module")
def calibrated(synthetic_emodb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model trained to be shipped, calibrated by tested folds that promise little."""
    home = tmp_path_factory.mktemp("calibrated")
    tested.keep(overconfident(300), home)
    folds = home / "folds" / "toy__speaker__student__smoke"
    where = ["--corpus", "emodb", "--data", str(synthetic_emodb), "--protocol", "all"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FELTONE_CACHE", str(home / "cache"))
        know_tiny(patch)
        line = ["train", "tiny", *where, "--calibrate", str(folds), "--out", str(home / "run"), *QUICKLY]
        assert cli.run(line) == 0
    return home / "run" / "seed-0" / "fold-1" / "student"


def test_a_shipped_model_tells_how_sure_it_is(calibrated: Path) -> None:
    told = artifact.load(calibrated).description
    assert told["unsure_below"] == told["calibration"]["unsure_below"] > 0
    assert told["parity"]["fp32"]["max_probability_difference"] < 1e-5
    card = (calibrated / "README.md").read_text()
    assert (
        f"Below a highest probability of {told['unsure_below']:.2f}" in card and "toy__speaker__student__smoke" in card
    )


def test_an_answer_below_the_limit_is_unsure_and_one_above_is_not(
    calibrated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = str(next((Path(feltone.__file__).parent / "clips").glob("*.flac")))
    model = artifact.load(calibrated)
    for limit, unsure in ((1.0, True), (0.0, False)):
        recognize = recognizer.Recognizer(replace(model, description=model.description | {"unsure_below": limit}))
        found = recognize(clip)
        assert found.unsure is unsure and described(found)["unsure"] is unsure
        assert found.label == max(found.scores, key=found.scores.get)
    assert not feltone.load()(clip).unsure or feltone.load().artifact.unsure_below
    told = json.loads((calibrated / "artifact.json").read_text()) | {"unsure_below": 1}
    other = tmp_path / "unsure"
    other.mkdir()
    for file in calibrated.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    (other / "artifact.json").write_text(json.dumps(told))
    assert cli.run(["predict", clip, "--model", str(other)]) == 0
    assert "(unsure)" in capsys.readouterr().out


@pytest.mark.parametrize("limit", [-0.1, 1.5, "much", True, None])
def test_a_limit_that_is_no_probability_is_refused(calibrated: Path, tmp_path: Path, limit: object) -> None:
    for file in calibrated.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    told = json.loads((calibrated / "artifact.json").read_text()) | {"unsure_below": limit}
    (tmp_path / "artifact.json").write_text(json.dumps(told))
    with pytest.raises(ArtifactError, match=r"'unsure_below' is no number between 0 and 1"):
        artifact.load(tmp_path)
