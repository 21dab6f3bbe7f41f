"""How a stage is trained beyond the paper: images perturbed as they are learnt from, weight decay, another schedule.

    samples, epoch --deal--> numbers, one row per sample --> image, partner --perturbed--> what is learnt from

Chance is dealt per sample and epoch, as the order of the samples is, and everything after it is arithmetic on tensors:
so a run that was killed continues to the same weights, several processes see what one would see, and a CUDA graph that
reads the numbers from where they lie can be replayed.

Sources: masks over bands and columns are SpecAugment's (Park et al., Interspeech 2019), mixing is mixup (Zhang et al.,
ICLR 2018), decay apart from the gradient is AdamW's (Loshchilov & Hutter, ICLR 2019), as is the cosine (ICLR 2017).
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PER_MASK = 2  # numbers: how wide, and where


@dataclass(frozen=True)
class Regimen:
    """Every ingredient has a value that leaves it out: 0."""

    column_masks: int = 2
    column_share: float = 0.1  # of the image's columns, the widest of these masks
    band_masks: int = 2
    band_share: float = 0.1  # of the image's bands, the widest of these masks
    mixing: float = 0.2  # both parameters of the beta distribution that an image's share is drawn from
    decay: float = 0.05  # of weight matrices, per step, times the learning rate
    warm_epochs: int = 1  # in which the learning rate rises evenly; then it falls along half a cosine

    @property
    def numbers(self) -> int:
        """How many are dealt to a sample."""
        return 2 + PER_MASK * (self.column_masks + self.band_masks)

    def rate_at(self, epoch: int, epochs: int, most: float) -> float:
        """Learning rate of the 0-based epoch.

        >>> [round(Regimen(warm_epochs=2).rate_at(epoch, 6, 1.0), 2) for epoch in range(6)]
        [0.33, 0.67, 1.0, 0.85, 0.5, 0.15]
        """
        if epoch < self.warm_epochs:
            return most * (epoch + 1) / (self.warm_epochs + 1)
        return most * 0.5 * (1 + math.cos(math.pi * (epoch - self.warm_epochs) / (epochs - self.warm_epochs)))


class Mixed(NamedTuple):
    """With what a sample was mixed."""

    partner: Tensor  # (B,) numbers of samples
    share: Tensor  # (B,) of the sample itself, 0.5-1


def deal(regimen: Regimen, samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Numbers for every sample, (samples, numbers): its partner's and its own share, then those of its masks."""
    numbers = rng.random((samples, regimen.numbers))
    numbers[:, 0] = rng.integers(samples, size=samples)
    share = rng.beta(regimen.mixing, regimen.mixing, samples) if regimen.mixing else np.ones(samples)
    numbers[:, 1] = np.maximum(share, 1 - share)
    return numbers.astype(np.float32)


def mixed(dealt: Tensor) -> Mixed:
    """Partners and shares of samples, from what was dealt to them: (B, numbers)."""
    return Mixed(dealt[:, 0].long(), dealt[:, 1])


def blend(own: Tensor, others: Tensor, share: Tensor) -> Tensor:
    """`share` of one and the rest of the other, sample by sample: (B, ...)."""
    share = share.view(-1, *[1] * (own.dim() - 1)).to(own.dtype)
    return share * own + (1 - share) * others


def masked(images: Tensor, dealt: Tensor, regimen: Regimen) -> Tensor:
    """Images (B, bands, columns) with stretches of columns and of bands at the floor, 0."""
    _, bands, columns = images.shape
    last = 2 + PER_MASK * regimen.column_masks
    of_columns, of_bands = dealt[:, 2:last], dealt[:, last:]
    heard = _outside(of_columns, columns, regimen.column_share)[:, None, :]
    return images * heard * _outside(of_bands, bands, regimen.band_share)[:, :, None]


def _outside(dealt: Tensor, size: int, share: float) -> Tensor:
    """Which places are in none of the masks: (B, size)."""
    places = torch.arange(size, device=dealt.device)
    kept = torch.ones(len(dealt), size, dtype=torch.bool, device=dealt.device)
    for number in range(0, dealt.shape[1], PER_MASK):
        wide, where = dealt[:, number, None], dealt[:, number + 1, None]
        width = (wide * share * size).round()
        begin = (where * (size - width)).round()
        kept &= (places < begin) | (places >= begin + width)
    return kept
