"""Artefacts: what is written is what is loaded, the graph says what the network says, and tampering is refused."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

import feltone
from feltone import artifact
from feltone.artifact import DESCRIPTION
from feltone.errors import ArtifactError
from feltone.features import FeatureConfig
from feltone.lab import ledger
from feltone.lab.corpora import Clip
from feltone.lab.export import Origin, export
from feltone.lab.models import VARIANTS, PatchViT, build
from feltone.labels import LabelSet
from feltone.recognizer import softmax

LABELS = LabelSet(("anger", "neutral", "sadness"))
CLIPS = [Clip("toy", f"clip{i}", Path(f"{i}.wav"), LABELS.names[i % 3], speaker=f"s{i % 2}") for i in range(6)]
ORIGIN = Origin(
    name="toy", variant="teacher", corpus="toy", audio="original", recipe={"name": "smoke"}, protocol="clean", fold=1,
    seed=0, train_seconds=1.0, source={"title": "Toy", "licence": "none", "citation": "nobody"}, device="here",
    versions={}, commit="c", command="x", date="2026-01-01",
)  # fmt: skip


@pytest.fixture(scope="module")
def network() -> PatchViT:
    """A shallow teacher: stem, coordinates, two blocks."""
    return build(replace(VARIANTS["teacher"], depth=2), len(LABELS), seed=3).eval()


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).random((5, 128, 128), np.float32)


@pytest.fixture(scope="module")
def sealed(network: PatchViT, images: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> artifact.Artifact:
    folder = tmp_path_factory.mktemp("models") / "toy"
    return export(network, LABELS, FeatureConfig(), ORIGIN, CLIPS, images, folder)


@pytest.fixture
def copy(sealed: artifact.Artifact, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sealed.folder, tmp_path / "toy"))


def test_the_graph_says_what_the_network_says_for_every_output_and_batch_size(
    sealed: artifact.Artifact, network: PatchViT, images: np.ndarray
) -> None:
    recognize = feltone.load(sealed.folder)
    for count in (1, 3, 5):
        with torch.inference_mode():
            expected = network(torch.from_numpy(images[:count]))
        found = recognize.images(images[:count])
        assert np.abs(found.probabilities - softmax(expected.logits.numpy())).max() < 1e-3
        assert np.abs(found.embedding - expected.embedding.numpy()).max() < 1e-3
        assert np.abs(found.attention - expected.attention.numpy()).max() < 1e-4


def test_the_parity_that_is_stored_is_the_parity_there_is(
    sealed: artifact.Artifact, network: PatchViT, images: np.ndarray
) -> None:
    with torch.inference_mode():
        expected = softmax(network(torch.from_numpy(images)).logits.numpy())
    for precision, bound in (("fp32", 1e-3), ("int8", 5e-2)):
        found = feltone.load(sealed.folder, precision=precision).images(images).probabilities
        stored = sealed.description["parity"][precision]
        assert stored["max_probability_difference"] == pytest.approx(np.abs(found - expected).max(), abs=1e-6)
        assert stored["max_probability_difference"] < bound and stored["images"] == len(images)


@pytest.mark.parametrize("name", ["residual", "student-relative"])
def test_networks_for_honest_protocols_say_the_same_from_their_graph(
    name: str, images: np.ndarray, tmp_path: Path
) -> None:
    """In particular of recordings that end early, which both see relative to what is heard of them."""
    honest = build(VARIANTS[name], len(LABELS), seed=3).eval()
    short = images.copy()
    short[0, :, 40:], short[1:3, :, 90:] = 0, 0
    recognize = feltone.load(export(honest, LABELS, FeatureConfig(), ORIGIN, CLIPS, images, tmp_path / "toy").folder)
    with torch.inference_mode():
        expected = honest(torch.from_numpy(short))
    for rows in (slice(0, 1), slice(1, 3), slice(0, 5)):  # the second and third end with silence that can be merged
        found = recognize.images(short[rows])
        assert np.abs(found.probabilities - softmax(expected.logits[rows].numpy())).max() < 1e-4
        assert np.abs(found.attention - expected.attention[rows].numpy()).max() < 1e-4
    assert recognize.merges_silence is (name == "student-relative")


def test_safetensors_beside_the_graph_hold_the_same_weights(sealed: artifact.Artifact, network: PatchViT) -> None:
    stored = safetensors.torch.load_file(sealed.folder / "model.safetensors")
    assert all(torch.equal(stored[name], tensor) for name, tensor in network.state_dict().items())


def test_labels_features_and_ledger_come_back_as_they_went(sealed: artifact.Artifact) -> None:
    loaded = artifact.load(sealed.folder)
    assert loaded.labels == LABELS and loaded.features == FeatureConfig()
    assert [(c.key, c.label, c.speaker) for c in ledger.read(sealed.folder)] == [
        (c.key, c.label, c.speaker) for c in CLIPS
    ]
    card = (sealed.folder / "README.md").read_text()
    assert "Toy" in card and "anger, neutral and sadness" in card


@pytest.mark.parametrize("name", ["model.onnx", "model.int8.onnx", "model.safetensors", "training.csv", "README.md"])
def test_a_file_that_was_altered_or_taken_away_is_refused_by_name(copy: Path, name: str) -> None:
    with (copy / name).open("r+b") as handle:
        handle.seek(-1, os.SEEK_END)
        last = handle.read(1)
        handle.seek(-1, os.SEEK_END)
        handle.write(bytes([last[0] ^ 1]))
    with pytest.raises(ArtifactError, match=rf"{name}: differs.*SHA-256"):
        feltone.load(copy)
    (copy / name).unlink()
    with pytest.raises(ArtifactError, match=f"{name}: is missing"):
        feltone.load(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": artifact.SCHEMA + 1}, "newer than this Feltone"),
        ({"labels": ["anger", "neutral"]}, "2 labels for 3 outputs"),
        ({"labels": ["anger", "anger", "neutral"]}, "not distinct"),
        ({"labels": None}, "says nothing about 'labels'"),
        ({"features": {"hop": 64}}, r"unknown feature setting \['hop'\]"),
    ],
)
def test_a_description_that_cannot_be_trusted_is_refused_in_one_line(copy: Path, change: dict, message: str) -> None:
    description = json.loads((copy / DESCRIPTION).read_text()) | change
    (copy / DESCRIPTION).write_text(json.dumps({k: v for k, v in description.items() if v is not None}))
    with pytest.raises(ArtifactError, match=message) as caught:
        feltone.load(copy)
    assert "\n" not in str(caught.value) and str(copy) in str(caught.value)


def test_a_description_that_is_not_json_is_refused(copy: Path) -> None:
    (copy / DESCRIPTION).write_text("{")
    with pytest.raises(ArtifactError, match="is not JSON"):
        feltone.load(copy)


def test_a_model_that_does_not_exist_names_those_that_do() -> None:
    with pytest.raises(ArtifactError, match=rf"no-such: no such model; shipped: .*{artifact.DEFAULT_NAME}"):
        feltone.load("no-such")


def test_a_precision_that_does_not_exist_names_those_that_do(sealed: artifact.Artifact) -> None:
    with pytest.raises(ArtifactError, match="no 'fp8' graph; there is fp32, int8"):
        feltone.load(sealed.folder, precision="fp8")


def test_a_model_on_the_hub_is_loaded_from_the_hubs_own_cache(sealed: artifact.Artifact, tmp_path: Path) -> None:
    """The real loading code, offline, on a cache laid out as the hub's client lays it out."""
    commit = "0" * 40
    repository = tmp_path / "hub" / "models--somebody--toy"
    shutil.copytree(sealed.folder, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    program = "import sys, feltone; print(feltone.load(sys.argv[1]).artifact.name)"
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "HF_HUB_CACHE": str(tmp_path / "hub")}
    found = subprocess.run(
        [sys.executable, "-c", program, "hf:somebody/toy"], env=offline, capture_output=True, text=True
    )
    assert found.stdout.strip() == "toy", found.stderr
    absent = subprocess.run(
        [sys.executable, "-m", "feltone.doors.cli", "predict", "x.wav", "--model", "hf:nobody/none"],
        env=offline, capture_output=True, text=True,
    )  # fmt: skip
    assert absent.returncode == 2 and absent.stderr.startswith("feltone: hf:nobody/none: cannot be obtained")
    assert absent.stderr.count("\n") == 1
