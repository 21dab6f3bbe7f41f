"""Every condition does what it states: ratios, decay, bands, alignment; strength 0 is the identity, seeds repeat."""

import builtins
import io

import numpy as np
import pytest
import soundfile
from scipy import signal

from feltone.errors import MissingExtraError
from feltone.lab import conditions
from feltone.lab.conditions import CLEAN, CONDITIONS, RATE, babble, clipped, excerpt, gain, room, telephone

WINDOW = 4 * RATE


def voice(seconds: float, seed: int) -> np.ndarray:
    """Syllables of a buzz with noise, as speech fills its band."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    buzz = signal.sawtooth(2 * np.pi * rng.uniform(100, 240) * time)
    syllables = np.sin(np.pi * rng.uniform(3, 5) * time) ** 2
    return np.float32(0.3 * syllables * (buzz + 0.3 * rng.standard_normal(len(time))))


VOICE = voice(2, 0)
VOICES = [voice(1 + seed / 4, seed) for seed in range(1, 8)]


def apply(name: str, waveform: np.ndarray, seed: int = 0, strength: float = 1.0) -> np.ndarray:
    make = CONDITIONS[name].make(VOICES, RATE)
    return make(waveform, np.random.default_rng(seed), WINDOW, strength)


def db(power: float) -> float:
    return float(10 * np.log10(power))


@pytest.mark.parametrize("name", CONDITIONS)
def test_strength_zero_is_the_identity(name: str) -> None:
    for length in (1, 300, len(VOICE)):
        np.testing.assert_array_equal(apply(name, VOICE[-length:], strength=0.0), VOICE[-length:])


@pytest.mark.parametrize("name", CONDITIONS)
@pytest.mark.parametrize("length", [1, 100, RATE // 2, len(VOICE)])
def test_results_are_finite_float32_in_place_and_repeat_with_the_seed(name: str, length: int) -> None:
    given = VOICE[-length:].copy()
    one, again = apply(name, given), apply(name, given)
    assert one.dtype == np.float32 and one.ndim == 1 and np.isfinite(one).all()
    assert len(one) == length or CONDITIONS[name].group == "duration"
    np.testing.assert_array_equal(one, again)
    np.testing.assert_array_equal(given, VOICE[-length:])
    assert np.abs(apply(name, np.zeros(length, np.float32))).max() < 1e-4  # silence stays silence, but for a last bit


@pytest.mark.parametrize("name", [name for name in CONDITIONS if name.startswith(("white", "babble", "room"))])
def test_what_is_random_follows_the_seed_and_the_level_of_the_recording(name: str) -> None:
    one = apply(name, VOICE)
    assert not np.array_equal(one, apply(name, VOICE, seed=1))
    np.testing.assert_allclose(100 * apply(name, VOICE / 100), one, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in CONDITIONS if name.startswith(("white", "babble"))])
def test_noise_lies_at_the_ratio_it_states(name: str) -> None:
    stated = float(name.partition("-")[2])
    added = apply(name, VOICE) - VOICE
    exact = name.startswith("babble")  # the power of 32,000 samples of white noise varies by about 0.03 dB
    assert db(np.mean(VOICE**2) / np.mean(added**2)) == pytest.approx(stated, abs=0.01 if exact else 0.2)


def test_babble_is_made_of_the_voices_and_of_several_at_once() -> None:
    tones = [np.float32(np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE)) for hertz in (500, 700, 900)]
    added = babble(tones, 0.0)(VOICE, np.random.default_rng(1), WINDOW, 1.0) - VOICE
    power = np.abs(np.fft.rfft(added)) ** 2  # of two seconds: two bins a hertz
    heard = power[[1_000, 1_400, 1_800]]
    assert heard.sum() == pytest.approx(power.sum(), rel=1e-3) and (heard > 0.01 * power.sum()).sum() >= 2
    with pytest.raises(ValueError, match="at least one voice"):
        babble([np.zeros(9, np.float32)], 0.0)


@pytest.mark.parametrize("rt60", conditions.RT60S)
def test_a_room_decays_in_its_time_and_has_its_direct_sound(rt60: float) -> None:
    response = conditions.impulse_response(np.random.default_rng(0), rt60, direct_db=3.0)
    tail = response[1:]
    assert response[0] == 1 and not tail[: round(conditions.DIRECT_SECONDS * RATE) - 1].any()
    assert db(1 / np.sum(tail**2)) == pytest.approx(3.0)
    left = 10 * np.log10(np.cumsum(tail[::-1] ** 2)[::-1] / np.sum(tail**2))  # Schroeder's integral
    crossed = [int(np.argmax(left < level)) / RATE for level in (-5, -25)]
    assert 3 * (crossed[1] - crossed[0]) == pytest.approx(rt60, rel=0.1)


def test_a_room_adds_to_the_direct_sound_what_the_response_says() -> None:
    click = np.zeros(RATE, np.float32)
    click[100] = 0.5
    heard = room(0.3, direct_db=0.0)(click, np.random.default_rng(3), WINDOW, 1.0)
    expected = 0.5 * conditions.impulse_response(np.random.default_rng(3), 0.3)
    np.testing.assert_allclose(heard[100 : 100 + len(expected)], expected, atol=1e-6)
    half = room(0.3)(click, np.random.default_rng(3), WINDOW, 0.5)
    np.testing.assert_allclose(half - click, (heard - click) / 2, atol=1e-7)


def test_ranges_are_drawn_from() -> None:
    ratios = []
    for seed in range(20):
        noisy = conditions.white((5.0, 15.0))(VOICE, np.random.default_rng(seed), WINDOW, 1.0)
        ratios.append(db(np.mean(VOICE**2) / np.mean((noisy - VOICE) ** 2)))
    assert 4.7 < min(ratios) < 7 and 13 < max(ratios) < 15.3


def test_an_excerpt_is_the_loudest_stretch_and_leaves_short_clips_whole() -> None:
    quiet = np.full(3 * RATE, 0.01, np.float32)
    quiet[RATE + 500 : 2 * RATE + 500] = 0.5
    cut = excerpt(1.0)(quiet, np.random.default_rng(0), WINDOW, 1.0)
    np.testing.assert_array_equal(cut, quiet[RATE + 500 : 2 * RATE + 500])
    np.testing.assert_array_equal(excerpt(4.0)(quiet, np.random.default_rng(0), WINDOW, 1.0), quiet)
    assert len(excerpt(1.0)(quiet, np.random.default_rng(0), WINDOW, 0.5)) == 2 * RATE


@pytest.mark.parametrize("name", ["mp3-64", "mp3-32", "opus-24", "opus-16", "telephone"])
def test_a_codec_neither_delays_nor_replaces_what_was_said(name: str) -> None:
    heard, band = apply(name, VOICE), signal.butter(4, (300, 3_400), "bandpass", fs=RATE, output="sos")
    one, other = (signal.sosfiltfilt(band, waveform) for waveform in (VOICE, heard))
    alike = signal.correlate(one, other) / np.sqrt(np.sum(one**2) * np.sum(other**2))
    assert abs(int(alike.argmax()) - (len(one) - 1)) <= 1 and alike.max() > 0.9
    assert not np.array_equal(heard, VOICE)


@pytest.mark.parametrize(("codec", "kbits"), conditions.CODED)
def test_a_codec_spends_the_bits_it_states(codec: str, kbits: int) -> None:
    long = voice(10, 3)
    spent = 8 * len(conditions._encoded(long, *conditions.CODECS[codec], 1_000 * kbits, RATE)) / 10_000
    assert spent == pytest.approx(kbits, rel=0.2)  # Opus varies its rate, and both have headers


@pytest.mark.parametrize(
    ("hertz", "least", "most"), [(100, -130, -30), (500, -1, 1), (3_000, -1, 1), (3_900, -130, -15), (6_000, -130, -30)]
)
def test_a_telephone_carries_its_band_alone(hertz: int, least: float, most: float) -> None:
    tone = np.float32(0.5 * np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE))
    heard = telephone()(tone, np.random.default_rng(0), WINDOW, 1.0)[4_000:12_000]
    assert least < db(2 * np.mean(heard**2) / 0.25 + 1e-12) < most


def test_a_telephone_speaks_in_eight_bits() -> None:
    """Its quantisation is G.711's: relative, some 38 dB below the signal over a wide range of levels."""
    for level in (0.5, 0.05):
        tone = level * np.sin(2 * np.pi * 1_004 * np.arange(8_000) / 8_000)
        file = io.BytesIO()
        soundfile.write(file, tone, 8_000, "ULAW", format="AU")
        plain = soundfile.read(io.BytesIO(file.getvalue()))[0]
        called = telephone(rate=8_000)(np.float32(tone), np.random.default_rng(0), WINDOW, 1.0)
        for heard in (plain, called):
            shape = np.stack([np.sin(2 * np.pi * 1_004 * np.arange(8_000) / 8_000 + p) for p in (0, np.pi / 2)], 1)
            fitted = shape @ np.linalg.lstsq(shape, heard, rcond=None)[0]
            assert 33 < db(np.mean(fitted[500:-500] ** 2) / np.mean((heard - fitted)[500:-500] ** 2)) < 42


def test_gain_turns_by_its_decibels_and_rounds_to_sixteen_bits() -> None:
    softer = gain(-20)(VOICE, np.random.default_rng(0), WINDOW, 1.0)
    np.testing.assert_allclose(softer, VOICE / 10, atol=0.5001 / 32_768)
    assert (softer * 32_768 == np.rint(softer * 32_768)).all()
    louder = gain(40)(VOICE, np.random.default_rng(0), WINDOW, 1.0)
    assert louder.min() == -1 and louder.max() == np.float32(32_767 / 32_768)


def test_clipping_cuts_off_the_share_it_states() -> None:
    cut = clipped(0.05)(VOICE, np.random.default_rng(0), WINDOW, 1.0)
    assert np.mean(cut != VOICE) == pytest.approx(0.05, abs=1e-3)
    assert np.abs(cut).max() <= np.abs(VOICE[cut == VOICE]).max() + 1e-6


def test_the_first_condition_is_the_recording_itself() -> None:
    assert next(iter(CONDITIONS)) == CLEAN and apply(CLEAN, VOICE) is VOICE


def test_without_the_extra_a_codec_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *args: object, **options: object) -> object:
        if name == "av":
            raise ImportError(name)
        return original(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'feltone\[media\]'"):
        apply("opus-16", VOICE)
