"""SepTr, the separable transformer of Ristea, Ionescu & Khan (Interspeech 2022, arXiv 2203.09581), a rival.

Every pixel is a token. A vertical block attends over the tokens of one time column, a horizontal one over the tokens
of one mel row; each column (or row) has the class token before it, and what the columns made of it is averaged and
handed on to the rows, and back. So no attention is over more than 129 tokens, but all 128 columns pay for theirs.

As Kim & Lee's Table 3 runs it: 1x1 patches, width 256, three vertical and three horizontal blocks in turn, five heads.
Decided, where either paper is silent: head width 256 and perceptron 256, because of the cost; pre-norm blocks without
dropout, those of `vit.py`; every block adds learned positions along its own axis.

The published 175.81 G are the six blocks, each on 128 sequences of 128 tokens *and the class token*: 175.559 G in
products and 0.254 G for two normalisations per block, class tokens included (without class tokens it would be
174.198 G, with heads of 64 far less). A pixel is one value, so projecting it scales a vector and is no product of
matrices: not counted. Counted as a 1x1 convolution it would add 0.004 G.

Shapes: B batch, H W image height (mel) and width (time), D token width, h heads.
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from feltone.lab.models.network import RANDOM, Network, Output
from feltone.lab.models.vit import Block

FAMILY = "septr"


@dataclass(frozen=True)
class SepTrConfig:
    """Sizes of a separable transformer; stored in its artefact."""

    depth: int = 3  # vertical blocks, and as many horizontal ones
    heads: int = 5
    image: tuple[int, int] = (128, 128)
    token_width: int = 256
    head_width: int = 256
    mlp_width: int = 256

    @property
    def merges_padding(self) -> bool:
        """Never: positions tell equal columns apart."""
        return False

    @property
    def patches(self) -> tuple[int, int]:
        """Attention is told over time, averaged over the mel rows."""
        return 1, self.image[1]

    @property
    def weights(self) -> str:
        """What training begins from."""
        return RANDOM

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"family": FAMILY, **asdict(self)}


class AxisBlock(nn.Module):
    """A transformer block along one axis of a grid of tokens, with a class token before every line of it."""

    def __init__(self, config: SepTrConfig, length: int) -> None:
        super().__init__()
        # As large as a projected pixel, which says nothing before it is known where it lies.
        self.positions = nn.Parameter(torch.randn(1 + length, config.token_width))
        self.block = Block(config)

    def forward(self, class_token: Tensor, grid: Tensor, *, grid_is_read: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Attend over the tokens of every line.

        Args:
            class_token: (B, D).
            grid: (B, lines, length, D).
            grid_is_read: whether anybody reads the new grid; if not, the class token alone is computed.

        Returns:
            The class token averaged over lines (B, D), the new grid, and the class token's attention to the length of
            the lines, averaged over lines (B, h, length).
        """
        B, lines, length, D = grid.shape
        heads = class_token.view(B, 1, 1, D).expand(B, lines, 1, D)
        tokens = (torch.cat([heads, grid], dim=2) + self.positions.to(grid.dtype)).flatten(0, 1)
        tokens, attention = self.block(tokens, None, 1 + length if grid_is_read else 1)
        tokens = tokens.view(B, lines, -1, D)
        return tokens[:, :, 0].mean(1), tokens[:, :, 1:], attention.view(B, lines, -1, length).mean(1)


class SepTr(Network):
    """Log-Mel image -> logits, feature, attention.

    `Output.attention` is that of the horizontal blocks, (B, depth, heads, W): how much the class tokens of all mel rows
    attend to each of the columns, on average.
    """

    def __init__(self, config: SepTrConfig, classes: int) -> None:
        super().__init__()
        self.config: SepTrConfig = config
        height, width = config.image
        self.scale, self.shift = (nn.Parameter(torch.empty(config.token_width).uniform_(-1, 1)) for _ in range(2))
        self.class_token = nn.Parameter(0.02 * torch.randn(1, config.token_width))
        self.vertical = nn.ModuleList(AxisBlock(config, height) for _ in range(config.depth))
        self.horizontal = nn.ModuleList(AxisBlock(config, width) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.token_width)
        self.classifier = nn.Linear(config.token_width, classes)

    def forward(self, image: Tensor, *, every_token: bool = False) -> Output:
        """As `Network`."""
        rows = image.unsqueeze(-1) * self.scale + self.shift  # B H W D
        class_token = self.class_token.expand(image.shape[0], -1)
        attentions = []
        for vertical, horizontal in zip(self.vertical, self.horizontal, strict=True):
            last = horizontal is self.horizontal[-1] and not every_token
            class_token, columns, _ = vertical(class_token, rows.transpose(1, 2), grid_is_read=True)
            class_token, rows, attention = horizontal(class_token, columns.transpose(1, 2), grid_is_read=not last)
            attentions.append(attention)
        embedding = self.norm(class_token)
        return Output(self.classifier(embedding), embedding, torch.stack(attentions, dim=1))
