"""Seeds joined: one network that says what all of them agree on, and whose scores need no weights to be known."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from feltone.artifact import load
from feltone.doors import cli
from feltone.errors import ConfigError
from feltone.lab import joining, ledger, recipes, reproduce, tested
from feltone.lab.models import NetworkConfig, ResidualConfig, build
from feltone.lab.models.cost import multiply_adds, parameters
from feltone.lab.trained import network_of
from feltone.labels import LabelSet
from feltone.recognizer import softmax
from feltone_benchmarks import tiny
from test_evaluate import predictions
from test_tested import result
from toy import QUICKLY, know_tiny

MEMBERS = [ResidualConfig(channels=12, token_width=32), tiny.TINY]


@pytest.mark.parametrize("config", MEMBERS, ids=["residual", "vit"])
@torch.inference_mode()
def test_it_says_the_mean_of_what_its_members_say(config: NetworkConfig) -> None:
    members = [build(config, 4, seed).eval() for seed in range(3)]
    images = torch.rand(2, 128, 128, generator=torch.Generator().manual_seed(0))
    alone, together = [member(images) for member in members], joining.joined(members)(images)
    torch.testing.assert_close(together.logits, torch.stack([one.logits for one in alone]).mean(0))
    torch.testing.assert_close(together.attention, torch.stack([one.attention for one in alone]).mean(0))
    torch.testing.assert_close(together.embedding, torch.cat([one.embedding for one in alone], 1))


@pytest.mark.parametrize("config", MEMBERS, ids=["residual", "vit"])
def test_the_row_of_joined_answers_says_what_the_joined_network_says_and_costs(config: NetworkConfig) -> None:
    members = [build(config, 4, seed).eval() for seed in range(3)]
    images = torch.rand(6, 128, 128, generator=torch.Generator().manual_seed(0))
    facts = replace(result(1).facts, macs=multiply_adds(members[0], (128, 128)), parameters=parameters(members[0]))
    with torch.inference_mode():
        said = [softmax(member(images).logits.numpy()) for member in members]
        expected = softmax(joining.joined(members)(images).logits.numpy())
    heard = {"n": 6, "truth": np.zeros(6, np.int64), "labels": LabelSet(("anger", "fear", "neutral", "sadness"))}
    folds = [
        result(1, facts=facts, predictions=predictions(1, seed, probabilities=said[seed], **heard)) for seed in range(3)
    ]
    (found,) = joining.answers(folds)
    assert np.abs(found.predictions.probabilities - expected).max() < 1e-5
    whole = joining.joined(members)
    assert (found.facts.macs, found.facts.parameters) == (multiply_adds(whole, (128, 128)), parameters(whole))
    assert found.row_name == "toy__speaker__student-x3.json"


def test_seeds_join_when_all_of_them_have_heard_the_same() -> None:
    three = [result(fold, seed) for seed in range(3) for fold in (1, 2)]
    assert [one.predictions.fold for one in joining.answers(three)] == [1, 2]
    assert joining.answers(three[:4]) == [] and joining.answers(three[:5]) == []  # the third is not through
    other = replace(three[5], predictions=replace(three[5].predictions, keys=three[5].predictions.keys[::-1]))
    assert joining.answers([*three[:5], other]) == []


def test_networks_of_two_sizes_are_not_joined() -> None:
    with pytest.raises(ConfigError, match="different sizes"):
        joining.joined([build(config, 4, 0) for config in MEMBERS])


def test_a_row_of_three_seeds_has_one_of_the_three_joined_beside_it(tmp_path: Path) -> None:
    name = "honest-after-crema-d"
    one = reproduce.Planned(None, None, None, recipes.recipe(name), done=True)  # type: ignore[arg-type]
    folds = [result(fold, seed, recipe={"name": name, "stages": []}) for seed in range(3) for fold in (1, 2)]
    for fold in folds:
        file = tested.keep(fold, tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reproduce, "result_files", lambda *_: {"residual": file})
        task = type("Task", (), {"recipe": name})()
        rows = reproduce.write_rows([replace(one, task=task)], tmp_path)
    assert [row.name for row in rows] == [f"toy__speaker__student{x}__{name}.json" for x in ("", "-x3")]
    row = json.loads(rows[1].read_text())
    assert row["seeds"] == [0] and row["folds_run"] == [1, 2] and row["macs"] == 3 * folds[0].facts.macs


@pytest.fixture
def recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    table = tmp_path / "clips.csv"
    tiny.write_recordings(table)
    know_tiny(monkeypatch)
    monkeypatch.setenv("FELTONE_CACHE", str(tmp_path / "cache"))
    return table


def test_a_run_of_several_seeds_makes_one_model_that_is_tested_and_audited(recordings: Path, tmp_path: Path) -> None:
    line = ["train", "tiny-teacher", "--corpus", "manifest", "--data", str(recordings), "--protocol", "speaker"]
    line += ["--fold", "2", "--seeds", "2", "--join", "--out", str(tmp_path / "run"), *QUICKLY]
    assert cli.run(line) == 0
    folder = tmp_path / "run" / "joined" / "fold-2" / "teacher-x2"
    artifact = load(folder)
    singles = [load(tmp_path / "run" / f"seed-{seed}" / "fold-2" / "teacher") for seed in (0, 1)]
    assert ledger.read(folder) == ledger.read(singles[0].folder)
    image = torch.rand(1, 128, 128, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        alone = torch.stack([network_of(one)(image).logits for one in singles]).mean(0)
        torch.testing.assert_close(network_of(artifact)(image).logits, alone)
    found = tested.of_run(tmp_path / "run")
    (whole,) = found["teacher-x2"]
    (answers,) = joining.answers(found["teacher"], members=2)
    assert whole.predictions.keys == answers.predictions.keys
    assert np.abs(whole.predictions.probabilities - answers.predictions.probabilities).max() < 1e-4
    assert whole.facts.train_seconds == pytest.approx(answers.facts.train_seconds, abs=0.2)
    assert "seeds 0 to 1, joined" in (folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--protocol", "speaker"], "--join makes one model of several seeds"),
        (["--protocol", "clean", "--seeds", "2"], "every seed divides anew"),
    ],
)
def test_what_cannot_be_joined_is_refused_in_one_line(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    line = ["train", "tiny-teacher", "--corpus", "manifest", "--data", str(recordings), "--join", *options]
    assert cli.run([*line, "--out", str(tmp_path / "run"), *QUICKLY]) == 2
    assert says in " ".join(capsys.readouterr().err.split())
