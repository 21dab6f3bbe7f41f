"""How a stage is trained beyond the paper: images perturbed as they are learnt from, weight decay, another schedule.

    samples, epoch --deal--> numbers, a row per sample --> image, partner --perturbed--> what is learnt from
    perturbed: warped, mixed, then veiled, which is surrounded (`surroundings.py`), narrowed and masked

Chance is dealt per sample and epoch, as the order of the samples is, and everything after it is arithmetic on tensors:
so a run that was killed continues to the same weights, several processes see what one would see, and a CUDA graph that
reads the numbers from where they lie can be replayed.

Sources: masks over bands and columns are SpecAugment's (Park et al., Interspeech 2019); warping bands is vocal-tract
length perturbation (Jaitly & Hinton, ICML workshop 2013); mixing is mixup (Zhang et al., ICLR 2018); decay apart from
the gradient is AdamW's (Loshchilov & Hutter, ICLR 2019), as is the cosine (ICLR 2017).
"""

import math
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from feltone.features import DEFAULT, hamming
from feltone.lab.training import surroundings
from feltone.lab.training.surroundings import NOWHERE, Surroundings, hertz_of, sounding, surrounded, within

PER_MASK = 2  # numbers: how wide, and where
FIRST_MASK = 4  # after partner, share, stretch and pitch
PER_LINE = 4  # numbers: whether, where the line's band begins, where it ends, how far its noise is below the loudest
BEGINS, ENDS = (240.0, 360.0), (3_000.0, 3_800.0)  # Hz, about the 300 and 3,400 of a telephone
LINE_RATE = 8_000.0  # Hz; beyond half of it a line carries nothing
ORDER = 8  # of the line's filter: four poles, there and back
CUT = 200.0  # dB, as good as everything
NOISE_BELOW = (38.0, 58.0)  # dB that the coder's noise is below the loudest band of a column
WEAKER = 6.0  # dB that it is weaker where the line carries nothing
RANGE = -DEFAULT.floor_db  # dB, of images


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
    narrow: float = 0.25  # share of the samples that are heard through a telephone
    surroundings: Surroundings = NOWHERE  # where samples are heard
    decay: float = 0.05  # of weight matrices, per step, times the learning rate
    warm_share: float = 0.05  # of a stage, in which the learning rate rises evenly; then it falls along half a cosine

    @property
    def numbers(self) -> int:
        """How many are dealt to a sample."""
        return self.before_surroundings + self.surroundings.numbers + (PER_LINE if self.narrow else 0)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; surroundings only where there are some, as recipes of old have none."""
        return {
            name: value for name, value in asdict(self).items() if name != "surroundings" or self.surroundings.numbers
        }

    @property
    def before_surroundings(self) -> int:
        """How many of them come before those that say where a sample is heard: up to those of its masks."""
        return FIRST_MASK + PER_MASK * (self.column_masks + self.band_masks)

    @property
    def of_surroundings(self) -> slice:
        """Which of them say where a sample is heard."""
        return slice(self.before_surroundings, self.before_surroundings + self.surroundings.numbers)

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
    if regimen.surroundings.numbers:
        surroundings.talkers(numbers[:, regimen.of_surroundings], samples, rng)
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
    lasting = sounding(images)
    longer = torch.exp(regimen.stretch * (2 * dealt[:, 2] - 1)).minimum(columns / lasting)
    higher = torch.exp(regimen.pitch * (2 * dealt[:, 3] - 1))
    map_back = torch.zeros(len(images), 2, 3, device=images.device)  # from a place that is looked at to where it was
    map_back[:, 0, 0], map_back[:, 0, 2] = 1 / longer, 1 / longer - 1  # time begins at the left edge, -1
    map_back[:, 1, 1], map_back[:, 1, 2] = 1 / higher, 1 / higher - 1  # and frequency at the lowest band
    grid = F.affine_grid(map_back, [len(images), 1, *images.shape[1:]], align_corners=False)
    found = F.grid_sample(images.unsqueeze(1), grid, padding_mode="border", align_corners=False).squeeze(1)
    return found * (places - 1 < (lasting * longer).ceil()[:, None])[:, None, :]


def veiled(images: Tensor, dealt: Tensor, regimen: Regimen, others: Tensor) -> Tensor:
    """Images (B, bands, columns) as they come from somewhere: surrounded, by `others` too, narrowed and masked."""
    if regimen.surroundings.numbers:
        images = surrounded(images, dealt[:, regimen.of_surroundings], regimen.surroundings, others)
    return masked(narrowed(images, dealt, regimen), dealt, regimen)


def narrowed(images: Tensor, dealt: Tensor, regimen: Regimen) -> Tensor:
    """Images (B, bands, columns), some as a telephone lets them through: its band, its filter's slopes, its noise."""
    if not regimen.narrow:
        return images
    whether, begins, ends, below = dealt[:, -PER_LINE:, None].unbind(1)  # each (B, 1)
    line = _line(images.shape[1], images.device)
    low, high = (torch.tan(math.pi / LINE_RATE * within(limits, at)) for limits, at in ((BEGINS, begins), (ENDS, ends)))
    apart = (line.pitch * line.pitch - low * high).abs() / (line.pitch * (high - low))
    lost = torch.where(line.carried, 20 * torch.log10(1 + apart**ORDER), CUT).clamp_max(CUT)  # dB, (B, bands)
    # A band next to one that is let through hears it through the skirts of the window.
    lost = (lost[:, None, :] + line.skirts).amin(2)
    left = images - (lost / RANGE).unsqueeze(2)
    quiet = (within(NOISE_BELOW, below) + WEAKER * ~line.carried) / RANGE
    noisy = torch.maximum(left, left.amax(1, keepdim=True) - quiet.unsqueeze(2)).clamp_min(0)
    heard = noisy * (images.amax(1, keepdim=True) > 0)
    louder = (heard + (1 - heard.amax((1, 2), keepdim=True)) * (heard > 0)).clamp(0, 1)
    return torch.where((whether < regimen.narrow).unsqueeze(2), louder, images)


class Line(NamedTuple):
    """What all telephone lines have in common, band by band of an image."""

    pitch: Tensor  # (bands,) frequencies as a digital filter has them, bent towards half the rate
    carried: Tensor  # (bands,) whether a line reaches so high
    skirts: Tensor  # (bands, bands) dB by which one band is weaker in another, through the analysis window


@cache
def _line(bands: int, device: torch.device) -> Line:
    """Kept, since a step that is replayed must not fetch it."""
    hertz = hertz_of(bands)
    carried = hertz < LINE_RATE / 2
    pitch = np.tan(np.pi / LINE_RATE * np.where(carried, hertz, 0.49 * LINE_RATE))
    points = 1 << 16
    power = np.minimum.accumulate(np.abs(np.fft.rfft(hamming(DEFAULT.window_size), points)) ** 2)
    away = np.abs(hertz[:, None] - hertz) * points / DEFAULT.sample_rate
    skirts = -10 * np.log10(np.interp(away, np.arange(len(power)), power / power[0]))
    made = (pitch.astype(np.float32), carried, skirts.astype(np.float32))
    return Line(*(torch.from_numpy(array).to(device) for array in made))


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
