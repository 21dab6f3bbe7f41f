"""The one network of the method: a pre-norm vision transformer over patches of a log-Mel image.

Teacher and student are rows of the same table (`VARIANTS`): the teacher wears a convolutional stem and coordinates
(`stem.py`), the student nothing. Sizes are SPEC §3; the *feature* that is transferred is the normalised class token
immediately before the classifier.

Shapes: B batch, H W image height (mel) and width (time), T patches, N = T + 1 tokens, D token width, h heads,
d head width.

Two savings are exact, because nothing but the class token is read at the end and because attention without positions
does not tell equal tokens apart: the last block computes the class token alone (a quarter of the student), and of the
equal patches of silence after a short recording one stands for all (`copies`).
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from feltone.errors import ConfigError
from feltone.lab.models.levels import heard_columns, relative_levels, standard_levels
from feltone.lab.models.network import RANDOM, Network, Output
from feltone.lab.models.stem import ConvolutionalStem, CoordinateChannels, sinusoidal_positions

Position = Literal["none", "coordinates", "sinusoidal"]


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of a network; stored in its artefact."""

    depth: int
    heads: int
    patch: tuple[int, int] = (128, 1)  # height x width
    stem: bool = False
    position: Position = "none"
    relative: bool = False  # patches hold every level twice: as it is, and relative to its band over the clip
    image: tuple[int, int] = (128, 128)
    token_width: int = 256
    head_width: int = 64
    mlp_width: int = 768

    def __post_init__(self) -> None:
        if any(size % step for size, step in zip(self.image, self.patch, strict=True)):
            raise ConfigError(f"image {self.image} cannot be cut into patches of {self.patch}")

    @property
    def merges_padding(self) -> bool:
        """Whether equal patches at the end may be given as one (see `PatchViT.forward`)."""
        return not self.stem and self.position == "none" and self.patches[0] == 1

    @property
    def patches(self) -> tuple[int, int]:
        """Patches along mel and time."""
        return self.image[0] // self.patch[0], self.image[1] // self.patch[1]

    @property
    def weights(self) -> str:
        """What training begins from."""
        return RANDOM

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; `relative` only where it is so, as networks of old know nothing of it."""
        told = asdict(self)
        return told if self.relative else {name: value for name, value in told.items() if name != "relative"}


class BlockSizes(Protocol):
    """What a block needs to know of a network."""

    @property
    def heads(self) -> int:
        """Of the attention."""

    @property
    def head_width(self) -> int:
        """Of each of them."""

    @property
    def token_width(self) -> int:
        """What comes in and goes out."""

    @property
    def mlp_width(self) -> int:
        """Of the perceptron's hidden layer."""


class Attention(nn.Module):
    """Multi-head self-attention with its normalisation and residual.

    Spelled out rather than fused: at 129 tokens that is several times faster on CPU (the backward pass above all),
    and the weights are wanted anyway.
    """

    def __init__(self, config: BlockSizes) -> None:
        super().__init__()
        inner = config.heads * config.head_width
        self.heads = config.heads
        self.scale = config.head_width**-0.5
        self.norm = nn.LayerNorm(config.token_width)
        self.to_qkv = nn.Linear(config.token_width, 3 * inner, bias=False)
        self.to_out = nn.Linear(inner, config.token_width)

    def forward(self, tokens: Tensor, emphasis: Tensor | None, outputs: int) -> tuple[Tensor, Tensor]:
        """(B, N, D) -> the first `outputs` tokens (B, n, D), and the class token's attention (B, h, T)."""
        normal, inner = self.norm(tokens), self.to_out.in_features
        if outputs < tokens.shape[1]:
            q = F.linear(normal[:, :outputs], self.to_qkv.weight[:inner])
            k, v = F.linear(normal, self.to_qkv.weight[inner:]).chunk(2, -1)
        else:
            q, k, v = self.to_qkv(normal).chunk(3, -1)
        q, k, v = (x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2) for x in (q, k, v))  # B h N d
        scores = (q @ k.transpose(-1, -2)) * self.scale
        weights = (scores if emphasis is None else scores + emphasis).softmax(-1)  # B h n N
        mixed = (weights.to(v.dtype) @ v).transpose(1, 2).flatten(2)
        # Detached: attention is looked at, never learned from, and an unused gradient would still be computed.
        return tokens[:, :outputs] + self.to_out(mixed), weights[:, :, 0, 1:].detach()


class Block(nn.Module):
    """Attention, then a two-layer perceptron, each behind a normalisation."""

    def __init__(self, config: BlockSizes) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.mlp = nn.Sequential(
            nn.LayerNorm(config.token_width),
            nn.Linear(config.token_width, config.mlp_width),
            nn.GELU(),
            nn.Linear(config.mlp_width, config.token_width),
        )

    def forward(self, tokens: Tensor, emphasis: Tensor | None, outputs: int) -> tuple[Tensor, Tensor]:
        """As `Attention.forward`."""
        tokens, attention = self.attention(tokens, emphasis, outputs)
        return tokens + self.mlp(tokens), attention


class PatchViT(Network):
    """Log-Mel image -> logits, feature, attention."""

    def __init__(self, config: ModelConfig, classes: int) -> None:
        super().__init__()
        self.config: ModelConfig = config
        rows, columns = config.patches
        self.stem = ConvolutionalStem() if config.stem else nn.Identity()
        self.coordinates = CoordinateChannels(config.image) if config.position == "coordinates" else nn.Identity()
        channels = (2 if config.relative else 1) + (2 if config.position == "coordinates" else 0)
        patch_values = channels * config.patch[0] * config.patch[1]
        self.embed = nn.Sequential(
            # A patch that is normalised by itself is as loud as all others; what is relative to the clip stays so.
            nn.Identity() if config.relative else nn.LayerNorm(patch_values),
            nn.Linear(patch_values, config.token_width),
            nn.LayerNorm(config.token_width),
        )
        positions = sinusoidal_positions(rows * columns, config.token_width)
        self.register_buffer("positions", positions if config.position == "sinusoidal" else None, persistent=False)
        self.class_token = nn.Parameter(0.02 * torch.randn(1, 1, config.token_width))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.token_width)
        self.classifier = nn.Linear(config.token_width, classes)

    def forward(self, image: Tensor, copies: Tensor | None = None, *, every_token: bool = False) -> Output:
        """Logits, feature and attention of a batch.

        Args:
            image: (B, H, W), values in [0, 1].
            copies: (B,), how many equal patches the last one stands for; only where `config.merges_padding`, and W may
                then be any multiple of the patch width. Its attention is that of all of them together.
            every_token: compute in the last block what nobody reads, too, as the paper's costs are counted.
        """
        tokens = self.embed(self.cut(self.coordinates(self.stem(self.levels(image)))))
        if self.positions is not None:
            tokens = tokens + self.positions
        tokens = torch.cat([self.class_token.to(tokens.dtype).expand(tokens.shape[0], -1, -1), tokens], dim=1)
        # c equal tokens weigh in a softmax as one whose score is higher by log c.
        emphasis = None if copies is None else F.pad(copies.log().view(-1, 1, 1, 1), (tokens.shape[1] - 1, 0))
        attentions = []
        for block in self.blocks:
            last = block is self.blocks[-1] and not every_token
            tokens, attention = block(tokens, emphasis, 1 if last else tokens.shape[1])
            attentions.append(attention)
        embedding = self.norm(tokens[:, 0])
        return Output(self.classifier(embedding), embedding, torch.stack(attentions, dim=1))

    def levels(self, image: Tensor) -> Tensor:
        """(B, H, W) -> (B, C, H, W): the image, or its levels and what they are relative to their bands."""
        if not self.config.relative:
            return image.unsqueeze(1)
        return torch.stack([standard_levels(image), relative_levels(image, heard_columns(image))], 1)

    def cut(self, picture: Tensor) -> Tensor:
        """(B, C, H, W) -> flattened patches (B, T, C·height·width), row by row of patches."""
        B, C, H, W = picture.shape
        height, width = self.config.patch
        tiles = picture.view(B, C, H // height, height, W // width, width).permute(0, 2, 4, 1, 3, 5)
        return tiles.reshape(B, -1, C * height * width)
