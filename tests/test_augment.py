"""Each perturbation is the identity at strength 0, stays within its range at 1, and repeats with its generator."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from feltone.lab.augment import COPIES, noise, original, shift, speed

RATE = 16_000
WINDOW = 4 * RATE
SEEDS = range(30)
VOICE = np.float32(0.2 * np.random.default_rng(5).standard_normal(2 * RATE) * np.sin(np.arange(2 * RATE) / 3_000))


def test_the_four_copies_are_the_papers() -> None:
    assert dict(COPIES) == {"original": original, "noise": noise, "shift": shift, "speed": speed}


@pytest.mark.parametrize("copy", COPIES)
@settings(max_examples=30, deadline=None, derandomize=True)
@given(waveform=arrays(np.float32, st.integers(1, 300), elements=st.floats(-1, 1, width=32)), seed=st.integers(0, 99))
def test_strength_zero_is_the_identity(copy: str, waveform: np.ndarray, seed: int) -> None:
    for window in (50, 300, 1_000):
        np.testing.assert_array_equal(COPIES[copy](waveform, np.random.default_rng(seed), window, 0.0), waveform)


@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize("length", [1, 100, 2 * RATE])
def test_results_are_float32_repeat_with_the_seed_and_leave_the_original_alone(copy: str, length: int) -> None:
    waveform = VOICE[:length].copy()
    first = COPIES[copy](waveform, np.random.default_rng(3), WINDOW, 1.0)
    second = COPIES[copy](waveform, np.random.default_rng(3), WINDOW, 1.0)
    assert first.dtype == np.float32 and first.ndim == 1 and np.isfinite(first).all()
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(waveform, VOICE[:length])


@pytest.mark.parametrize("copy", [name for name in COPIES if name != "original"])
def test_another_seed_gives_another_copy(copy: str) -> None:
    one, other = (COPIES[copy](VOICE, np.random.default_rng(seed), WINDOW, 1.0) for seed in (0, 1))
    assert not np.array_equal(one, other) and not np.array_equal(one, VOICE)


def snr_db(noisy: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(VOICE**2) / np.mean((noisy - VOICE) ** 2)))


def test_noise_lies_within_its_range_and_uses_all_of_it() -> None:
    measured = [snr_db(noise(VOICE, np.random.default_rng(seed), WINDOW)) for seed in SEEDS]
    spread = 0.3  # the power of 32,000 samples of noise varies by about 0.03 dB
    assert 10 - spread < min(measured) < 13 and 22 < max(measured) < 25 + spread


def test_strength_scales_the_amplitude_of_the_noise() -> None:
    full, half = (snr_db(noise(VOICE, np.random.default_rng(2), WINDOW, strength)) for strength in (1.0, 0.5))
    assert half - full == pytest.approx(20 * np.log10(2), abs=1e-2)


def test_noise_is_white_and_follows_the_level_of_the_recording() -> None:
    added = noise(VOICE, np.random.default_rng(0), WINDOW) - VOICE
    spectrum = np.abs(np.fft.rfft(added)) ** 2
    low, high = spectrum[: len(spectrum) // 2].mean(), spectrum[len(spectrum) // 2 :].mean()
    assert low / high == pytest.approx(1, abs=0.1)
    quiet = noise(VOICE / 100, np.random.default_rng(0), WINDOW) - VOICE / 100
    np.testing.assert_allclose(100 * quiet, added, atol=1e-5)
    assert not noise(np.zeros(99, np.float32), np.random.default_rng(0), WINDOW).any()  # silence stays silence


def test_shift_keeps_a_short_utterance_whole_and_within_the_window() -> None:
    offsets = []
    for seed in SEEDS:
        moved = shift(VOICE, np.random.default_rng(seed), WINDOW)
        offset = len(moved) - len(VOICE)
        assert len(moved) <= WINDOW and not moved[:offset].any()
        np.testing.assert_array_equal(moved[offset:], VOICE)
        offsets.append(offset)
    room = WINDOW - len(VOICE)
    assert min(offsets) < 0.15 * room and max(offsets) > 0.85 * room


def test_shift_starts_a_long_utterance_later_and_still_fills_the_window() -> None:
    long = np.arange(5 * RATE, dtype=np.float32)
    starts = []
    for seed in SEEDS:
        moved = shift(long, np.random.default_rng(seed), WINDOW)
        assert len(moved) >= WINDOW
        np.testing.assert_array_equal(moved, long[len(long) - len(moved) :])
        starts.append(len(long) - len(moved))
    assert min(starts) < 0.15 * RATE and max(starts) > 0.85 * RATE


def test_shift_leaves_an_utterance_of_exactly_the_window_where_it_is() -> None:
    np.testing.assert_array_equal(shift(VOICE, np.random.default_rng(0), len(VOICE)), VOICE)


@pytest.mark.parametrize("strength", [1.0, 0.3])
def test_speed_changes_duration_and_pitch_by_one_factor_within_its_range(strength: float) -> None:
    tone = np.float32(0.5 * np.sin(2 * np.pi * 1_000 * np.arange(4 * RATE) / RATE))
    factors = []
    for seed in SEEDS:
        played = speed(tone, np.random.default_rng(seed), WINDOW, strength)
        factor = len(tone) / len(played)
        inner = played[RATE : 2 * RATE]  # 1 s: one bin per Hz
        assert np.abs(np.fft.rfft(inner * np.hanning(RATE))).argmax() == pytest.approx(1_000 * factor, abs=1)
        assert np.sqrt(2 * np.mean(inner**2)) == pytest.approx(0.5, abs=5e-3)
        factors.append(factor)
    low, high = (1 + strength * (limit - 1) for limit in (0.9, 1.1))
    reach = 0.2 * (high - low)
    assert low - 1e-4 < min(factors) < low + reach and high - reach < max(factors) < high + 1e-4
