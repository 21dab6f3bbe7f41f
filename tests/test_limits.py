"""What a file may ask for: each limit lets through what lies within it, and names itself to what lies beyond."""

import io
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from feltone import audio, limits
from feltone.errors import AudioError, ConfigError
from feltone.features import FeatureConfig

RATE = 16_000


def encoded(samples: np.ndarray, rate: int = RATE, kind: str = "WAV", subtype: str = "PCM_16") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def header(content: bytes, *, rate: int | None = None, channels: int | None = None) -> bytes:
    """A wav whose header claims something else."""
    claimed = bytearray(content)
    if channels is not None:
        struct.pack_into("<H", claimed, 22, channels)
        struct.pack_into("<H", claimed, 32, min(2 * channels, 65_535))
    if rate is not None:
        struct.pack_into("<I", claimed, 24, rate)
    return bytes(claimed)


TONE = encoded(0.5 * np.sin(np.arange(RATE) / 10))


@pytest.mark.parametrize("rate", [0, limits.RATES_HZ[1] + 1, 10**9, 2**32 - 1])
def test_sampling_rates_beyond_the_limit_are_refused(rate: int) -> None:
    with pytest.raises(
        AudioError, match=r"^audio bytes: (its header is damaged: \d+ samples a second|not a recording)"
    ):
        audio.load(header(TONE, rate=rate))


@pytest.mark.parametrize("rate", [limits.RATES_HZ[0], 2, 999, limits.RATES_HZ[1]])
def test_sampling_rates_within_the_limit_are_read_in_bounded_memory(rate: int) -> None:
    content = encoded(np.tile([0.1, -0.1], 10 + rate // 2), rate)
    tracemalloc.start()
    try:
        samples = sum(map(len, audio.stream(content)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert samples == pytest.approx((20 + rate // 2 * 2) / rate * RATE, abs=2)
    assert peak < 8 * limits.BLOCK_SAMPLES * 4


@pytest.mark.parametrize("channels", [0, limits.CHANNELS + 1, 1_024, 65_535])
def test_channels_beyond_the_limit_are_refused(channels: int) -> None:
    expected = r"^audio bytes: (its header claims \d+ channels \(64 at most\)|not a recording|damaged or truncated)"
    with pytest.raises(AudioError, match=expected):
        audio.load(header(TONE, channels=channels))


def test_as_many_channels_as_allowed_are_mixed_and_decoded_in_bounded_memory() -> None:
    written = np.random.default_rng(0).uniform(-0.5, 0.5, (9_600, limits.CHANNELS)).astype(np.float32)
    content = encoded(written, limits.RATES_HZ[1], subtype="FLOAT")
    np.testing.assert_allclose(audio.load(content, limits.RATES_HZ[1]), written.mean(1), atol=1e-6)
    claimed = header(encoded(np.zeros((768_000 // 8, limits.CHANNELS)), limits.RATES_HZ[1]))
    tracemalloc.start()
    try:
        assert sum(map(len, audio.stream(claimed))) == RATE // 8
        assert tracemalloc.get_traced_memory()[1] < 8 * limits.BLOCK_SAMPLES * 4
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """Twenty minutes of silence in a few kilobytes, 1 : 900."""
    content = encoded(np.zeros(1_200 * RATE, np.int16), kind="FLAC")
    assert len(content) < 1_200 * RATE * 2 / 500
    return content


def test_a_few_bytes_that_become_hours_are_refused_where_all_is_kept_and_stream_in_bounded_memory(
    bomb: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HELD_BYTES", 600 * RATE * 4)
    tracemalloc.start()
    try:
        with pytest.raises(AudioError, match=r"^audio bytes: longer than the 600 s that are kept at once; "):
            audio.load(bomb)
        assert tracemalloc.get_traced_memory()[1] < 1.1 * limits.HELD_BYTES
    finally:
        tracemalloc.stop()
    assert len(audio.load(bomb, end=500.0)) == 500 * RATE, "a part within the limit is read"
    assert len(audio.load(bomb, start=700.0)) == 500 * RATE
    assert sum(map(len, audio.stream(bomb))) == 1_200 * RATE


def test_a_recording_beyond_the_longest_is_refused_while_it_streams(
    bomb: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SECONDS", 1_199)
    with pytest.raises(AudioError, match=r"^audio bytes: longer than 0 hours; send it in parts$"):
        for _ in audio.stream(bomb):
            pass
    assert len(audio.load(bomb, end=4.0)) == 4 * RATE, "its beginning is heard all the same"


def test_a_header_that_claims_hours_and_holds_a_second_is_a_truncated_file() -> None:
    claimed = bytearray(encoded(np.zeros(RATE), kind="FLAC"))
    claimed[21:26] = bytes([claimed[21] & 0xF0 | 0x0F, 0xFF, 0xFF, 0xFF, 0xFF])  # STREAMINFO: 2^36 - 1 samples
    with pytest.raises(AudioError, match="truncated: its header promises 68719476735 samples, 16000 are there"):
        audio.load(bytes(claimed))


@pytest.mark.parametrize(
    ("name", "codec", "fault"),
    [
        ("a.mkv", "tta", "its sound is coded as tta, which is not read; convert it to flac"),
        ("a.wv", "wavpack", "not a recording, or damaged"),  # a container of its own
    ],
)
def test_containers_and_codecs_that_speech_does_not_come_in_are_not_decoded(
    tmp_path: Path, name: str, codec: str, fault: str
) -> None:
    av = pytest.importorskip("av", reason="needs feltone[media]")
    with av.open(str(tmp_path / name), "w") as container:
        track = container.add_stream(codec, rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4_096), np.int16), "s16", "mono")
        frame.sample_rate = RATE
        for packed in av.AudioResampler(track.format, "mono", RATE, track.codec_context.frame_size).resample(frame):
            container.mux(track.encode(packed))
        container.mux(track.encode(None))
    with pytest.raises(AudioError, match=fault):
        audio.load(tmp_path / name)


@pytest.mark.parametrize(
    "claimed",
    [
        {"clip_seconds": 1e9},
        {"mel_bands": 1 << 20},
        {"fft_size": 1 << 21},
        {"sample_rate": 10**400},
        {"clip_seconds": float("inf")},
        {"min_hz": float("nan")},
        {"hop_size": "64"},
        {"hop_size": True},
        {"columns": 1.5},
    ],
)
def test_a_front_end_that_is_none_or_would_take_all_memory_is_refused(claimed: dict) -> None:
    with pytest.raises(ConfigError):
        FeatureConfig.from_dict(FeatureConfig().to_dict() | claimed)
