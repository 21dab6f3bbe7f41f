"""Teachers from outside: what is matched is what the encoder hears, and the student costs what it always did."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import safetensors.torch
import torch
import transformers

import feltone
from encoders import save_tiny_encoder
from feltone import audio
from feltone.artifact import load
from feltone.doors import cli
from feltone.errors import ConfigError
from feltone.features import DEFAULT, FeatureConfig
from feltone.lab import corpora, outside, protocols, recipes
from feltone.lab.augment import COPIES
from feltone.lab.baselines import Hearing
from feltone.lab.dataset import generator_of
from feltone.lab.experiment import Material
from feltone.lab.models import VARIANTS, build
from feltone.lab.models.cost import multiply_adds, parameters
from feltone.lab.models.projected import Projected
from feltone.lab.protocols import Sample
from feltone.lab.recipes import Recipe, recipe
from feltone.lab.training import losses
from feltone.lab.training.losses import Expected
from feltone.lab.training.machine import Machine
from feltone.lab.training.run import train
from feltone.lab.training.stages import OUTSIDE, three_stages
from toy import QUICKLY


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A HuBERT of two layers with random weights, as `save_pretrained` leaves one."""
    folder = tmp_path_factory.mktemp("encoders") / "tiny_hubert"
    return save_tiny_encoder("HubertModel", folder, width=12, layers=2, inner=16)


def command(table: Path, teacher: Path, out: Path, *options: str) -> list[str]:
    where = ["--corpus", "manifest", "--data", str(table), "--protocol", "clean", "--out", str(out)]
    return ["train", "smoke", *where, "--teacher", f"hf:{teacher}", "--teacher-layer", "1", *QUICKLY, *options]


def counting(asked: list[int]) -> Hearing:
    def vector(waveform: np.ndarray) -> np.ndarray:
        asked.append(len(waveform))
        return np.array([np.abs(waveform).mean(), len(waveform), 7.0], np.float32)

    return Hearing("probe-counting", {"version": 1}, vector)


def test_the_encoder_hears_every_copy_as_it_sounds_and_no_longer_than_the_student(
    synthetic_emodb: Path, tmp_path: Path
) -> None:
    clips = corpora.read("emodb", synthetic_emodb)[:3]
    samples = [Sample(clip, copy) for copy in ("speed", "original", "noise", "shift") for clip in reversed(clips)]
    short, asked = replace(DEFAULT, clip_seconds=0.55), []
    found = outside.features_of(samples, counting(asked), short, 5, tmp_path)
    assert len(asked) == len(clips) * len(COPIES) and max(asked) == 8_800
    expected = []
    for sample in samples:
        waveform = audio.load(sample.clip.path)
        rng = generator_of(sample.clip, sample.copy, 5)
        expected.append(np.abs(COPIES[sample.copy](waveform, rng, 8_800, 1.0)[:8_800]).mean())
    expected = (np.array(expected) - np.mean(expected)) / np.std(expected)
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-4)
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-6)
    assert found.dtype == np.float32 and not found[:, 2].any()  # what never varies tells nothing


def test_it_is_asked_once_and_anew_where_anything_it_depends_on_differs(synthetic_emodb: Path, tmp_path: Path) -> None:
    asked: list[int] = []
    hearing, (clip, other) = counting(asked), corpora.read("emodb", synthetic_emodb)[:2]
    seen = []
    for one, heard, config, seed in (
        (clip, hearing, DEFAULT, 0),
        (clip, hearing, DEFAULT, 0),
        (other, hearing, DEFAULT, 0),
        (clip, hearing, DEFAULT, 1),
        (clip, hearing, replace(DEFAULT, clip_seconds=0.55), 0),
        (clip, replace(hearing, settings={"version": 2}), DEFAULT, 0),
    ):
        before = len(asked)
        outside.copies_of(one, heard, config, seed, tmp_path)
        seen.append(len(asked) - before)
    assert seen == [4, 0, 4, 4, 4, 4]


def test_very_short_sounds_are_filled_with_silence(synthetic_emodb: Path, tmp_path: Path, encoder: Path) -> None:
    clip = replace(corpora.read("emodb", synthetic_emodb)[0], start=0.2, end=0.201)
    found = outside.copies_of(clip, outside.teacher_named(f"hf:{encoder}", 1), DEFAULT, 0, tmp_path)
    assert found.shape == (4, 12) and np.isfinite(found).all()


def test_the_stages_that_trained_a_teacher_are_left_out() -> None:
    hearing = counting([])
    taught, own = outside.taught_by(recipe("paper"), hearing), recipe("paper")
    assert [stage.name for stage in taught.stages] == ["matching", "student"] and taught.name == "paper-counting"
    for stage, before in zip(taught.stages, own.stages[1:], strict=True):
        assert stage == replace(before, teacher=OUTSIDE)
    assert taught.to_dict()["outside"] == {"version": 1}
    assert set(own.to_dict()) == {"name", "stages", "features"}  # recipes of old go on being what they were
    with pytest.raises(ConfigError, match="recipe 'nope': none of its stages has a teacher"):
        outside.taught_by(recipe("nope"), hearing)


def test_a_teacher_of_any_width_is_matched_through_a_linear_map() -> None:
    student, images = build(VARIANTS["student"], 3, seed=0), torch.rand(2, 128, 128)
    projected = Projected(student, 5, seed=0)
    plain, seen, teacher = student(images), projected(images), torch.randn(2, 5)
    torch.testing.assert_close(seen.logits, plain.logits)
    mapped = plain.embedding @ projected.projection.weight.T + projected.projection.bias
    loss = losses.feature_l1(seen, Expected(torch.zeros(2, dtype=torch.int64), teacher))
    torch.testing.assert_close(loss, (mapped - teacher).abs().mean())
    loss.backward()
    assert student.embed[1].weight.grad.abs().sum() > 0 and projected.projection.weight.grad.abs().sum() > 0
    assert student.classifier.weight.grad is None
    again = Projected(build(VARIANTS["student"], 3, seed=0), 5, seed=0)
    torch.testing.assert_close(again.projection.weight, projected.projection.weight, rtol=0, atol=0)


def quickly() -> Recipe:
    """A few larger steps, so that something is learnt."""
    stages = three_stages("teacher", "student", epochs=3)
    return Recipe("smoke", tuple(replace(stage, batch=8, learning_rate=1e-3) for stage in stages))


def test_a_taught_student_is_trained_exported_and_costs_what_it_always_did(
    table: Path, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FELTONE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(recipes, "RECIPES", {"smoke": quickly})
    assert cli.run(command(table, encoder, tmp_path / "run")) == 0
    folder = tmp_path / "run" / "seed-0" / "fold-1"
    assert not (folder / "teacher.safetensors").exists()
    ticks = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert [tick["stage"] for tick in ticks] == ["matching"] * 3 + ["student"] * 3
    assert ticks[2]["loss"] < 0.9 * ticks[0]["loss"]
    maps = [
        safetensors.torch.load_file(folder / f"{stage}.projection.safetensors") for stage in ("matching", "student")
    ]
    assert maps[0]["weight"].shape == (12, 256)
    step = (maps[1]["weight"] - maps[0]["weight"]).abs().mean()
    fresh = Projected(build(VARIANTS["student"], 2, seed=0), 12, seed=0).projection.weight
    assert 0 < step < (maps[1]["weight"] - fresh).abs().mean()  # the last stage goes on from matching's map
    plain = build(VARIANTS["student"], 2, seed=0)
    assert safetensors.torch.load_file(folder / "student.safetensors").keys() == plain.state_dict().keys()
    told = load(folder / "student").description
    assert told["macs"] == multiply_adds(plain, plain.config.image)
    assert told["parameters"] == parameters(plain)
    taught = told["origin"]["recipe"]
    assert taught["name"] == "smoke-tiny-hubert" and taught["outside"]["layer"] == 1
    card = (folder / "student" / "README.md").read_text()
    assert f"match the features of `{encoder}` (layer 1)" in card
    clip = audio.load(table.read_text().splitlines()[1].partition(",")[0])
    assert feltone.load(folder / "student").waveform(clip).label in ("up", "down")
    assert (folder / "student.tested.json").is_file() and "manifest clean student" in capsys.readouterr().out
    # The same command has nothing to do; other weights by the same name are another teacher.
    weights = (folder / "student.safetensors").read_bytes()
    assert cli.run(command(table, encoder, tmp_path / "run")) == 0
    assert (folder / "student.safetensors").read_bytes() == weights
    other = command(table, encoder, tmp_path / "run", "--teacher-layer", "2", "--seeds", "1")
    (folder / "student" / "artifact.json").unlink()
    assert cli.run(other) == 2
    assert "holds a run with another recipe" in capsys.readouterr().err


def test_functionals_teach_what_opensmile_computes_of_every_copy(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FELTONE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(recipes, "RECIPES", {"smoke": quickly})
    asked = ["train", "smoke", "--corpus", "manifest", "--data", str(table), "--protocol", "clean"]
    assert cli.run([*asked, "--out", str(tmp_path / "run"), "--teacher", "smile:eGeMAPSv02", *QUICKLY]) == 0
    folder = tmp_path / "run" / "seed-0" / "fold-1"
    ticks = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert ticks[2]["loss"] < 0.9 * ticks[0]["loss"]
    assert safetensors.torch.load_file(folder / "student.projection.safetensors")["weight"].shape == (88, 256)
    assert load(folder / "student").description["origin"]["recipe"]["name"] == "smoke-eGeMAPSv02"
    assert "match the features of `openSMILE's eGeMAPSv02`" in (folder / "student" / "README.md").read_text()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_killed_between_its_stages_it_ends_with_the_same_weights(
    table: Path, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FELTONE_CACHE", str(tmp_path / "cache"))
    asked = [sys.executable, "-m", "feltone.doors.cli", *command(table, encoder, tmp_path / "killed")]
    folders = [tmp_path / name / "seed-0" / "fold-1" for name in ("killed", "straight")]
    process = subprocess.Popen(asked, env=dict(os.environ), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while not (folders[0] / "matching.safetensors").exists():
        assert process.poll() is None, process.communicate()[1].decode()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (folders[0] / "student.safetensors").exists()
    material = Material.read("manifest", table)
    (fold,) = protocols.clean(material.clips, 0)
    taught = outside.taught_by(recipe("smoke"), outside.teacher_named(f"hf:{encoder}", 1))
    machine = Machine.of("cpu", 1, "32", compiled=False, threads=1)
    for folder in folders:
        train(taught, fold, material.labels, folder, seed=0, machine=machine, cache=tmp_path / "cache")
    for file in ("matching", "student", "matching.projection", "student.projection"):
        one, other = ((folder / f"{file}.safetensors").read_bytes() for folder in folders)
        assert one == other, file


def test_what_cannot_teach_is_refused_in_one_line(
    table: Path, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seeing, posing, narrow, absent = (tmp_path / name for name in ("vit", "posing", "narrow", "nowhere"))
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    transformers.ViTModel(transformers.ViTConfig(**sizes, image_size=8, patch_size=4)).save_pretrained(seeing)
    (seeing / "preprocessor_config.json").write_text('{"image_processor_type": "ViTImageProcessor"}')
    transformers.ViTModel(transformers.ViTConfig(**sizes, image_size=8, patch_size=4)).save_pretrained(posing)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(posing)
    transformers.HubertModel.from_pretrained(encoder).save_pretrained(narrow)
    transformers.Wav2Vec2FeatureExtractor(sampling_rate=8_000).save_pretrained(narrow)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    capsys.readouterr()  # what saving them said
    refused = {
        f"hf:{seeing}": "does not take sound",
        f"hf:{posing}": "does not take sound",
        f"hf:{narrow}": "hears 8000 samples a second, clips have 16000",
        f"hf:{absent}": "cannot be had",
        "hf:nobody/no-such-encoder": "cannot be had",
        str(encoder): "write hf:NAME or hf:FOLDER",
        "smile:ComParE_1916": "it has ComParE_2016",
        "smile:eGeMAPSv02": "layer 1: smile:eGeMAPSv02 has no layers",
    }
    for teacher, message in refused.items():
        asked = command(table, encoder, tmp_path / "run")
        asked[asked.index("--teacher") + 1] = teacher
        if "1916" in teacher:
            del asked[asked.index("--teacher-layer") : asked.index("--teacher-layer") + 2]
        assert cli.run(asked) == 2
        told = capsys.readouterr().err
        assert message in told and told.count("\n") == 1, told
    asked = command(table, encoder, tmp_path / "run", "--teacher-layer", "9")
    assert cli.run(asked) == 2 and "layer 9" in capsys.readouterr().err
    asked = ["train", "smoke", "--corpus", "manifest", "--data", str(table), "--protocol", "clean"]
    assert cli.run([*asked, "--out", str(tmp_path / "run"), "--teacher-layer", "1", *QUICKLY]) == 2
    assert "name it with --teacher" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match="the student hears 8000 samples a second"):
        slow = FeatureConfig(sample_rate=8_000, max_hz=4_000)
        outside.features_of([], counting([]), slow, 0, tmp_path)


def test_an_encoder_has_no_answers_to_be_learnt() -> None:
    found = outside.taught_by(recipes.recipe("honest-student"), counting([]))
    assert [(stage.name, stage.teacher, set(stage.losses)) for stage in found.stages] == [
        ("matching", "outside", {"feature_l1"}),
        ("student", "outside", {"smoothed_cross_entropy", "feature_l1"}),
    ]
