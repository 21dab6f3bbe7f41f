"""Where a clip is heard, as arithmetic on its image: a stretch of it alone, in a room, under noise, among people.

    image -> power -> the loudest stretch -> + what walls send back -> + noise -> + other talkers -> image

`conditions.py` does the same to sounds, to measure models; here it is done anew to every image that is learnt from, and
held to that by tests. An image knows the logarithm of power, averaged over a column, and no phase: powers are added,
as those of independent sounds are on average, and what noise does within a column is taken from an image of noise.
"""

import math
from dataclasses import asdict, dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from feltone import features
from feltone.features import DEFAULT, hz_to_mel, mel_to_hz

DECADES = -DEFAULT.floor_db / 10  # powers of ten from the floor of an image to its top
LEAST = 1e-30  # power; below it there is nothing
COLUMN_SECONDS = DEFAULT.clip_seconds / DEFAULT.columns

STRETCH = (0.4, 3.0)  # seconds
RT60 = (0.2, 1.0)  # seconds
DIRECT_DB = (-3.0, 9.0)  # the direct sound over what walls send back
SNR_DB = (3.0, 30.0)  # the clip over noise or other talkers, mean powers
TILT = (0.0, 1.5)  # of noise: its power falls with frequency to this power; 0 is white
TALKERS = 3  # that talk besides

PER_STRETCH, PER_ROOM, PER_NOISE, PER_CROWD = 2, 4, 4, 2 + 2 * TALKERS
NUMBERS = PER_STRETCH + PER_ROOM + PER_NOISE + PER_CROWD
"""How many are dealt to a sample: whether, and how, of each in this order."""


@dataclass(frozen=True)
class Surroundings:
    """Shares of the samples to which something happens, each apart from the others; 0 leaves it out."""

    short: float = 0.0  # a stretch is heard alone
    roomy: float = 0.0  # heard in a room
    noisy: float = 0.0  # under steady noise
    crowded: float = 0.0  # among others who talk

    @property
    def numbers(self) -> int:
        """How many are dealt to a sample."""
        return NUMBERS if any(asdict(self).values()) else 0


NOWHERE = Surroundings()
EVERYDAY = Surroundings(short=0.15, roomy=0.2, noisy=0.2, crowded=0.15)
"""Chosen on validation speakers (docs/log.md, 2026-11-27)."""


def talkers(dealt: np.ndarray, samples: int, rng: np.random.Generator) -> None:
    """Write into what was dealt, (samples, NUMBERS), who else talks: numbers of samples."""
    first = NUMBERS - 2 * TALKERS
    dealt[:, first::2] = rng.integers(samples, size=(len(dealt), TALKERS))


def surrounded(images: Tensor, dealt: Tensor, shares: Surroundings, others: Tensor) -> Tensor:
    """Images where they are heard: (B, bands, columns), 1 the strongest of a clip.

    Args:
        images: as recorded.
        dealt: (B, NUMBERS), evenly 0-1, but for who talks.
        shares: of the images that something happens to.
        others: (samples, bands, columns), of which some talk besides.
    """
    cut, room, noise, crowd = torch.split(dealt, [PER_STRETCH, PER_ROOM, PER_NOISE, PER_CROWD], 1)
    is_cut, in_room, in_noise, in_crowd = (
        (part[:, 0] < share)[:, None, None]
        for part, share in ((cut, shares.short), (room, shares.roomy), (noise, shares.noisy), (crowd, shares.crowded))
    )
    power = power_of(images)
    some = _looked_at(is_cut)
    power[some] = torch.where(is_cut[some], stretch_of(power[some], within(STRETCH, cut[some, 1])), power[some])
    lasting = sounding(power)
    level = power.sum((1, 2)) / lasting
    added = torch.zeros_like(power)
    some = _looked_at(in_room)
    added[some] += in_room[some] * reflected(power[some], *room[some, 1:].unbind(1))
    some = _looked_at(in_noise)
    added[some] += in_noise[some] * _below(level[some], noise[some, 1]) * noise_of(*noise[some, 2:].unbind(1))
    some = _looked_at(in_crowd)
    added[some] += in_crowd[some] * _below(level[some], crowd[some, 1]) * crowd_of(crowd[some, 2:], others)
    found = image_of(power + added * lasts(power, lasting), images.amax((1, 2), keepdim=True))
    return torch.where(is_cut | in_room | in_noise | in_crowd, found, images)


def _looked_at(chosen: Tensor) -> Tensor | slice:
    """Of the samples, those chosen; all, where a step is replayed and no shape may be left to chance."""
    return chosen[:, 0, 0].nonzero()[:, 0] if chosen.device.type == "cpu" else slice(None)


def power_of(images: Tensor) -> Tensor:
    """Power of images, 1 where they are strongest: what is at the floor has none."""
    return torch.exp(DECADES * math.log(10) * (images - 1)) * (images > 0)


def image_of(power: Tensor, top: Tensor) -> Tensor:
    """Images of power: where one is strongest it has the value `top`, which a column's mean keeps just below 1."""
    strongest = power.amax((1, 2), keepdim=True).clamp_min(LEAST)
    return (top + torch.log10((power / strongest).clamp_min(LEAST)) / DECADES).clamp(0, 1)


def sounding(power: Tensor) -> Tensor:
    """Columns up to the last that is heard, at least 1: (B,)."""
    places = torch.arange(1, power.shape[2] + 1, device=power.device)
    return ((power.amax(1) > 0) * places).amax(1).clamp_min(1)


def lasts(power: Tensor, columns: Tensor) -> Tensor:
    """Where so many columns are: (B, 1, columns)."""
    return (torch.arange(power.shape[2], device=power.device) < columns[:, None])[:, None, :]


def stretch_of(power: Tensor, seconds: Tensor) -> Tensor:
    """The stretch of that length with the most energy, moved to the beginning; what is shorter stays."""
    columns = power.shape[2]
    kept = sounding(power).minimum((seconds / COLUMN_SECONDS).round().clamp_min(1).long())
    upto = torch.nn.functional.pad(power.sum(1).cumsum(1), (1, 0))  # (B, columns + 1)
    places = torch.arange(columns, device=power.device)
    ends = places + kept[:, None]  # of stretches that begin at every place
    energy = upto.gather(1, ends.clamp_max(columns)) - upto[:, :columns]
    begin = torch.where(ends <= columns, energy, -1.0).argmax(1)
    moved = (places + begin[:, None]).clamp_max(columns - 1)[:, None, :].expand_as(power)
    return power.gather(2, moved) * lasts(power, kept)


def reflected(power: Tensor, rt60: Tensor, direct: Tensor, when: Tensor) -> Tensor:
    """What walls send back: noise that decays by 60 dB in a reverberation time (`conditions.impulse_response`).

    A column's sound is spread evenly over it, and so is where its reflections fall: some into the column itself, the
    rest into those after it, less and less.
    """
    columns = power.shape[2]
    rate = 6 * math.log(10) / within(RT60, rt60) * COLUMN_SECONDS  # of the decay, per column
    falls = (1 - torch.exp(-rate)) / rate  # share of a column's tail that is heard after it
    places = torch.arange(columns, device=power.device)
    lag = (places - places[:, None]).clamp_min(0)  # from a column (rows) to another
    later = (falls * torch.expm1(rate))[:, None] * torch.exp(-rate[:, None] * places)  # by how many columns
    later[:, 0] = 1 - falls
    spread = later[:, lag] * (places >= places[:, None])
    grain = _rolled(_noise(power.device).grain.expand_as(power), when)
    return 10 ** (-within(DIRECT_DB, direct) / 10)[:, None, None] * (power @ spread) * grain


def noise_of(tilt: Tensor, when: Tensor) -> Tensor:
    """Noise of mean power 1, falling with frequency by what is dealt: (B, bands, columns)."""
    noise = _noise(tilt.device)
    coloured = noise.pitch ** -within(TILT, tilt)[:, None]  # (B, bands)
    shape = noise.bands * coloured
    shape = shape / shape.sum(1, keepdim=True)
    return _rolled(noise.grain.expand(len(tilt), -1, -1), when) * shape[:, :, None]


def crowd_of(dealt: Tensor, others: Tensor) -> Tensor:
    """Other clips at once, equally loud, each begun anywhere and repeated; of mean power 1: (B, bands, columns)."""
    crowd = torch.zeros((), device=others.device)
    for number in range(TALKERS):
        voice = power_of(others[dealt[:, 2 * number].long()].float())
        lasting = sounding(voice)
        loud = (voice.sum((1, 2)) / lasting).clamp_min(LEAST)
        crowd = crowd + _rolled(voice, dealt[:, 2 * number + 1], lasting) / (TALKERS * loud)[:, None, None]
    return crowd


def hertz_of(bands: int) -> NDArray[np.float64]:
    """Frequencies in the middle of so many mel bands: (bands,)."""
    return mel_to_hz(hz_to_mel(np.array(DEFAULT.max_hz)) * (np.arange(bands) + 0.5) / bands)


def within(limits: tuple[float, float], share: Tensor) -> Tensor:
    """The number at that share of the way from one limit to the other."""
    return limits[0] + (limits[1] - limits[0]) * share


def _below(level: Tensor, share: Tensor) -> Tensor:
    """Mean power of what is heard besides a clip of that level: (B, 1, 1)."""
    return (level * 10 ** (-within(SNR_DB, share) / 10))[:, None, None]


def _rolled(power: Tensor, when: Tensor, period: Tensor | None = None) -> Tensor:
    """Begun at a share of its period, by default all columns, and repeated."""
    columns = power.shape[2]
    lasting = torch.full_like(when, columns) if period is None else period
    begin = (when * lasting).long()
    places = (torch.arange(columns, device=power.device) + begin[:, None]) % lasting[:, None].long()
    return power.gather(2, places[:, None, :].expand_as(power))


class Noise(NamedTuple):
    """What images of white noise are made of."""

    pitch: Tensor  # (bands,) kHz
    bands: Tensor  # (bands,) share of white noise's power in each
    grain: Tensor  # (bands, columns) how it fluctuates, as the logarithm's mean over a column tells it


@cache
def _noise(device: torch.device) -> Noise:
    """Kept, since a step that is replayed must not fetch it."""
    hiss = np.random.default_rng(0).standard_normal(DEFAULT.clip_samples).astype(np.float32)
    mel = features.mel_power(hiss)
    bands = mel.mean(0)
    bands[0] = bands[1]  # no window lets much be told about the lowest
    floor = np.float32(10.0**-DECADES)
    columns = features.image_of_levels(np.log(np.maximum(mel / (100 * bands), floor)))
    grain = 100 * 10 ** (DECADES * (columns.astype(np.float64) - 1))
    made = (np.maximum(hertz_of(DEFAULT.mel_bands), 50) / 1_000, bands / bands.sum(), grain)
    return Noise(*(torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(device) for array in made))
