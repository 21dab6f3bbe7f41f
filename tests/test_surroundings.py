"""Images put somewhere: as sounds put there would look, and no other than those that chance has chosen."""

import numpy as np
import pytest
import torch

from feltone import audio, features
from feltone.lab.augment import Perturbation
from feltone.lab.conditions import excerpt, room, white
from feltone.lab.training import surroundings
from feltone.lab.training.surroundings import (
    DIRECT_DB,
    NUMBERS,
    PER_NOISE,
    PER_ROOM,
    PER_STRETCH,
    RT60,
    SNR_DB,
    STRETCH,
    TALKERS,
    Surroundings,
    power_of,
    stretch_of,
    surrounded,
)
from feltone_benchmarks.tiny import CLIPS

ALWAYS = 0.0
ROOM, NOISE, CROWD = PER_STRETCH, PER_STRETCH + PER_ROOM, PER_STRETCH + PER_ROOM + PER_NOISE
EVERYWHERE = Surroundings(short=0.5, roomy=0.5, noisy=0.5, crowded=0.5)


def images_of(sounds: list[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack([features.log_mel_image(sound) for sound in sounds]))


@pytest.fixture(scope="module")
def recordings() -> list[np.ndarray]:
    return [audio.load(file, 16_000, end=4.0) for file in sorted(CLIPS.glob("*.flac"))]


def share_of(limits: tuple[float, float], value: float) -> float:
    return (value - limits[0]) / (limits[1] - limits[0])


def dealt(count: int, columns: dict[int, float] | None = None) -> torch.Tensor:
    """Numbers that choose nothing, but for the given columns."""
    numbers = torch.full((count, NUMBERS), 0.999)
    surroundings.talkers(numbers.numpy(), count, np.random.default_rng(0))
    for column, value in (columns or {}).items():
        numbers[:, column] = value
    return numbers


@pytest.mark.parametrize(
    ("sound", "columns"),
    [
        (white(20), {NOISE: ALWAYS, NOISE + 1: share_of(SNR_DB, 20), NOISE + 2: 0.0}),
        (white(5), {NOISE: ALWAYS, NOISE + 1: share_of(SNR_DB, 5), NOISE + 2: 0.0}),
        (room(0.6), {ROOM: ALWAYS, ROOM + 1: share_of(RT60, 0.6), ROOM + 2: share_of(DIRECT_DB, 0)}),
        (room(1.0), {ROOM: ALWAYS, ROOM + 1: share_of(RT60, 1), ROOM + 2: share_of(DIRECT_DB, 0)}),
        (excerpt(1.0), {0: ALWAYS, 1: share_of(STRETCH, 1.0)}),
        (excerpt(2.0), {0: ALWAYS, 1: share_of(STRETCH, 2.0)}),
    ],
    ids=["white-20", "white-5", "room-0.6", "room-1", "seconds-1", "seconds-2"],
)
def test_an_image_put_somewhere_looks_as_the_sound_put_there(
    recordings: list[np.ndarray], sound: Perturbation, columns: dict[int, float]
) -> None:
    """Held to the conditions that models are measured under."""
    there = images_of([sound(recording, np.random.default_rng(0), 64_000, 1.0) for recording in recordings])
    recorded = images_of(recordings)
    found = surrounded(recorded, dealt(len(recordings), columns), EVERYWHERE, recorded)
    away = (found - there).abs().mean()
    assert away < 0.035 and away < 0.5 * (recorded - there).abs().mean()


def test_only_what_is_chosen_is_put_anywhere(recordings: list[np.ndarray]) -> None:
    images = images_of(recordings)
    numbers = dealt(len(images))
    assert torch.equal(surrounded(images, numbers, EVERYWHERE, images), images)
    for column, name in ((0, "short"), (ROOM, "roomy"), (NOISE, "noisy"), (CROWD, "crowded")):
        chosen = numbers.clone()
        chosen[2, column] = 0.4
        moved = (surrounded(images, chosen, EVERYWHERE, images) != images).any(2).any(1)
        assert moved.nonzero().tolist() == [[2]], name
        fewer = Surroundings(**{name: 0.3})
        assert torch.equal(surrounded(images, chosen, fewer, images), images), name


def test_the_loudest_stretch_comes_to_the_beginning() -> None:
    power = torch.zeros(2, 8, 128)
    power[:, :, :100] = 1e-4
    power[0, 3, 70:86] = torch.linspace(0.5, 1.0, 16)  # half a second, in the middle
    power[1, 3, :2] = 1.0  # and one at the very beginning
    cut = stretch_of(power, torch.tensor([0.5, 0.5]))
    torch.testing.assert_close(cut[0, :, :16], power[0, :, 70:86])
    torch.testing.assert_close(cut[1, :, :16], power[1, :, :16])
    assert (cut[:, :, 16:] == 0).all()
    assert torch.equal(stretch_of(power, torch.tensor([3.9, 3.9])), power)  # they are shorter


def test_others_talk_as_loudly_as_is_dealt_and_only_while_the_clip_lasts(recordings: list[np.ndarray]) -> None:
    """By powers: the crowd's mean is below the clip's by what was dealt, wherever its talkers begin."""
    images = images_of(recordings)
    numbers = dealt(len(images), {CROWD: ALWAYS, CROWD + 1: share_of(SNR_DB, 10.0)})
    numbers[:, CROWD + 3 :: 2] = torch.rand(len(images), TALKERS, generator=torch.Generator().manual_seed(0))
    crowd = surroundings.crowd_of(numbers[:, CROWD + 2 :], images)
    assert torch.allclose(crowd.sum((1, 2)) / crowd.shape[2], torch.ones(len(images)), atol=0.3)  # of whole loops, 1
    found = surrounded(images, numbers, EVERYWHERE, images)
    clean, louder = power_of(images), power_of(found)
    scale = louder.amax((1, 2)) / clean.amax((1, 2))  # what is strongest is told as before
    assert torch.allclose(scale, torch.ones(len(images)), atol=1e-3)
    assert ((found > 0).any(1) == (images > 0).any(1)).float().mean() > 0.99
    assert (found >= images - 0.05).all()  # 4 dB: what is added only makes the rest weaker than the strongest


def test_silence_stays_silent() -> None:
    black = torch.zeros(4, 128, 128)
    for column in (0, ROOM, NOISE, CROWD):
        found = surrounded(black, dealt(4, {column: ALWAYS}), EVERYWHERE, black)
        assert torch.equal(found, black)


def test_a_step_that_is_replayed_works_out_the_same(
    recordings: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There no shape may be left to chance, so everything is done to all, and taken from those it should happen to."""
    images = images_of(recordings * 8)
    numbers = torch.rand(len(images), NUMBERS, generator=torch.Generator().manual_seed(0))
    surroundings.talkers(numbers.numpy(), len(images), np.random.default_rng(0))
    found = surrounded(images, numbers, EVERYWHERE, images)
    monkeypatch.setattr(surroundings, "_looked_at", lambda chosen: slice(None))
    torch.testing.assert_close(surrounded(images, numbers, EVERYWHERE, images), found)
