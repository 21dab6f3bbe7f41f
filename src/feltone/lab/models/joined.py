"""Several networks of one kind as one, which answers what they agree on: more accurate, and as many times the work.

Every network's logits are a linear function of its feature. So the mean of their logits is that of one classifier over
all features together, and the whole is a network like any other: exported, calibrated and costed as one. As
probabilities, it is the geometric mean of theirs.

Sources: averaging over independent weights is Lakshminarayanan et al.'s (NeurIPS 2017), who take the arithmetic mean.

Shapes: B batch, H W image, D feature of a member, T patches.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from feltone.errors import ConfigError
from feltone.lab.models.network import RANDOM, Network, NetworkConfig, Output

FAMILY = "joined"


@dataclass(frozen=True)
class JoinedConfig:
    """How many networks of which sizes; stored in its artefact."""

    member: NetworkConfig
    members: int

    def __post_init__(self) -> None:
        if self.members < 2:
            raise ConfigError(f"joined networks: {self.members} of them; choose 2 or more")

    @property
    def image(self) -> tuple[int, int]:
        """What every one of them looks at."""
        return self.member.image

    @property
    def patches(self) -> tuple[int, int]:
        """As of every one of them, whose attention is averaged."""
        return self.member.patches

    @property
    def token_width(self) -> int:
        """Their features side by side."""
        return self.members * self.member.token_width

    @property
    def merges_padding(self) -> bool:
        """Never: some members could not."""
        return False

    @property
    def weights(self) -> str:
        """They have been trained."""
        return RANDOM

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"family": FAMILY, "members": self.members, "member": self.member.to_dict()}


class Joined(Network):
    """Log-Mel image -> mean logits, features side by side, mean attention."""

    def __init__(self, config: JoinedConfig, classes: int, make: Callable[[NetworkConfig, int], Network]) -> None:
        super().__init__()
        self.config: JoinedConfig = config
        self.members = nn.ModuleList(_headless(make(config.member, classes)) for _ in range(config.members))
        self.classifier = nn.Linear(config.token_width, classes)

    def forward(self, image: Tensor, *, every_token: bool = False) -> Output:
        """As `Network`: the feature is (B, members * D), attention that of a member, (B, depth, heads, T)."""
        said = [member(image, every_token=every_token) for member in self.members]
        embedding = torch.cat([one.embedding for one in said], 1)
        return Output(self.classifier(embedding), embedding, torch.stack([one.attention for one in said]).mean(0))

    @torch.no_grad()
    def take(self, networks: Sequence[Network]) -> None:
        """Become the mean of trained networks, each of the members' sizes."""
        share = 1 / len(networks)
        for member, network in zip(self.members, networks, strict=True):
            known = network.state_dict()
            member.load_state_dict({name: known[name] for name in member.state_dict()})
        self.classifier.weight.copy_(share * torch.cat([network.classifier.weight for network in networks], 1))
        self.classifier.bias.copy_(share * torch.stack([network.classifier.bias for network in networks]).sum(0))


def _headless(network: Network) -> Network:
    """A network without a classifier of its own, which gives its feature for logits."""
    network.classifier = nn.Identity()  # type: ignore[assignment]
    return network
