"""The method as a careful person would first write it, on librosa and PyTorch alone: slow, short, and right.

It says what Feltone computes, in the order of the paper (Kim & Lee, IEEE Access 2024): the image, the networks, the
three stages, recognition. Feltone's own code is held to it by tests/test_plain.py, and measured beside it.

Parameters are named as in `feltone.lab.models`: either loads the other's weights. B batch, N tokens, D width, h heads.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import librosa
import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from feltone import artifact
from feltone_benchmarks.recognition import STUDENT

# The image ------------------------------------------------------------------------------------------------------------

SAMPLE_RATE, SECONDS = 16_000, 4
FFT, HOP, WINDOW = 1024, 64, 512  # samples
BANDS, COLUMNS = 128, 128
RANGE_DB = 80  # below the clip's maximum


def log_mel_image(file: str | Path) -> np.ndarray:
    """The first four seconds of a recording as float32, (bands, columns), values in [0, 1]."""
    samples, _ = librosa.load(file, sr=SAMPLE_RATE, duration=SECONDS)
    samples = librosa.util.fix_length(samples, size=SECONDS * SAMPLE_RATE)
    spectra = librosa.stft(samples, n_fft=FFT, hop_length=HOP, win_length=WINDOW, window="hamming", center=True)
    power = mel_filters() @ np.abs(spectra) ** 2
    if not power.any():  # of silence there is no maximum
        return np.zeros((BANDS, COLUMNS), np.float32)
    # `amin` far below librosa's 1e-10, at which the quiet parts of a quiet recording would stand still.
    decibels = librosa.power_to_db(power, ref=np.max, amin=1e-20, top_db=RANGE_DB)
    return (1 + decibels / RANGE_DB) @ area_average(decibels.shape[1], COLUMNS)


@cache
def mel_filters() -> np.ndarray:
    """Triangles of height 1 on the HTK mel scale, 0-8 kHz: (bands, bins)."""
    return librosa.filters.mel(sr=SAMPLE_RATE, n_fft=FFT, n_mels=BANDS, htk=True, norm=None)


@cache
def area_average(frames: int, columns: int) -> np.ndarray:
    """What each frame contributes to each column, in proportion to their overlap: (frames, columns)."""
    edges, frame = np.linspace(0, frames, columns + 1), np.arange(frames)[:, None]
    overlap = np.minimum(edges[1:], frame + 1) - np.maximum(edges[:-1], frame)
    return (overlap.clip(0) * columns / frames).astype(np.float32)


# The networks ---------------------------------------------------------------------------------------------------------

TOKEN, HEAD, MLP = 256, 64, 768  # widths
STEM = (16, 32, 64, 32, 16, 1)  # channels


class Output(NamedTuple):
    """What a network says about a batch."""

    logits: Tensor  # (B, classes)
    embedding: Tensor  # (B, D): the normalised class token, the feature that is transferred


class Attention(nn.Module):
    """softmax(q k' / sqrt d) v over all tokens, several heads side by side, behind a normalisation."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(TOKEN)
        self.to_qkv = nn.Linear(TOKEN, 3 * heads * HEAD, bias=False)
        self.to_out = nn.Linear(heads * HEAD, TOKEN)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, D) -> the same."""
        q, k, v = self.to_qkv(self.norm(tokens)).chunk(3, dim=-1)
        q, k, v = (x.unflatten(-1, (self.heads, HEAD)).transpose(1, 2) for x in (q, k, v))  # (B, h, N, d)
        weights = (q @ k.transpose(-1, -2) / HEAD**0.5).softmax(dim=-1)
        return self.to_out((weights @ v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and a perceptron, each added to what it was given."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.attention = Attention(heads)
        self.mlp = nn.Sequential(nn.LayerNorm(TOKEN), nn.Linear(TOKEN, MLP), nn.GELU(), nn.Linear(MLP, TOKEN))

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, D) -> the same."""
        tokens = tokens + self.attention(tokens)
        return tokens + self.mlp(tokens)


class Network(nn.Module):
    """A pre-norm vision transformer with a class token, over patches of one spectrum each."""

    def __init__(self, depth: int, heads: int, classes: int, *, teaches: bool = False) -> None:
        super().__init__()
        self.teaches = teaches
        self.stem = convolutional_stem() if teaches else nn.Identity()
        patch = (3 if teaches else 1) * BANDS  # numbers in a token's column
        self.embed = nn.Sequential(nn.LayerNorm(patch), nn.Linear(patch, TOKEN), nn.LayerNorm(TOKEN))
        self.class_token = nn.Parameter(0.02 * torch.randn(1, 1, TOKEN))
        self.blocks = nn.ModuleList(Block(heads) for _ in range(depth))
        self.norm = nn.LayerNorm(TOKEN)
        self.classifier = nn.Linear(TOKEN, classes)

    def forward(self, images: Tensor) -> Output:
        """(B, bands, columns) -> Output."""
        picture = self.stem(images[:, None])
        if self.teaches:
            picture = with_coordinates(picture)
        tokens = self.embed(picture.permute(0, 3, 1, 2).flatten(2))  # a token per column: its channels, its bands
        tokens = torch.cat([self.class_token.expand(len(images), -1, -1), tokens], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        embedding = self.norm(tokens)[:, 0]
        return Output(self.classifier(embedding), embedding)


def convolutional_stem() -> nn.Sequential:
    """Six convolutions that keep the size of the image, each with instance normalisation and GELU."""
    layers: list[nn.Module] = []
    for inputs, outputs in zip((1, *STEM), STEM, strict=False):
        normalised = nn.Sequential(nn.InstanceNorm2d(outputs), nn.GELU())
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), normalised]
    return nn.Sequential(*layers)


def with_coordinates(picture: Tensor) -> Tensor:
    """Image coordinate encoding: x and y of every pixel, in [-1, 1], as two more channels."""
    B, _, height, width = picture.shape
    x = torch.linspace(-1, 1, width, device=picture.device).expand(B, 1, height, width)
    y = torch.linspace(-1, 1, height, device=picture.device)[:, None].expand(B, 1, height, width)
    return torch.cat([picture, x, y], dim=1)


def teacher(classes: int) -> Network:
    """The teacher of Table 3."""
    return Network(depth=6, heads=5, classes=classes, teaches=True)


def student(classes: int) -> Network:
    """Its student."""
    return Network(depth=3, heads=5, classes=classes)


# The three stages -----------------------------------------------------------------------------------------------------

BATCH, RATE, HALVE_EVERY, EPOCHS = 4, 1e-4, 10, 50
ALPHA = 10  # of matching against classifying

Loss = Callable[[Output, Tensor, Tensor | None], Tensor]
"""(output, targets, the teacher's embedding) -> a number."""


def classify(output: Output, targets: Tensor, taught: Tensor | None) -> Tensor:  # noqa: ARG001
    """Stage 1."""
    return F.cross_entropy(output.logits, targets)


def match(output: Output, targets: Tensor, taught: Tensor | None) -> Tensor:  # noqa: ARG001
    """Stage 2."""
    return F.l1_loss(output.embedding, taught)


def classify_and_match(output: Output, targets: Tensor, taught: Tensor | None) -> Tensor:
    """Stage 3."""
    return classify(output, targets, taught) + ALPHA * match(output, targets, taught)


def in_three_stages(images: Tensor, targets: Tensor, classes: int) -> tuple[Network, Network]:
    """Train a teacher and its student, on images (samples, bands, columns) and class numbers (samples,)."""
    old, young = teacher(classes), student(classes)
    train(old, images, targets, classify)
    train(young, images, targets, match, old)
    train(young, images, targets, classify_and_match, old)
    return old, young


def train(
    network: Network,
    images: Tensor,
    targets: Tensor,
    loss: Loss,
    taught_by: Network | None = None,
    epochs: int = EPOCHS,
    order: Callable[[int], Tensor] | None = None,
) -> None:
    """One stage; `order` gives the order of the samples in an epoch, a random one by default."""
    optimiser = adam(network)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, HALVE_EVERY, gamma=0.5)
    for epoch in range(epochs):
        samples = order(epoch) if order else torch.randperm(len(images))
        for rows in samples.split(BATCH):
            step(network, optimiser, images[rows], targets[rows], loss, taught_by)
        schedule.step()


def adam(network: Network) -> torch.optim.Adam:
    """The optimiser of a stage."""
    return torch.optim.Adam(network.parameters(), lr=RATE)


def step(
    network: Network,
    optimiser: torch.optim.Adam,
    images: Tensor,
    targets: Tensor,
    loss: Loss,
    taught_by: Network | None,
) -> None:
    """Learn from one batch; the teacher, where there is one, is asked each time and does not learn."""
    taught = None
    if taught_by:
        with torch.no_grad():
            taught = taught_by.eval()(images).embedding
    value = loss(network.train()(images), targets, taught)
    optimiser.zero_grad()
    value.backward()
    optimiser.step()


# Recognition ----------------------------------------------------------------------------------------------------------


def recognition(wav: str | Path, model: str | Path = STUDENT) -> Callable[[], dict[str, float]]:
    """The work of turning a recording into the probability of every label, with a student's weights."""
    found = artifact.load(model)
    sizes = found.description["model"]
    network = Network(sizes["depth"], sizes["heads"], len(found.labels)).eval()
    network.load_state_dict(safetensors.torch.load_file(found.folder / "model.safetensors"))

    def recognise() -> dict[str, float]:
        image = torch.from_numpy(log_mel_image(wav))
        with torch.inference_mode():
            chances = network(image[None]).logits.softmax(dim=-1)[0]
        return dict(zip(found.labels, chances.tolist(), strict=True))

    return recognise
