"""Training that begins from a finished model: at its weights, with all that it has heard, and never tested on that."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from feltone import artifact
from feltone.artifact import WEIGHTS, Artifact
from feltone.doors import cli
from feltone.errors import ArtifactError, ConfigError
from feltone.lab import recipes
from feltone.lab.begun import begun_from
from feltone.lab.ledger import read
from feltone.lab.recipes import Recipe, recipe
from toy import QUICKLY, know_small

SHIPPED = artifact.DEFAULT_NAME


def small(learning_rate: float) -> Recipe:
    """The tiny recipe at another learning rate."""
    made = recipe("small")
    return replace(made, stages=tuple(replace(stage, learning_rate=learning_rate) for stage in made.stages))


def trained(corpus: str, protocol: str, data: Path, out: Path, *more: str) -> Path:
    """A model of recipe `small`."""
    line = ["train", "small", "--corpus", corpus, "--data", str(data), "--protocol", protocol, "--fold", "1"]
    assert cli.run([*line, "--out", str(out), *more, *QUICKLY]) == 0
    return out / "seed-0" / "fold-1" / "teacher"


@pytest.fixture(scope="module")
def of_savee(two_corpora: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of all of the small SAVEE."""
    folder = tmp_path_factory.mktemp("savee")
    with pytest.MonkeyPatch.context() as patch:
        know_small(patch, folder / "cache")
        return trained("savee", "all", two_corpora, folder / "run")


@pytest.fixture
def heard_savee(of_savee: Path, quick: Path) -> Path:
    """That model, where its recipe is known."""
    return of_savee


def test_it_begins_at_the_weights_and_tells_what_was_heard(
    heard_savee: Path, two_corpora: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    still = small(1e-12)
    recipes.RECIPES["small"] = lambda: still
    model = trained("emodb", "speaker", two_corpora, tmp_path / "run", "--from", str(heard_savee))
    assert "training begins from teacher-savee, which has heard 10 clips of savee" in capsys.readouterr().err
    known, found = load_file(heard_savee / WEIGHTS), load_file(model / WEIGHTS)
    for name in (name for name in known if not name.startswith("classifier")):
        torch.testing.assert_close(found[name], known[name], atol=1e-6, rtol=0)
    assert found["classifier.weight"].shape[0] == 7
    heard = read(model)
    assert {clip.corpus for clip in heard} == {"emodb", "savee"} and set(read(heard_savee)) < set(heard)
    origin = artifact.load(model).description["origin"]
    assert origin["recipe"]["name"] == "small-from-teacher-savee" and "SAVEE" in origin["source"]["title"]
    assert origin["recipe"]["begun"]["corpora"] == ["savee"]
    card = (model / "README.md").read_text()
    assert "Training began from `teacher-savee`, which had learnt from savee." in card
    assert 'license: "other"' in card  # SAVEE's terms hold for what goes on from it
    tested = json.loads((model.parent / "teacher.tested.json").read_text())
    assert tested["leakage"]["same_recording"] == 0


def test_it_goes_on_with_more_of_the_same_and_keeps_the_classifier(
    heard_savee: Path, two_corpora: Path, tmp_path: Path
) -> None:
    still = small(1e-12)
    recipes.RECIPES["small"] = lambda: still
    model = trained("savee", "all", two_corpora, tmp_path / "run", "--from", str(heard_savee))
    known, found = load_file(heard_savee / WEIGHTS), load_file(model / WEIGHTS)
    torch.testing.assert_close(found, known, atol=1e-6, rtol=0)


def test_a_run_goes_on_only_from_the_model_it_began_from(
    heard_savee: Path, two_corpora: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--corpus", "emodb", "--data", str(two_corpora), "--protocol", "speaker", "--fold", "1"]
    line = ["train", "small", *where, "--out", str(tmp_path / "run"), *QUICKLY]
    assert cli.run([*line, "--from", str(heard_savee)]) == 0
    shutil.rmtree(tmp_path / "run" / "seed-0" / "fold-1" / "teacher")
    capsys.readouterr()
    assert cli.run(line) == 2
    assert "holds a run with another before, recipe" in capsys.readouterr().err


def test_what_a_model_has_heard_is_not_tested(
    heard_savee: Path, two_corpora: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--corpus", "emodb", "--data", str(two_corpora), "--protocol", "cross", "--test-corpus", "savee"]
    line = ["train", "small", *where, "--from", str(heard_savee), *QUICKLY]
    assert cli.run([*line, "--out", str(tmp_path / "run")]) == 2
    assert "corpus 'savee' is divided or tested on" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_only_one_thing_comes_first(two_corpora: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["train", "honest", "--corpus", "emodb", "--data", str(two_corpora), "--protocol", "speaker", *QUICKLY]
    assert cli.run([*line, "--out", str(tmp_path / "run"), "--from", SHIPPED, "--after", "savee"]) == 2
    assert f"--from {SHIPPED} and --after savee: training begins from one of them" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "model", "begins"),
    [
        ("honest", SHIPPED, ["residual"]),
        ("honest-student", SHIPPED, ["teacher"]),
        ("paper", "student-emodb", ["matching"]),
    ],
)
def test_networks_of_the_models_kind_begin_from_it(name: str, model: str, begins: list[str]) -> None:
    found = begun_from(recipe(name), artifact.load(model))
    assert [stage.name for stage in found.stages if stage.start == f"before:{model}"] == begins
    assert json.loads(json.dumps(found.to_dict()))["begun"]["model"] == model


def test_what_was_done_to_the_recordings_that_were_heard_is_told(two_corpora: Path, tmp_path: Path) -> None:
    """The shipped model has heard reconstructed audio, which its ledger alone could not tell."""
    from feltone.lab.experiment import Experiment, Material, origin_of

    made = begun_from(recipe("honest"), artifact.load(SHIPPED))
    wanted = Experiment("savee", two_corpora, "all", heard=made.heard)
    material = Material.read("savee", two_corpora)
    told = origin_of(material, made, wanted.folds(material)[0], 0, "name", "residual", 1.0)
    assert told.audio == "reconstructed" and "CREMA-D" in told.source["title"]


@pytest.mark.parametrize(
    ("name", "change", "error", "says"),
    [
        ("paper", {}, ConfigError, r"trains teacher, student, and residual-emodb-crema-d is a residual; choose recipe"),
        ("honest", {"model"}, ArtifactError, r"to go on from; choose another model"),
        ("honest", {"origin"}, ArtifactError, r"to go on from; choose another model"),
        ("honest", {WEIGHTS}, ArtifactError, r"holds no model\.safetensors"),
    ],
)
def test_what_cannot_begin_is_refused(name: str, change: set[str], error: type[Exception], says: str) -> None:
    model = artifact.load(SHIPPED)
    files = {key: value for key, value in model.description["files"].items() if key not in change}
    told = {key: value for key, value in model.description.items() if key not in change} | {"files": files}
    with pytest.raises(error, match=says):
        begun_from(recipe(name), Artifact(model.folder, model.labels, model.features, told))


def test_another_front_end_is_refused() -> None:
    model = artifact.load(SHIPPED)
    with pytest.raises(ConfigError, match="hears by another front end"):
        begun_from(replace(recipe("honest"), features=replace(model.features, clip_seconds=2.0)), model)
