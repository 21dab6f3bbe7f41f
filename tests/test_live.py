"""The rolling image is the definition's image of its window, whatever the chunks, and transforms only what is new."""

from pathlib import Path

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from feltone import audio, features
from feltone.features import FeatureConfig, log_mel_image
from feltone.live import LiveResampler, RollingImage

TOLERANCE = 1e-5  # of [0, 1], that is 0.8 mdB: a logarithm subtracted instead of a quotient taken
RATE = 16_000
CLIPS = Path(features.__file__).parent / "clips"


def babble(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise whose level moves through 60 dB, with clicks and gaps: peaks enter and leave the window."""
    rng = np.random.default_rng(seed)
    samples = rng.standard_normal(round(seconds * RATE))
    samples *= 10 ** (-1.5 + 1.5 * np.sin(np.arange(len(samples)) / RATE * 2.1))
    samples[rng.integers(0, len(samples), 20)] *= 300
    gap = rng.integers(0, len(samples) - RATE)
    samples[gap : gap + RATE // 2] = 0
    return np.float32(0.01 * samples)


SIGNAL = babble(14)


def check(rolling: RollingImage) -> None:
    np.testing.assert_allclose(rolling.image(), log_mel_image(rolling.window()), atol=TOLERANCE, rtol=0)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 30_000), st.booleans()), min_size=1, max_size=14))
def test_the_image_is_the_definitions_however_the_signal_is_cut(chunks: list[tuple[int, bool]]) -> None:
    rolling, at = RollingImage(), 0
    for size, look in chunks:
        rolling.push(SIGNAL[at : at + size])
        at = min(len(SIGNAL), at + size)
        if look:
            check(rolling)
    check(rolling)


@pytest.mark.parametrize("step", [160, 1_000, 4_000, 4_001, 64_000, 200_000])
def test_updates_of_any_step_agree_over_a_long_signal(step: int) -> None:
    rolling = RollingImage()
    for count, at in enumerate(range(0, len(SIGNAL), step)):
        rolling.push(SIGNAL[at : at + step])
        if step > 1_000 or count % 23 == 0:
            check(rolling)
    check(rolling)


def test_before_four_seconds_the_window_is_all_that_was_heard() -> None:
    rolling = RollingImage()
    for end in (1, 63, 255, 256, 257, 5_000, 33_333, 63_999, 64_000):
        rolling.push(SIGNAL[rolling.heard : end])
        np.testing.assert_array_equal(rolling.window(), SIGNAL[:end])
        check(rolling)


def test_afterwards_the_window_is_the_last_four_seconds_but_for_less_than_a_hop() -> None:
    rolling = RollingImage()
    for end in (64_001, 64_064, 100_000, 150_123):
        rolling.push(SIGNAL[rolling.heard : end])
        window, late = rolling.window(), end % 64
        np.testing.assert_array_equal(window, SIGNAL[end - late - 64_000 : end - late])


def test_edges_are_the_definitions_even_where_the_peak_lies_on_them() -> None:
    loud = np.full(6 * RATE, 1e-3, np.float32) * np.float32(np.sin(np.arange(6 * RATE)))
    loud[2 * RATE - 100 : 2 * RATE + 200] *= 1_000  # half of it has left the window
    rolling = RollingImage()
    rolling.push(loud)
    check(rolling)


def test_nothing_heard_and_silence_are_black() -> None:
    rolling = RollingImage()
    assert rolling.image().shape == (128, 128) and not rolling.image().any()
    rolling.push(SIGNAL[:RATE])
    rolling.push(np.zeros(4 * RATE + 64, np.float32))
    assert not rolling.image().any()


def test_looking_changes_nothing_and_images_are_the_callers_own() -> None:
    rolling = RollingImage()
    rolling.push(SIGNAL[:70_000])
    first = rolling.image()
    first_copy = first.copy()
    np.testing.assert_allclose(rolling.image(), first_copy, atol=1e-6)
    rolling.push(SIGNAL[70_000:80_000])
    rolling.image()
    np.testing.assert_array_equal(first, first_copy)


def test_an_update_transforms_what_is_new_and_not_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    transformed: list[int] = []
    definition = features.mel_power

    def counted(samples: np.ndarray, config: FeatureConfig) -> np.ndarray:
        power = definition(samples, config)
        transformed.append(len(power))
        return power

    monkeypatch.setattr(features, "mel_power", counted)
    rolling = RollingImage()
    rolling.push(SIGNAL[:80_000])
    rolling.image()
    transformed.clear()
    rolling.push(SIGNAL[80_000:84_000])
    rolling.image()
    assert 63 <= sum(transformed) <= 100  # of 1,001


@pytest.mark.parametrize(
    "config",
    [
        FeatureConfig(hop_size=100, columns=64),  # neither the window nor the clip is a multiple of the hop
        FeatureConfig(clip_seconds=1.5, window_size=400, fft_size=512, hop_size=160, mel_bands=40, columns=50),
        FeatureConfig(sample_rate=8_000, max_hz=4_000.0, window_size=64, hop_size=64),
        FeatureConfig(hop_size=500, window_size=256, columns=100),  # samples between frames that none sees
    ],
)
def test_every_front_end_rolls(config: FeatureConfig) -> None:
    rolling = RollingImage(config)
    for at in range(0, len(SIGNAL), 7_777):
        rolling.push(SIGNAL[at : at + 7_777])
        np.testing.assert_allclose(rolling.image(), log_mel_image(rolling.window(), config), atol=TOLERANCE, rtol=0)


def test_speech_rolls() -> None:
    speech = np.concatenate([audio.load(CLIPS / f"{name}.flac") for name in ("anger", "fear", "sadness")])
    rolling = RollingImage()
    for at in range(0, len(speech), 4_000):
        rolling.push(speech[at : at + 4_000])
        check(rolling)


# ---- another rate ----


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.sampled_from([8_000, 11_025, 22_050, 44_100, 44_101, 48_000, 192_000]),
    st.lists(st.integers(0, 40_000), min_size=1, max_size=12),
)
def test_a_stream_resampled_is_the_whole_resampled_but_for_what_is_too_new(rate: int, sizes: list[int]) -> None:
    signal = np.float32(np.random.default_rng(0).normal(0, 0.3, sum(sizes)))
    resampler, given_so_far = LiveResampler(rate, RATE), []
    for at, size in zip(np.cumsum([0, *sizes]), sizes, strict=False):
        given_so_far.append(resampler.push(signal[at : at + size]))
        assert sum(map(len, given_so_far)) == max(0, (at + size) * RATE // rate - 240)
    heard = np.concatenate(given_so_far)
    np.testing.assert_allclose(heard, soxr.resample(signal, rate, RATE)[: len(heard)], atol=1e-6, rtol=0)
