"""Training beyond the paper: what is perturbed, what stays, and that chance depends on seed, stage and epoch alone."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from feltone import audio, features
from feltone.lab.conditions import CONDITIONS
from feltone.lab.models import Output, ResidualConfig, build
from feltone.lab.recipes import recipe
from feltone.lab.training import loop, losses
from feltone.lab.training.learner import Learner
from feltone.lab.training.losses import SMOOTHING, Expected
from feltone.lab.training.regimen import PER_LINE, Regimen, blend, deal, masked, mixed, narrowed, warped
from feltone.lab.training.resident import Resident
from feltone.lab.training.surroundings import NOWHERE, Surroundings
from feltone_benchmarks.tiny import CLIPS
from toy import CLASSIFY, PLAIN, TINY, run_fit, same_weights, stopped_and_continued, toy_data

SOMEWHERE = Surroundings(short=0.3, roomy=0.3, noisy=0.3, crowded=0.3)
STRICT = replace(CLASSIFY, regimen=Regimen(mixing=0.2, surroundings=SOMEWHERE), losses={"smoothed_cross_entropy": 1.0})
NOTHING = Regimen(
    column_masks=0,
    band_masks=0,
    stretch=0.0,
    pitch=0.0,
    mixing=0.0,
    narrow=0.0,
    surroundings=NOWHERE,
    decay=0.0,
    warm_share=0.0,
)


def dealt(regimen: Regimen, samples: int = 400) -> torch.Tensor:
    return torch.from_numpy(deal(regimen, samples, np.random.default_rng(0)))


def test_a_regimen_of_nothing_leaves_samples_as_they_are() -> None:
    data = toy_data(feature=32)
    resident = Resident(data, torch.device("cpu"), NOTHING)
    resident.deal(np.random.default_rng(0))
    rows = torch.arange(len(data.targets))
    images, expected = resident.batch(rows)
    assert torch.equal(images, torch.from_numpy(data.images).float())
    assert torch.equal(expected.feature, data.feature) and expected.others is None


def test_masks_are_whole_columns_and_bands_no_wider_than_they_may_be() -> None:
    regimen = Regimen(column_masks=1, column_share=0.25, band_masks=1, band_share=0.125)
    images = masked(torch.ones(400, 32, 64), dealt(regimen), regimen)
    columns, bands = (images == 0).all(1), (images == 0).all(2)  # (B, columns), (B, bands)
    assert torch.equal(images == 0, columns[:, None, :] | bands[:, :, None])
    for hidden, widest in ((columns, 16), (bands, 4)):
        widths = hidden.sum(1)
        assert widths.max() == widest and widths.min() == 0
        edges = (hidden.int().diff(dim=1, prepend=torch.zeros(400, 1, dtype=torch.int)) == 1).sum(1)
        assert (edges <= 1).all()  # one stretch
        assert hidden.any(0).all()  # anywhere


def test_a_warp_moves_what_sounds_and_keeps_it_whole() -> None:
    """A tone from column 8 to 39 of 64, in band 16 of 32, becomes longer and higher by what is dealt, and stays one."""
    image = torch.zeros(1, 32, 64)
    image[0, 15:18, 8:40] = 0.8
    image[0, :, :40] += 0.1  # the room
    regimen = replace(NOTHING, stretch=0.2, pitch=0.1)

    def edges(stretch: float, pitch: float) -> tuple[float, float, int]:
        numbers = torch.zeros(1, regimen.numbers)
        numbers[0, 2], numbers[0, 3] = (1 + stretch / 0.2) / 2, (1 + pitch / 0.1) / 2
        found = warped(image, numbers, regimen)[0]
        tone = found.clamp_min(0.1).sub(0.1)
        bands, columns = tone.sum(1), tone.sum(0)
        centre = float((bands * torch.arange(32)).sum() / bands.sum())
        heard = int((found.amax(0) > 0).sum())
        return float((columns > columns.max() / 2).sum()), centre, heard

    assert edges(0, 0) == (32, pytest.approx(16), 40)
    longer, _, heard = edges(0.2, 0)
    assert longer == pytest.approx(32 * np.exp(0.2), abs=1.5) and heard == np.ceil(40 * np.exp(0.2))
    assert edges(0, 0.1)[1] == pytest.approx(16.5 * np.exp(0.1) - 0.5, abs=0.2)
    assert edges(0, -0.1)[1] == pytest.approx(16.5 * np.exp(-0.1) - 0.5, abs=0.2)


def test_some_samples_are_heard_through_a_telephone_much_as_one_sounds() -> None:
    """Held to the condition that models are measured under: filter, eight bits by mu-law, and back."""
    regimen = replace(NOTHING, narrow=0.5)
    recordings = [audio.load(file, 16_000, end=4.0) for file in sorted(CLIPS.glob("*.flac"))]
    call = CONDITIONS["telephone"].make([], 16_000)
    as_recorded, called = (
        torch.from_numpy(np.stack([features.log_mel_image(sound) for sound in sounds]))
        for sounds in (recordings, [call(sound, np.random.default_rng(0), 64_000, 1.0) for sound in recordings])
    )
    numbers = torch.full((len(recordings), regimen.numbers), 0.5)
    numbers[:, -PER_LINE] = 0.1  # all of them
    found = narrowed(as_recorded, numbers, regimen)
    assert (found - called).abs().mean() < 0.04 < 0.07 < (as_recorded - called).abs().mean()
    assert torch.allclose(found.amax((1, 2)), torch.ones(len(found)))
    assert (found.amax(1)[as_recorded.amax(1) == 0] == 0).all()  # what is silent stays so
    numbers[0, -PER_LINE] = 0.6  # but for the first
    assert torch.equal(narrowed(as_recorded, numbers, regimen)[0], as_recorded[0])
    assert narrowed(as_recorded, numbers, NOTHING) is as_recorded


def test_no_warp_pushes_speech_out_of_the_window() -> None:
    images = torch.rand(200, 32, 64) + 0.01
    images[:100, :, 50:] = 0
    numbers = dealt(replace(NOTHING, stretch=0.5), 200)
    heard = (warped(images, numbers, replace(NOTHING, stretch=0.5)).amax(1) > 0).sum(1)
    longer = torch.exp(0.5 * (2 * numbers[:, 2] - 1))
    sounding = torch.where(torch.arange(200) < 100, 50, 64)
    wanted = sounding * longer.minimum(64 / sounding)
    assert ((heard - wanted).abs() <= 1).all() and (heard == 64).any()


def test_a_mixed_image_is_expected_to_be_what_it_was_mixed_of() -> None:
    data = toy_data(feature=32)
    regimen = replace(NOTHING, mixing=1.0)
    resident = Resident(data, torch.device("cpu"), regimen)
    resident.deal(np.random.default_rng(3))
    rows = torch.tensor([0, 5, 2])
    images, expected = resident.batch(rows)
    partner, share = mixed(resident.dealt[rows])
    assert ((share >= 0.5) & (share < 1)).all() and (partner != rows).any()
    whole = torch.from_numpy(data.images).float()
    for row in range(3):
        own, other, of_own = whole[rows[row]], whole[partner[row]], share[row]
        torch.testing.assert_close(images[row], of_own * own + (1 - of_own) * other)
    torch.testing.assert_close(expected.feature, blend(data.feature[rows], data.feature[partner], share))
    assert expected.others.tolist() == data.targets[partner].tolist()


def test_the_loss_of_mixed_images_is_that_of_targets_mixed_alike() -> None:
    logits, targets, others = torch.randn(5, 4), torch.tensor([0, 1, 2, 3, 0]), torch.tensor([1, 1, 0, 2, 3])
    share = torch.tensor([0.5, 0.9, 0.7, 1.0, 0.6])
    output = Output(logits, torch.zeros(5, 2), torch.zeros(0))
    found = losses.smoothed_cross_entropy(output, Expected(targets, others=others, share=share))
    soft = blend(F.one_hot(targets, 4).float(), F.one_hot(others, 4).float(), share)
    soft = (1 - SMOOTHING) * soft + SMOOTHING / 4
    torch.testing.assert_close(found, -(soft * logits.log_softmax(-1)).sum(1).mean())


def test_chance_is_of_seed_stage_and_epoch() -> None:
    def chance(seed: int = 0, stage: str = "s", epoch: int = 0) -> list[float]:
        learner = Learner(build(TINY, 2, seed=0), toy_data(), seed, Path("nowhere"))
        return list(deal(Regimen(), 8, learner.chance(replace(CLASSIFY, name=stage), epoch)).ravel())

    every = [chance(), chance(1), chance(stage="t"), chance(epoch=1)]
    assert chance() == every[0] and len(set(map(tuple, every))) == 4


@pytest.mark.parametrize("stop_after", [2, 6, 9])
def test_stopped_after_any_step_it_continues_to_the_same_weights(
    tmp_path: Path, stop_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    continued = stopped_and_continued(STRICT, tmp_path / "interrupted", stop_after, monkeypatch)
    assert same_weights(continued, run_fit(STRICT, tmp_path / "straight"))
    assert not same_weights(continued, run_fit(CLASSIFY, tmp_path / "other"))


def test_dropout_and_batch_statistics_survive_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = ResidualConfig(token_width=16)
    torch.manual_seed(1)  # what a process has drawn before is nothing to a run
    continued = stopped_and_continued(STRICT, tmp_path / "interrupted", 5, monkeypatch, small)
    torch.manual_seed(2)
    assert same_weights(continued, run_fit(STRICT, tmp_path / "straight", config=small))


def test_decay_shrinks_matrices_alone(tmp_path: Path) -> None:
    """Seen where the learning rate is so small that Adam itself moves next to nothing."""
    stage = replace(CLASSIFY, regimen=replace(NOTHING, decay=1e5), learning_rate=1e-7, epochs=1)
    shrunk, fresh = run_fit(stage, tmp_path / "c"), build(TINY, 2, seed=0)
    steps = -(-len(toy_data().targets) // stage.batch)
    shares = [1 - 1e5 * stage.learning_rate_at((step + 0.5) / steps) for step in range(steps)]
    for (name, after), before in zip(shrunk.named_parameters(), fresh.parameters(), strict=True):
        kept = math.prod(shares) if before.squeeze().dim() > 1 else 1.0
        torch.testing.assert_close(after, kept * before, atol=2e-6, rtol=0, msg=name)


def test_several_under_a_regimen_are_trained_as_each_alone(tmp_path: Path) -> None:
    pairs = [(build(TINY, 2, seed=seed), build(TINY, 2, seed=seed)) for seed in (0, 1)]
    fabric = PLAIN.fabric()
    data = toy_data()
    together = [Learner(one, data, seed, tmp_path / f"t{seed}") for seed, (one, _) in enumerate(pairs)]
    loop.fit_many(STRICT, together, fabric=fabric, compiled=False)
    for seed, (one, alone) in enumerate(pairs):
        loop.fit(STRICT, alone, data, fabric=fabric, seed=seed, compiled=False, checkpoint=tmp_path / f"a{seed}")
        assert same_weights(one, alone)


def test_recipes_of_old_go_on_being_what_they_were() -> None:
    assert all("regimen" not in stage for stage in recipe("paper").to_dict()["stages"])
    assert all(stage["regimen"]["decay"] == 0.05 for stage in recipe("honest").to_dict()["stages"])
