"""The image equals the one librosa's functions give, and depends on nothing but the first four seconds' spectra."""

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import scipy.fft
from hypothesis import given, settings
from hypothesis import strategies as st

import feltone
from feltone import audio
from feltone.errors import ConfigError
from feltone.features import (
    DEFAULT,
    FeatureConfig,
    area_matrix,
    hamming,
    hz_to_mel,
    log_mel_image,
    mel_matrix,
    mel_to_hz,
    real_transform,
)

RATE = 16_000
TOLERANCE = 1e-5  # of 80 dB: 0.0008 dB
REAL_CLIPS = 20
CLIP = Path(feltone.__file__).parent / "clips" / "anger.flac"


def librosa() -> ModuleType:
    return pytest.importorskip("librosa", reason="the oracle of the front end is in feltone[dev]")


def oracle(waveform: np.ndarray) -> np.ndarray:
    """The same definition in librosa's words and in double precision."""
    clip = np.zeros(4 * RATE)
    clip[: len(waveform)] = waveform[: 4 * RATE]
    power = librosa().feature.melspectrogram(
        y=clip, sr=RATE, n_fft=1024, hop_length=64, win_length=512, window="hamming",
        n_mels=128, fmin=0, fmax=8000, htk=True, norm=None,
    )  # fmt: skip
    relative = (librosa().power_to_db(power, ref=np.max, amin=1e-20, top_db=80) + 80) / 80
    return np.repeat(relative, 128, axis=1).reshape(128, 128, 1001).mean(axis=2)  # each column averages 1001/128 frames


def syllables(seconds: float, seed: int = 0) -> np.ndarray:
    """A gliding, interrupted voice over a little breath, float32."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(140 + 60 * np.sin(3 * time)) / RATE
    voice = sum(np.sin(k * phase) / k for k in range(1, 12))
    return np.float32(0.1 * voice * np.sin(9 * time) ** 2 + 1e-3 * rng.standard_normal(len(time)))


def tone(hertz: float, seconds: float = 4.0) -> np.ndarray:
    return np.float32(0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE))


def click() -> np.ndarray:
    clip = np.zeros(RATE, np.float32)
    clip[RATE // 3] = 1
    return clip


SIGNALS = {
    "voice": syllables(3.0),
    "long voice": syllables(6.0),
    "blip of voice": syllables(0.03),
    "noise": np.float32(np.random.default_rng(1).normal(0, 0.1, 4 * RATE)),
    "low tone": tone(60),
    "high tone": tone(7_900),
    "click": click(),
    "one sample": np.ones(1, np.float32),
    "constant": np.full(RATE, 0.3, np.float32),
}


# ---- against the oracle ----


@pytest.fixture(params=["numpy", "scipy"])
def transform(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Whose transform computes the images."""
    monkeypatch.setitem(sys.modules, "scipy.fft", scipy.fft if request.param == "scipy" else None)
    real_transform.cache_clear()
    real_transform()  # chosen for good, so that the oracle finds its scipy again
    monkeypatch.undo()
    yield request.param
    real_transform.cache_clear()


@pytest.mark.parametrize("name", SIGNALS)
def test_image_of_synthetic_signals_equals_librosas(name: str, transform: str) -> None:
    np.testing.assert_allclose(log_mel_image(SIGNALS[name]), oracle(SIGNALS[name]), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize(("options", "loaded"), [("quick_start=True", False), ("", True)])
def test_a_quick_start_leaves_scipy_alone(options: str, loaded: bool) -> None:
    program = f"import feltone, sys; feltone.load({options})('{CLIP}'); assert ('scipy.fft' in sys.modules) is {loaded}"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.fixture(scope="module")
def real_clips() -> list[Path]:
    """Recordings spread evenly over two corpora, below FELTONE_DATA."""
    root = Path(os.environ.get("FELTONE_DATA", "/nowhere"))
    clips = [sorted(root.glob(pattern)) for pattern in ("emodb/**/*.*", "ravdess/Actor_*/*.*")]
    chosen = [paths[i * len(paths) // 10] for paths in clips if paths for i in range(10)]
    if len(chosen) < REAL_CLIPS:
        pytest.skip("needs real recordings: FELTONE_DATA=folder with emodb/ and ravdess/Actor_01/ ...")
    return chosen


def test_image_of_real_clips_equals_librosas(real_clips: list[Path]) -> None:
    for path in real_clips:
        waveform = audio.load(path)
        worst = np.abs(log_mel_image(waveform) - oracle(waveform)).max()
        assert worst < TOLERANCE, f"{path}: {worst}"


def test_mel_filters_equal_librosas() -> None:
    expected = librosa().filters.mel(sr=RATE, n_fft=1024, n_mels=128, fmin=0, fmax=8000, htk=True, norm=None)
    np.testing.assert_allclose(mel_matrix(DEFAULT), expected.T, atol=1e-6)


def test_window_equals_scipys() -> None:
    from scipy.signal import get_window

    np.testing.assert_allclose(hamming(512), get_window("hamming", 512), atol=1e-7)


def test_mel_scale_is_htks() -> None:
    assert hz_to_mel(np.array(1_000.0)) == pytest.approx(1_000, abs=0.02)  # by construction of the scale
    hertz = np.linspace(0, 8_000, 99)
    np.testing.assert_allclose(mel_to_hz(hz_to_mel(hertz)), hertz, atol=1e-9)


# ---- properties ----


def test_shape_range_and_type() -> None:
    for name, waveform in SIGNALS.items():
        image = log_mel_image(waveform)
        assert image.shape == (128, 128) and image.dtype == np.float32 and image.flags.c_contiguous, name
        assert image.min() >= 0 and image.max() <= 1, name


@pytest.mark.parametrize("gain", [1e-3, 0.03, 0.5, 2.0, 10.0])
@pytest.mark.parametrize("name", ["voice", "noise", "click"])
def test_level_does_not_matter(name: str, gain: float) -> None:
    quieter = np.float32(gain) * SIGNALS[name]
    np.testing.assert_allclose(log_mel_image(quieter), log_mel_image(SIGNALS[name]), atol=TOLERANCE)


@pytest.mark.parametrize("seconds", [0, 0.5, 4, 5])
def test_silence_is_black(seconds: float) -> None:
    assert not log_mel_image(np.zeros(round(seconds * RATE), np.float32)).any()


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.integers(1, 4 * RATE), st.integers(0, 2 * RATE))
def test_zeros_after_the_end_and_whatever_follows_four_seconds_change_nothing(length: int, zeros: int) -> None:
    waveform = SIGNALS["long voice"]
    padded = np.concatenate([waveform[:length], np.zeros(zeros, np.float32)])
    np.testing.assert_array_equal(log_mel_image(padded), log_mel_image(waveform[:length]))
    np.testing.assert_array_equal(log_mel_image(waveform[: 4 * RATE + zeros]), log_mel_image(waveform[: 4 * RATE]))


@given(st.integers(1, 3 * RATE))
def test_columns_that_a_short_recording_does_not_reach_are_exactly_black(length: int) -> None:
    image = log_mel_image(SIGNALS["noise"][:length])
    frames = math.ceil((length + DEFAULT.window_size // 2) / DEFAULT.hop_size)
    columns = math.ceil(frames * DEFAULT.columns / DEFAULT.frames)
    assert image[:, :columns].any(0).all() and not image[:, columns:].any()


def test_the_strongest_band_is_the_reference_and_20_db_are_a_quarter() -> None:
    waveform = tone(1_000)
    waveform[2 * RATE :] /= 10
    row = log_mel_image(waveform)[band(1_000)]
    np.testing.assert_allclose(row[2:62], 1, atol=1e-3)
    np.testing.assert_allclose(row[66:126], 0.75, atol=1e-3)


def band(hertz: float) -> int:
    return int(mel_matrix(DEFAULT)[round(hertz * 1024 / RATE)].argmax())


@pytest.mark.parametrize("hertz", [200, 500, 1_000, 2_000, 4_000, 7_000])
def test_a_tone_lights_its_own_band_low_at_the_top_of_the_array(hertz: float) -> None:
    assert abs(int(log_mel_image(tone(hertz))[:, 64].argmax()) - band(hertz)) <= 1
    assert band(200) < band(2_000) < band(7_000)


@pytest.mark.parametrize("at", [0.4, 1.3, 2.6, 3.7])
def test_columns_are_equal_shares_of_four_seconds(at: float) -> None:
    waveform = np.zeros(4 * RATE, np.float32)
    waveform[round(at * RATE)] = 1
    assert abs(int(log_mel_image(waveform).mean(axis=0).argmax()) - int(at / 4 * 128)) <= 1


# ---- averaging by area ----


@pytest.mark.parametrize(("frames", "columns"), [(1001, 128), (1001, 1001), (10, 3), (7, 1), (256, 128)])
def test_averaging_weighs_every_frame_alike(frames: int, columns: int) -> None:
    matrix = area_matrix(frames, columns)
    assert matrix.shape == (frames, columns) and matrix.min() >= 0
    np.testing.assert_allclose(matrix.sum(axis=0), 1, atol=1e-6)  # a constant stays that constant
    np.testing.assert_allclose(matrix.sum(axis=1), columns / frames, atol=1e-6)  # nothing is lost or counted twice
    values = np.random.default_rng(0).random(frames)
    exact = np.repeat(values, columns).reshape(columns, frames).mean(axis=1)
    np.testing.assert_allclose(values @ matrix, exact, atol=1e-6)


# ---- configuration ----


def test_configuration_survives_json_and_derives_its_sizes() -> None:
    assert FeatureConfig.from_dict(DEFAULT.to_dict()) == DEFAULT
    assert (DEFAULT.clip_samples, DEFAULT.frames) == (64_000, 1_001)
    wide = FeatureConfig.from_dict({"mel_bands": 40, "clip_seconds": 2.0, "columns": 64})
    assert log_mel_image(SIGNALS["voice"], wide).shape == (40, 64)


def test_unknown_settings_are_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ConfigError, match=r"unknown feature setting \['hop', 'n_mels'\]; known: sample_rate, .*columns"
    ):
        FeatureConfig.from_dict({"n_mels": 64, "hop": 3})


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("window_size", 2_048, "exceeds fft_size"),
        ("max_hz", 9_000.0, "must lie within"),
        ("min_hz", -1.0, "must lie within"),
        ("min_hz", 8_000.0, "must lie within"),
        ("floor_db", 0.0, "must be negative"),
        ("columns", 1_002, "at most 1001"),
    ],
)
def test_impossible_settings_are_refused(setting: str, value: float, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        FeatureConfig(**{setting: value})


@pytest.mark.parametrize(
    "wrong", [{"columns": 0}, {"mel_bands": 0}, {"hop_size": 0}, {"window_size": 511}, {"max_hz": 9e3}, {"floor_db": 0}]
)
def test_settings_that_cannot_be_computed_are_refused(wrong: dict) -> None:
    with pytest.raises(ConfigError):
        FeatureConfig(**wrong)
