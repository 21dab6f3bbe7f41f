"""The fast path equals the plain one: image, networks, gradients, training, probabilities."""

from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import nn
from torch.nn import functional as F

import feltone
from feltone import audio, features
from feltone.doors.demo import CLIPS
from feltone.lab import corpora
from feltone.lab.models import VARIANTS, build
from feltone.lab.training.learner import epoch_order
from feltone.lab.training.loop import fit, said_of
from feltone.lab.training.resident import TrainingData
from feltone.lab.training.stages import Stage

pytest.importorskip("librosa", reason="the plain path needs librosa, which is in feltone[dev]")

from feltone_benchmarks import plain

# librosa's own dependencies import modules that Python is giving up.
pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated and slated for removal:DeprecationWarning")

CLASSES = 7
NETWORKS = {"teacher": plain.teacher, "student": plain.student}
PROBABILITY = {"fp32": 1e-3, "int8": 2e-2}  # by which the fast path may differ
ROUNDING = 1e-5  # between two orders of the same sums in fp32, of numbers near 1
BUNDLED = sorted(CLIPS.glob("*.flac"))


@pytest.fixture(scope="module")
def emodb(corpora_root: Path) -> list[Path]:
    """Forty recordings of EmoDB, evenly spread over speakers, sentences and emotions."""
    clips = corpora.read("emodb", corpora_root)
    return [clip.path for clip in clips[:: len(clips) // 40][:40]]


@pytest.fixture(scope="module", params=PROBABILITY)
def recognize(request: pytest.FixtureRequest) -> feltone.Recognizer:
    return feltone.load(plain.STUDENT, precision=request.param, threads=1)


def pair(name: str) -> tuple[nn.Module, plain.Network]:
    """Feltone's network and the plain one, with the same weights."""
    fast, slow = build(VARIANTS[name], CLASSES, seed=0), NETWORKS[name](CLASSES)
    slow.load_state_dict(fast.state_dict())
    return fast, slow


def batch(count: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Images, of which one ends in silence, and their classes."""
    images = torch.rand(count, 128, 128, generator=torch.Generator().manual_seed(0))
    images[0, :, 70:] = 0
    return images, torch.arange(count) % CLASSES


def same_image(file: Path) -> None:
    difference = np.abs(features.log_mel_image(audio.load(file)) - plain.log_mel_image(file))
    assert difference.max() < 1e-4, file


def same_prediction(file: Path, recognize: feltone.Recognizer) -> None:
    slow, fast = plain.recognition(file)(), recognize(file)
    assert fast.label == max(slow, key=slow.__getitem__), file
    worst = max(abs(slow[label] - fast.scores[label]) for label in slow)
    assert worst < PROBABILITY[recognize.precision], (file, worst)


@pytest.mark.parametrize("file", BUNDLED, ids=lambda file: file.stem)
def test_the_image_of_a_bundled_clip_is_the_plain_one(file: Path) -> None:
    same_image(file)


@pytest.mark.parametrize("file", BUNDLED, ids=lambda file: file.stem)
def test_a_bundled_clip_is_recognised_as_plainly(file: Path, recognize: feltone.Recognizer) -> None:
    same_prediction(file, recognize)


def test_images_of_real_recordings_are_the_plain_ones(emodb: list[Path]) -> None:
    for file in emodb:
        same_image(file)


def test_real_recordings_are_recognised_as_plainly(emodb: list[Path], recognize: feltone.Recognizer) -> None:
    for file in emodb:
        same_prediction(file, recognize)


@pytest.mark.parametrize("training", [False, True], ids=["recognising", "training"])
@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_networks_say_what_the_plain_ones_say(name: str, training: bool) -> None:
    images, _ = batch()
    fast, slow = (network.train(training)(images) for network in pair(name))
    torch.testing.assert_close(fast.logits, slow.logits, atol=ROUNDING, rtol=0)
    torch.testing.assert_close(fast.embedding, slow.embedding, atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_is_given_the_plain_gradient(name: str) -> None:
    images, targets = batch()
    gradients = []
    for network in pair(name):
        output = network(images)
        (F.cross_entropy(output.logits, targets) + output.embedding.abs().mean()).backward()
        gradients.append({name: parameter.grad for name, parameter in network.named_parameters()})
    fast, slow = gradients
    for name, expected in slow.items():
        # What is added is for the biases of the stem: normalisation takes their effect away, and rounding is left.
        allowed = 5e-5 * expected.norm() + 1e-5
        assert (fast[name] - expected).norm() < allowed, name


SAMPLES = 3 * plain.BATCH
STAGES = {
    "teacher": (Stage("short", "teacher", {"cross_entropy": 1.0}, epochs=1), plain.classify),
    "matching": (Stage("short", "student", {"feature_l1": 1.0}, teacher="teacher", epochs=1), plain.match),
    "student": (
        Stage("short", "student", {"cross_entropy": 1.0, "feature_l1": 10.0}, teacher="teacher", epochs=1),
        plain.classify_and_match,
    ),
}


@pytest.mark.parametrize("stage", STAGES)
def test_three_steps_lead_to_the_plain_weights(stage: str, tmp_path: Path) -> None:
    shortened, loss = STAGES[stage]
    images, targets = batch(SAMPLES)
    images = images.half()  # as they are cached
    fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
    (fast, slow), (fast_teacher, slow_teacher) = pair(shortened.learner), pair("teacher")
    taught = {"feature": said_of(fast_teacher, images.numpy(), fabric).feature} if shortened.teacher else {}
    data = TrainingData(images.numpy(), targets.numpy(), **taught)
    begun = {name: weights.clone() for name, weights in slow.state_dict().items()}
    fit(shortened, fast, data, fabric=fabric, seed=0, compiled=False, checkpoint=tmp_path / "checkpoint")

    def order(epoch: int) -> torch.Tensor:
        return torch.from_numpy(epoch_order(SAMPLES, 0, shortened.name, epoch))

    plain.train(slow, images.float(), targets, loss, slow_teacher if taught else None, epochs=1, order=order)
    for name, weights in slow.state_dict().items():
        apart, moved = ((weights - other[name]).abs().sum() for other in (fast.state_dict(), begun))
        # Of the stem's biases the gradient is rounding, which Adam turns into steps of either sign.
        assert apart <= 0.01 * moved or (name.startswith("stem") and name.endswith("bias")), name
