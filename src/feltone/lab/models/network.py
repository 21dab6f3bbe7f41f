"""What every network is to the rest of the laboratory: sizes that go into an artefact, and three outputs."""

from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn

RANDOM = "random"
"""Initial weights that are drawn from the seed."""


class Output(NamedTuple):
    """What a network says about a batch of images."""

    logits: Tensor  # (B, classes)
    embedding: Tensor  # (B, D): the normalised class token, the feature that is matched
    attention: Tensor  # (B, depth, heads, T): the class token's attention to every patch


class NetworkConfig(Protocol):
    """Sizes of a network; a frozen dataclass beside the network it describes."""

    @property
    def image(self) -> tuple[int, int]:
        """Height (mel) and width (time) of what it looks at."""

    @property
    def patches(self) -> tuple[int, int]:
        """Rows and columns of patches that `Output.attention` is over, T = rows * columns; they tile the image."""

    @property
    def token_width(self) -> int:
        """D of `Output.embedding`."""

    @property
    def merges_padding(self) -> bool:
        """Whether equal patches at the end may be given as one, with `copies` saying how many it stands for."""

    @property
    def weights(self) -> str:
        """What training begins from: `RANDOM`, or the name of a checkpoint."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; `models.config_from` makes the sizes of them again."""


class Network(nn.Module):
    """Log-Mel image -> logits, feature, attention.

    `network(image, *, every_token=False)` takes (B, H, W) with values in [0, 1] and gives `Output`; `every_token` asks
    for what nobody reads in the last block, too, as published costs are counted. Its last layer is `classifier`.
    """

    config: NetworkConfig
    classifier: nn.Linear

    def begin(self) -> None:
        """Load what training begins from, where that is not the weights drawn."""
