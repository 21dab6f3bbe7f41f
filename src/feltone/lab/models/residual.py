"""A residual network, the teacher for honest protocols: a tenth of the paper's in time, and better on strangers.

Convolutions over frequency and time know that an utterance a little higher is the same utterance, which a network that
reads whole columns has to learn from examples. What is pooled over time are an attentive mean and the deviation, and of
the image each band is also seen relative to its mean over the clip, which leaves out voice and room.

Sources: residual blocks and batch normalisation are those of He et al. (CVPR 2016); attentive statistics over time
Okabe et al. (Interspeech 2018); coordinates as channels are the paper's ICE. Sizes are ours (docs/log.md).

Shapes: B batch, H W image height (mel) and width (time), C channels, L places in time after the last block, D feature.
"""

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from feltone.errors import ConfigError
from feltone.lab.models.levels import heard_columns, relative_levels, standard_levels
from feltone.lab.models.network import RANDOM, Network, Output
from feltone.lab.models.stem import CoordinateChannels

FAMILY = "residual"
REDUCTION = 16  # columns, and bands, per place after the last block
VARIANCE_FLOOR = 1e-5
FEWEST_CHANNELS = 12  # torch 2.13 crashes in convolutions from 8 and fewer channels on processors with AVX-512


@dataclass(frozen=True)
class ResidualConfig:
    """Sizes of a residual network; stored in its artefact."""

    channels: int = 16  # of the first of four blocks; each of the others has twice as many
    image: tuple[int, int] = (128, 128)
    token_width: int = 256
    dropout: float = 0.4  # of the feature, before the classifier
    coordinates: bool = False

    def __post_init__(self) -> None:
        if self.channels < FEWEST_CHANNELS:
            raise ConfigError(f"residual network: {self.channels} channels; choose {FEWEST_CHANNELS} or more")
        if any(size % REDUCTION for size in self.image):
            raise ConfigError(f"image {self.image} does not divide by {REDUCTION}")

    @property
    def merges_padding(self) -> bool:
        """Never: convolutions see how much of it there is."""
        return False

    @property
    def patches(self) -> tuple[int, int]:
        """Attention is over places in time."""
        return 1, self.image[1] // REDUCTION

    @property
    def weights(self) -> str:
        """What training begins from."""
        return RANDOM

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"family": FAMILY, **asdict(self)}


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, batch-normalised, beside a way that skips them."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = _convolution(inputs, outputs, 3, stride), _convolution(outputs, outputs, 3)
        self.skip = _convolution(inputs, outputs, 1, stride) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
        return F.relu(self.second(F.relu(self.first(x))) + self.skip(x))


class Residual(Network):
    """Log-Mel image -> logits, feature, attention over places in time."""

    def __init__(self, config: ResidualConfig, classes: int) -> None:
        super().__init__()
        self.config: ResidualConfig = config
        widths = [config.channels * 2**number for number in range(4)]
        self.coordinates = CoordinateChannels(config.image) if config.coordinates else nn.Identity()
        self.stem = nn.Sequential(_convolution(4 if config.coordinates else 2, widths[0], 5, 2), nn.ReLU())
        self.blocks = nn.Sequential(
            ResidualBlock(widths[0], widths[0], 1),
            *(ResidualBlock(inputs, outputs, 2) for inputs, outputs in pairwise(widths)),
        )
        D = config.token_width
        bands = widths[-1] * config.image[0] // REDUCTION
        self.gather = nn.Sequential(nn.Linear(bands, D, bias=False), nn.LayerNorm(D), nn.ReLU())
        self.attend = nn.Linear(D, 1)
        self.embed = nn.Sequential(nn.Linear(2 * D, D), nn.LayerNorm(D))
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(D, classes)

    def forward(self, image: Tensor, *, every_token: bool = False) -> Output:  # noqa: ARG002 - all of it is read
        """As `Network`; attention is (B, 1, 1, L)."""
        heard = heard_columns(image)  # B W
        picture = self.coordinates(torch.stack([standard_levels(image), relative_levels(image, heard)], 1))
        maps = self.blocks(self.stem(picture.contiguous(memory_format=torch.channels_last)))  # B C H/16 L
        places = self.gather(maps.permute(0, 3, 2, 1).flatten(2)).float()  # B L D
        sounding = F.max_pool1d(heard.float().unsqueeze(1), REDUCTION).transpose(1, 2)  # B L 1
        attention = (self.attend(places) - 1e4 * (1 - sounding)).float().softmax(1)
        share = sounding / sounding.sum(1, keepdim=True).clamp_min(1)
        deviation = places - (share * places).sum(1, keepdim=True)
        spread = ((share * deviation * deviation).sum(1) + VARIANCE_FLOOR).sqrt()
        embedding = self.embed(torch.cat([(attention * places).sum(1), spread], 1))
        return Output(self.classifier(self.dropout(embedding)), embedding, attention.transpose(1, 2).unsqueeze(1))


def _convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))
