"""The bundled clips are what clips.json says they are, and their prosody goes where the script meant it to go."""

import importlib.util
import json
import re
import sys
from collections.abc import Callable
from functools import cache
from importlib import resources
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

from feltone import audio

FOLDER = Path(str(resources.files("feltone") / "clips"))
LISTING = json.loads((FOLDER / "clips.json").read_text(encoding="utf-8"))
CLIPS = {row["file"]: row for row in LISTING["clips"]}
EMODB = ("anger", "boredom", "disgust", "fear", "happiness", "neutral", "sadness")
EMODB_WORDS = ("Eisschrank", "Mittwoch", "Heute abend", "Holzstück", "sieben Stunden", "Tüten", "hochgetragen", "Agnes")


@cache
def script() -> ModuleType:
    path = Path(__file__).parents[1] / "demo" / "make_clips.py"
    spec = importlib.util.spec_from_file_location("make_clips", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their own module up while it is being made
    spec.loader.exec_module(module)
    return module


@cache
def facts(emotion: str) -> dict[str, float]:
    return script().measured(audio.load(FOLDER / f"{emotion}.flac"))


def test_every_clip_is_listed_and_every_listed_clip_is_there() -> None:
    found = {path.name for path in FOLDER.iterdir() if path.is_file()} - {"clips.json"}
    assert found == set(CLIPS)
    assert 5 <= len(CLIPS) <= 8
    assert sorted(row["rendered_as"] for row in CLIPS.values()) == list(EMODB)


def test_the_listing_is_what_the_script_would_write() -> None:
    assert script().listing() == LISTING


def test_the_listing_is_honest_and_complete() -> None:
    assert "Synthetic speech made for this purpose" in LISTING["note"]
    assert "not an actor" in LISTING["note"]
    assert LISTING["licence"].startswith("CC0-1.0") and "espeak-ng" in LISTING["licence"]
    for row in CLIPS.values():
        assert set(row) == {"file", "rendered_as", "sentence", "translation", "language", "voice", "licence"}
        assert all(row.values()) and not re.search(r"[<>]", row["sentence"])
        assert not any(word in row["sentence"] for word in EMODB_WORDS)


def test_voices_are_several_of_either_sex() -> None:
    assert len({row["voice"] for row in CLIPS.values()}) >= 4
    assert {row["voice"].split()[0] for row in CLIPS.values()} == {"man", "woman"}


def test_all_together_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file()) < 400_000


@pytest.mark.parametrize("name", CLIPS)
def test_a_clip_is_a_short_mono_recording_at_16_khz(name: str) -> None:
    described = soundfile.info(FOLDER / name)
    assert (described.samplerate, described.channels, described.format) == (16_000, 1, "FLAC")
    wave = audio.load(FOLDER / name)
    assert len(wave) == described.frames
    assert 1.5 <= len(wave) / 16_000 <= 3.5


@pytest.mark.parametrize("name", CLIPS)
def test_a_clip_is_neither_silent_nor_clipped(name: str) -> None:
    wave = audio.load(FOLDER / name)
    assert np.abs(wave).max() < 0.999
    assert np.sqrt(np.mean(wave**2)) > 0.02
    assert abs(wave.mean()) < 1e-4
    frames = wave[: len(wave) // 400 * 400].reshape(-1, 400)
    assert (frames**2).mean(axis=1).min() > 0  # no digital silence: the room is always there


def test_anger_and_sadness_are_the_same_words_by_the_same_voice() -> None:
    one, other = CLIPS["anger.flac"], CLIPS["sadness.flac"]
    assert (one["sentence"], one["voice"]) == (other["sentence"], other["voice"])


@pytest.mark.parametrize(
    ("fact", "more", "less", "by"),
    [
        ("pitch_hz", "anger", "sadness", 30),
        ("range_semitones", "anger", "sadness", 2),
        ("level_dbfs", "anger", "sadness", 6),
        ("above_1khz_db", "anger", "sadness", 6),
        ("seconds", "sadness", "anger", 0.5),
        # the same voice, different words
        ("pitch_hz", "happiness", "disgust", 50),
        ("pitch_hz", "neutral", "boredom", 10),
        ("range_semitones", "neutral", "boredom", 2),
        ("above_1khz_db", "neutral", "boredom", 2),
        # a woman's voice either way
        ("pitch_hz", "fear", "disgust", 50),
    ],
)
def test_prosody_goes_where_it_was_meant_to(fact: str, more: str, less: str, by: float) -> None:
    assert facts(more)[fact] - facts(less)[fact] > by


def test_sadness_and_boredom_fade_and_anger_swells() -> None:
    def later_minus_earlier(emotion: str) -> float:
        wave = np.square(audio.load(FOLDER / f"{emotion}.flac"), dtype=np.float64)
        halves = np.array_split(wave, 2)
        return float(10 * np.log10(halves[1].mean() / halves[0].mean()))

    assert later_minus_earlier("sadness") < -1
    assert later_minus_earlier("boredom") < later_minus_earlier("anger")


def vowel(hertz: float = 120, seconds: float = 1.0) -> np.ndarray:
    time = np.arange(round(16_000 * seconds)) / 16_000
    return sum(np.sin(2 * np.pi * k * hertz * time) / k for k in range(1, 30)) / 4


@pytest.mark.parametrize("hertz", [75, 120, 210, 330])
def test_the_measuring_of_pitch_is_right_on_known_tones(hertz: float) -> None:
    assert script().measured(vowel(hertz))["pitch_hz"] == pytest.approx(hertz, rel=0.02)


@pytest.mark.parametrize(
    ("change", "fact", "direction"),
    [
        (lambda make, wave: make.tilted(wave, 4), "above_1khz_db", 1),
        (lambda make, wave: make.tilted(wave, -4), "above_1khz_db", -1),
        (lambda make, wave: make.trembling(wave, 60), "range_semitones", 1),
        (lambda make, wave: make.breathy(wave, -10, np.random.default_rng(0)), "above_1khz_db", 1),
    ],
)
def test_each_colouring_changes_what_it_names(change: Callable, fact: str, direction: int) -> None:
    make, wave = script(), vowel()
    before, after = make.measured(wave), make.measured(change(make, wave))
    assert direction * (after[fact] - before[fact]) > 0.3
    assert after["pitch_hz"] == pytest.approx(before["pitch_hz"], rel=0.03)
