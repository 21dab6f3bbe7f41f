"""What is learnt from, where the network is: images, classes, what a teacher said, and the chance dealt to each."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from feltone.lab.training.losses import Expected
from feltone.lab.training.regimen import Regimen, blend, deal, mixed, veiled, warped


class Taught(NamedTuple):
    """What a frozen teacher says of samples."""

    feature: Tensor  # (samples, D)
    logits: Tensor | None = None  # (samples, classes); a teacher from outside has none


@dataclass(frozen=True)
class TrainingData:
    """What `fit` may see; there is no way from here to a test sample."""

    images: NDArray[np.float16]  # (samples, mel bands, columns)
    targets: NDArray[np.int64]  # (samples,)
    feature: Tensor | None = None  # (samples, D): the frozen teacher's
    logits: Tensor | None = None  # (samples, classes): likewise


class Resident:
    """Training data where the network is: moved there once, or shared with NumPy where that is the processor."""

    def __init__(self, data: TrainingData, device: torch.device, regimen: Regimen | None = None) -> None:
        self.regimen = regimen
        self.dealt = torch.zeros(len(data.targets), regimen.numbers if regimen else 0, device=device)
        self.images = torch.from_numpy(data.images).to(device)
        self.targets = torch.from_numpy(data.targets).to(device)
        given = {"feature": data.feature, "logits": data.logits}
        self.taught = {name: said.to(device) for name, said in given.items() if said is not None}

    def batch(self, rows: Tensor) -> tuple[Tensor, Expected]:
        """Images (B, H, W) in float32, and what is expected of them."""
        if not self.regimen:
            return self.images[rows].float(), Expected(self.targets[rows], **self.said_of(rows))
        dealt = self.dealt[rows]
        images = warped(self.images[rows].float(), dealt, self.regimen)
        if not self.regimen.mixing:
            images = veiled(images, dealt, self.regimen, self.images)
            return images, Expected(self.targets[rows], **self.said_of(rows))
        partner, share = mixed(dealt)
        images = blend(images, self.images[partner].float(), share)
        images = veiled(images, dealt, self.regimen, self.images)
        own, others = self.said_of(rows), self.said_of(partner)
        taught = {name: blend(said, others[name], share) for name, said in own.items()}
        return images, Expected(self.targets[rows], others=self.targets[partner], share=share, **taught)

    def said_of(self, rows: Tensor) -> dict[str, Tensor]:
        """What the teacher said of samples."""
        return {name: said[rows] for name, said in self.taught.items()}

    def deal(self, rng: np.random.Generator) -> None:
        """Deal chance anew to every sample; it lies where it lay."""
        if self.regimen:
            self.dealt.copy_(torch.from_numpy(deal(self.regimen, len(self.targets), rng)))
