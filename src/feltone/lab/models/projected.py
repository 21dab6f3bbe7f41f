"""A learner that a teacher of another width can teach: a linear map stands between their features while it trains."""

import torch
from torch import Tensor, nn

from feltone.lab.models.network import Network, Output


class Projected(Network):
    """A network whose feature is seen through a learned linear map; what recognises is `network`, without it.

    Args:
        network: the learner.
        width: of the teacher's features.
        seed: of the map's initial weights.
    """

    def __init__(self, network: Network, width: int, seed: int) -> None:
        super().__init__()
        self.config, self.network = network.config, network
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.projection = nn.Linear(network.config.token_width, width)

    def forward(self, image: Tensor) -> Output:
        """As the network's own, but for the feature: (B, width)."""
        output: Output = self.network(image)
        return Output(output.logits, self.projection(output.embedding), output.attention)
