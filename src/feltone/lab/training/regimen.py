"""How a stage is trained beyond the paper: images perturbed as they are learnt from, weight decay, another schedule.

    samples, epoch --deal--> numbers, a row per sample --> image, partner --perturbed--> what is learnt from
    perturbed: warped, mixed, then veiled, which is narrowed and masked

Chance is dealt per sample and epoch, as the order of the samples is, and everything after it is arithmetic on tensors:
so a run that was killed continues to the same weights, several processes see what one would see, and a CUDA graph that
reads the numbers from where they lie can be replayed.

Sources: masks over bands and columns are SpecAugment's (Park et al., Interspeech 2019); warping bands is vocal-tract
length perturbation (Jaitly & Hinton, ICML workshop 2013); mixing is mixup (Zhang et al., ICLR 2018); decay apart from
the gradient is AdamW's (Loshchilov & Hutter, ICLR 2019), as is the cosine (ICLR 2017).
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

PER_MASK = 2  # numbers: how wide, and where
FIRST_MASK = 4  # after partner, share, stretch and pitch
PER_LINE = 4  # numbers: whether, the lowest band, the highest, and what leaks through
LOWEST, HIGHEST = (0.10, 0.165), (0.67, 0.75)
"""Where a telephone's band begins and ends, in shares of the mel bands to 8 kHz: 300 Hz is at 0.14, 3,400 at 0.70."""
LEAK = 0.5  # most that is left of a level outside the band


@dataclass(frozen=True)
class Regimen:
    """Every ingredient has a value that leaves it out: 0."""

    column_masks: int = 2
    column_share: float = 0.1  # of the image's columns, the widest of these masks
    band_masks: int = 2
    band_share: float = 0.1  # of the image's bands, the widest of these masks
    stretch: float = 0.12  # most that the logarithm of the pace changes by
    pitch: float = 0.07  # most that the logarithm of the place of a band changes by
    mixing: float = 0.0  # both parameters of the beta distribution that an image's share is drawn from
    narrow: float = 0.0  # share of the samples that are heard through the band of a telephone
    decay: float = 0.05  # of weight matrices, per step, times the learning rate
    warm_share: float = 0.05  # of a stage, in which the learning rate rises evenly; then it falls along half a cosine

    @property
    def numbers(self) -> int:
        """How many are dealt to a sample."""
        masks = PER_MASK * (self.column_masks + self.band_masks)
        return FIRST_MASK + masks + (PER_LINE if self.narrow else 0)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; `narrow` only where there is some, as results of old know nothing of it."""
        told = asdict(self)
        return told if self.narrow else {name: value for name, value in told.items() if name != "narrow"}

    def rate_at(self, done: float, most: float) -> float:
        """Learning rate where a stage is done to a share of `done`, 0-1.

        >>> [round(Regimen(warm_share=0.2).rate_at(done, 1.0), 2) for done in (0, 0.1, 0.2, 0.6, 1)]
        [0.0, 0.5, 1.0, 0.5, 0.0]
        """
        if done < self.warm_share:
            return most * done / self.warm_share
        return most * 0.5 * (1 + math.cos(math.pi * (done - self.warm_share) / (1 - self.warm_share)))


class Mixed(NamedTuple):
    """With what a sample was mixed."""

    partner: Tensor  # (B,) numbers of samples
    share: Tensor  # (B,) of the sample itself, 0.5-1


def deal(regimen: Regimen, samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Numbers for every sample, (samples, numbers): partner, own share, stretch, pitch, and those of its masks."""
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


def warped(images: Tensor, dealt: Tensor, regimen: Regimen) -> Tensor:
    """Images (B, bands, columns) spoken at another pace by another throat, and as long as the window lets them be."""
    if not (regimen.stretch or regimen.pitch):
        return images
    columns = images.shape[2]
    places = torch.arange(1, columns + 1, device=images.device)
    sounding = ((images.amax(1) > 0) * places).amax(1).clamp_min(1)  # columns up to the last that is heard
    longer = torch.exp(regimen.stretch * (2 * dealt[:, 2] - 1)).minimum(columns / sounding)
    higher = torch.exp(regimen.pitch * (2 * dealt[:, 3] - 1))
    map_back = torch.zeros(len(images), 2, 3, device=images.device)  # from a place that is looked at to where it was
    map_back[:, 0, 0], map_back[:, 0, 2] = 1 / longer, 1 / longer - 1  # time begins at the left edge, -1
    map_back[:, 1, 1], map_back[:, 1, 2] = 1 / higher, 1 / higher - 1  # and frequency at the lowest band
    grid = F.affine_grid(map_back, [len(images), 1, *images.shape[1:]], align_corners=False)
    found = F.grid_sample(images.unsqueeze(1), grid, padding_mode="border", align_corners=False).squeeze(1)
    return found * (places - 1 < (sounding * longer).ceil()[:, None])[:, None, :]


def veiled(images: Tensor, dealt: Tensor, regimen: Regimen) -> Tensor:
    """Images (B, bands, columns) of which something is out of sight: narrowed, then masked."""
    return masked(narrowed(images, dealt, regimen), dealt, regimen)


def narrowed(images: Tensor, dealt: Tensor, regimen: Regimen) -> Tensor:
    """Images (B, bands, columns), some through a telephone: little is left outside its band, the loudest is 1 again."""
    if not regimen.narrow:
        return images
    whether, low, high, leak = dealt[:, -PER_LINE:, None].unbind(1)  # each (B, 1)
    place = torch.linspace(0, 1, images.shape[1], device=images.device)
    inside = (place >= _within(LOWEST, low)) & (place <= _within(HIGHEST, high))
    left = images * torch.where(inside, 1.0, LEAK * leak).unsqueeze(2)
    louder = 1 - left.amax((1, 2), keepdim=True)
    return torch.where((whether < regimen.narrow).unsqueeze(2), (left + louder * (left > 0)).clamp(0, 1), images)


def _within(limits: tuple[float, float], share: Tensor) -> Tensor:
    return limits[0] + (limits[1] - limits[0]) * share


def masked(images: Tensor, dealt: Tensor, regimen: Regimen) -> Tensor:
    """Images (B, bands, columns) with stretches of columns and of bands at the floor, 0."""
    _, bands, columns = images.shape
    middle = FIRST_MASK + PER_MASK * regimen.column_masks
    last = middle + PER_MASK * regimen.band_masks
    of_columns, of_bands = dealt[:, FIRST_MASK:middle], dealt[:, middle:last]
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
