"""Recognition: every rung of the ladder gives the same answer, and long recordings cost no memory."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

import feltone
from feltone import features
from feltone.errors import AudioError, ConfigError
from feltone.features import DEFAULT, Waveform
from feltone.recognizer import Recognizer, windows
from feltone.timeline import SILENCE

RATE = DEFAULT.sample_rate


@pytest.fixture(scope="module")
def recognize() -> Recognizer:
    return feltone.load()


def voice(seconds: float, seed: int = 0) -> Waveform:
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    wave = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 10)) * (1 + np.sin(2 * np.pi * 2.5 * t))
    return (0.1 * wave + 0.001 * rng.standard_normal(len(t))).astype(np.float32)


def test_image_waveform_and_file_agree(recognize: Recognizer, tmp_path: Path) -> None:
    samples = voice(2.5)
    soundfile.write(tmp_path / "v.wav", samples, RATE, subtype="FLOAT")
    by_image = recognize.images(features.log_mel_image(samples)[None])
    by_wave, by_file = recognize.waveform(samples), recognize(tmp_path / "v.wav")
    by_bytes = recognize((tmp_path / "v.wav").read_bytes())
    assert by_wave == by_file == by_bytes
    assert list(by_wave.scores.values()) == pytest.approx(by_image.probabilities[0].tolist())
    assert by_wave.seconds == 2.5 and not by_wave.cut


def test_a_batch_says_what_its_images_say_alone(recognize: Recognizer) -> None:
    batch = np.stack([features.log_mel_image(voice(1.5, seed)) for seed in range(4)])
    together = recognize.images(batch).probabilities
    alone = np.concatenate([recognize.images(image[None]).probabilities for image in batch])
    assert np.abs(together - alone).max() < 1e-5


def test_level_does_not_change_what_is_heard(recognize: Recognizer) -> None:
    loud, quiet = recognize.waveform(voice(2)), recognize.waveform(voice(2) * np.float32(1e-3))
    assert quiet.label == loud.label
    assert list(quiet.scores.values()) == pytest.approx(list(loud.scores.values()), abs=1e-3)


def test_int8_says_nearly_what_fp32_says(recognize: Recognizer) -> None:
    small = feltone.load(precision="int8")
    images = np.stack([features.log_mel_image(voice(2, seed)) for seed in range(4)])
    assert np.abs(small.images(images).probabilities - recognize.images(images).probabilities).max() < 0.02


@pytest.mark.parametrize("lengths", [[0.5], [1.0, 2.7], [3.0, 4.0], [0.2, 0.3, 3.95]])
def test_silence_merged_into_one_column_changes_nothing(lengths: list[float]) -> None:
    recognize = feltone.load("student-emodb")
    images = np.stack([features.log_mel_image(voice(seconds)) for seconds in lengths])
    assert recognize.merges_silence
    merged = recognize.images(images)
    spelled_out = recognize._session.run(["logits", "embedding", "attention"], {"image": images})  # all 128 columns
    for found, expected in zip(merged[1:], spelled_out, strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-5)


def test_many_files_are_recognised_in_order_and_a_bad_one_costs_itself(recognize: Recognizer, tmp_path: Path) -> None:
    paths = [tmp_path / f"{k}.wav" for k in range(12)]
    for k, path in enumerate(paths):
        soundfile.write(path, voice(0.4 + 0.3 * k, k), RATE)
    paths[5].write_bytes(b"no sound")
    paths[7].unlink()
    for workers in (1, 2, 5):
        found = list(recognize.files(paths, workers=workers))
        assert [source for source, _ in found] == paths
        for k, (path, result) in enumerate(found):
            if k in (5, 7):
                assert isinstance(result, AudioError) and path.name in str(result)
            else:
                alone = recognize(path)
                assert result.label == alone.label
                assert list(result.scores.values()) == pytest.approx(list(alone.scores.values()), abs=1e-5)


def test_files_are_taken_as_they_are_needed(recognize: Recognizer, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "v.wav", voice(0.5), RATE)
    taken = 0

    def endless() -> Iterator[Path]:
        nonlocal taken
        while True:
            taken += 1
            yield tmp_path / "v.wav"

    results = recognize.files(endless(), workers=2)
    for _ in range(10):
        next(results)
    results.close()
    assert taken < 30


def test_only_the_first_four_seconds_of_a_file_count_and_it_says_so(recognize: Recognizer, tmp_path: Path) -> None:
    samples = voice(6)
    soundfile.write(tmp_path / "long.wav", samples, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "exact.wav", samples[: 4 * RATE], RATE, subtype="FLOAT")
    long, exact = recognize(tmp_path / "long.wav"), recognize(tmp_path / "exact.wav")
    assert long.scores == exact.scores and (long.cut, exact.cut) == (True, False) and long.seconds == 4


def test_silence_is_said_not_guessed(recognize: Recognizer, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    with pytest.raises(AudioError, match=r"silent\.wav: silent"):
        recognize(tmp_path / "silent.wav")


def test_nothing_is_recognised_in_no_samples(recognize: Recognizer) -> None:
    with pytest.raises(AudioError, match=r"shape \(0,\)"):
        recognize.waveform(np.zeros(0, np.float32))
    with pytest.raises(AudioError, match="mono"):
        recognize.waveform(np.zeros((2, 100), np.float32))


def test_a_timeline_is_the_recognition_of_its_windows(recognize: Recognizer, tmp_path: Path) -> None:
    samples = np.concatenate([voice(5), np.zeros(8 * RATE, np.float32), voice(3.8, 1)])
    soundfile.write(tmp_path / "talk.wav", samples, RATE, subtype="FLOAT")
    timeline = recognize.timeline(tmp_path / "talk.wav", hop=2)
    assert timeline.name == "talk" and [s.start for s in timeline.segments] == [2 * k for k in range(8)]
    for segment in timeline.segments:
        piece = samples[round(segment.start * RATE) : round(segment.end * RATE)]
        if piece.any():
            assert list(segment.scores.values()) == pytest.approx(
                list(recognize.waveform(piece).scores.values()), abs=1e-4
            )
        else:
            assert segment.label == SILENCE and not any(segment.scores.values())
    assert any(segment.label == SILENCE for segment in timeline.segments)
    assert timeline.segments[-1].end == pytest.approx(len(samples) / RATE)


@pytest.mark.parametrize("seconds", [0.3, 3.9, 4.0, 4.3, 4.6, 11.0, 11.7])
@pytest.mark.parametrize("hop", [0.5, 1.0, 4.0])
def test_windows_leave_no_half_second_unheard(seconds: float, hop: float) -> None:
    samples = np.arange(round(seconds * RATE), dtype=np.float32)
    pieces = [samples[i : i + 5_000] for i in range(0, len(samples), 5_000)]
    cut = list(windows(iter(pieces), DEFAULT, hop))
    for start, window in cut:
        first = round(start * RATE)
        assert np.array_equal(window, samples[first : first + DEFAULT.clip_samples])
    heard = round(cut[-1][0] * RATE) + len(cut[-1][1])
    assert len(samples) - heard < RATE // 2
    assert [start for start, _ in cut] == pytest.approx([hop * k for k in range(len(cut))])


def test_memory_does_not_grow_with_the_recording(recognize: Recognizer) -> None:
    def stream(seconds: int) -> Iterator[Waveform]:
        yield from (voice(10) for _ in range(seconds // 10))

    def peak(seconds: int) -> int:
        tracemalloc.start()
        for _ in windows(stream(seconds), DEFAULT, 4.0):
            pass
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    assert peak(600) < 1.2 * peak(60)


@pytest.mark.parametrize("hop", [0, -1, 4.5, 1e-5, float("nan")])
def test_a_hop_that_leaves_gaps_or_goes_nowhere_is_refused(recognize: Recognizer, hop: float) -> None:
    with pytest.raises(ConfigError, match="hop"):
        list(recognize.segments("x.wav", hop=hop))
