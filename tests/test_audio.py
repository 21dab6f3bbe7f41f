"""Any recording becomes the same kind of waveform, or one line that names the file and its fault."""

import io
import os
import struct
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from feltone import audio
from feltone.errors import AudioError, FeltoneError, MissingExtraError

RATE = 16_000
RNG = np.random.default_rng(7)


def tone(hertz: float, rate: int = RATE, seconds: float = 2.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def level(waveform: np.ndarray) -> float:
    """Amplitude of a tone of two seconds, from its middle."""
    return float(np.sqrt(2 * np.mean(np.square(waveform[RATE // 2 : 3 * RATE // 2]))))


def encoded(waveform: np.ndarray, rate: int = RATE, kind: str = "WAV", subtype: str | None = None) -> bytes:
    """A file's bytes, written piecewise because libvorbis overflows its stack on long ones."""
    file = io.BytesIO()
    channels = 1 if waveform.ndim == 1 else waveform.shape[1]
    with soundfile.SoundFile(file, "w", rate, channels, format=kind, subtype=subtype) as sound:
        for start in range(0, len(waveform), 4_096):
            sound.write(waveform[start : start + 4_096])
    return file.getvalue()


def media(
    path: Path,
    codec: str,
    waveform: np.ndarray,
    *,
    rate: int = 48_000,
    video: bool = False,
    title: str = "",
    **options: str,
) -> Path:
    """What soundfile cannot write: waveform (channels, samples), through PyAV."""
    av = pytest.importorskip("av", reason="needs feltone[media]")
    with av.open(str(path), "w", options=options) as container:
        container.metadata["title"] = title
        track = container.add_stream(codec, rate=rate)
        track.layout = "stereo" if len(waveform) == 2 else "mono"
        if video:
            pictures = container.add_stream("mpeg4", rate=25)
            pictures.width = pictures.height = 64
            for index in range(25):
                picture = av.VideoFrame(64, 64, "yuv420p")
                picture.pts = index
                container.mux(pictures.encode(picture))
            container.mux(pictures.encode(None))
        whole = av.AudioFrame.from_ndarray(np.float32(waveform), "fltp", track.layout)
        whole.sample_rate = rate
        size = track.codec_context.frame_size or 1_024
        for frame in av.AudioResampler(track.format, track.layout, rate, size).resample(whole):
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    return path


def refusal(source: audio.Source) -> str:
    """The message with which a source is refused: one line that begins with its name."""
    with pytest.raises(FeltoneError) as caught:
        audio.load(source)
    message, name = str(caught.value), str(AudioError(f"{audio.name_of(source)}: "))  # what is no text is escaped
    assert message.startswith(name) and "\n" not in message
    return message.removeprefix(name)


# ---- what is read ----


@pytest.mark.parametrize(
    ("kind", "subtype", "tolerance"),
    [
        ("WAV", "PCM_U8", 2**-7),
        ("WAV", "PCM_16", 2**-15),
        ("WAV", "PCM_24", 2**-23),
        ("WAV", "PCM_32", 2**-23),
        ("WAV", "FLOAT", 2**-24),
        ("WAV", "DOUBLE", 2**-24),
        ("WAV", "ULAW", 0.02),
        ("WAVEX", "PCM_24", 2**-23),
        ("RF64", "PCM_16", 2**-15),
        ("FLAC", "PCM_16", 2**-15),
        ("FLAC", "PCM_24", 2**-23),
        ("AIFF", "PCM_16", 2**-15),
        ("AU", "PCM_16", 2**-15),
    ],
)
def test_samples_are_those_written_at_full_scale_one(kind: str, subtype: str, tolerance: float) -> None:
    written = RNG.uniform(-1, 0.99, 3 * RATE)
    read = audio.load(encoded(written, kind=kind, subtype=subtype))
    assert read.dtype == np.float32 and read.shape == written.shape
    np.testing.assert_allclose(read, written, atol=tolerance, rtol=0)


@pytest.mark.parametrize(("kind", "subtype"), [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None)])
def test_lossy_formats_keep_pitch_level_and_length(kind: str, subtype: str | None) -> None:
    read = audio.load(encoded(tone(1_000), kind=kind, subtype=subtype))
    assert len(read) == 2 * RATE
    spectrum = np.abs(np.fft.rfft(read[RATE // 2 : 3 * RATE // 2]))  # 1 s: one bin per Hz
    assert spectrum.argmax() == 1_000
    assert level(read) == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize(("rate", "tolerance"), [(8_000, 2e-3), (22_050, 1e-4), (44_100, 1e-4), (96_000, 1e-4)])
def test_resampling_keeps_a_tone_its_level_and_its_place_in_time(rate: int, tolerance: float) -> None:
    read = audio.load(encoded(tone(1_000, rate), rate, subtype="FLOAT"))
    assert len(read) == 2 * RATE
    inner = slice(RATE // 4, -RATE // 4)  # away from the edges, where the band limit makes any tone ring
    np.testing.assert_allclose(read[inner], tone(1_000)[inner], atol=tolerance, rtol=0)


@pytest.mark.parametrize("rate", [44_100, 48_000, 96_000])
def test_what_lies_above_half_the_new_rate_is_gone_and_does_not_fold(rate: int) -> None:
    read = audio.load(encoded(tone(10_000, rate), rate, subtype="FLOAT"))
    inner = read[RATE // 4 : -RATE // 4]
    assert 20 * np.log10(np.abs(inner).max() / 0.5) < -60


@pytest.mark.parametrize("channels", [2, 3, 6])
def test_mono_is_the_mean_of_the_channels(channels: int) -> None:
    written = np.float32(RNG.uniform(-1, 1, (RATE, channels)))
    read = audio.load(encoded(written, subtype="FLOAT"))
    np.testing.assert_allclose(read, written.mean(axis=1), atol=1e-6)


def test_opposite_channels_cancel_and_silence_is_zeros() -> None:
    left = tone(300)
    assert not audio.load(encoded(np.stack([left, -left], axis=1), subtype="FLOAT")).any()
    silent = audio.load(encoded(np.zeros(RATE)))
    assert len(silent) == RATE and not silent.any()


def test_one_sample_is_a_recording_unless_nothing_of_it_is_left() -> None:
    assert len(audio.load(encoded(np.array([0.5])))) == 1
    assert "holds no samples" in refusal(encoded(np.array([0.5]), 96_000))


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [("FLAC", ".mp3"), ("WAV", ".raw"), ("OGG", ".wav"), ("MP3", ".flac"), ("WAV", ""), ("FLAC", ".m4a")],
)
def test_content_decides_and_not_the_name(tmp_path: Path, kind: str, suffix: str) -> None:
    content = encoded(tone(440), kind=kind)
    (tmp_path / f"clip{suffix}").write_bytes(content)
    np.testing.assert_array_equal(audio.load(tmp_path / f"clip{suffix}"), audio.load(content))


def test_path_text_bytes_file_and_pipe_give_the_same_samples(tmp_path: Path) -> None:
    content = encoded(tone(440, 44_100, seconds=0.5), 44_100)
    path = tmp_path / "clip.wav"
    path.write_bytes(content)
    expected = audio.load(path)
    np.testing.assert_array_equal(audio.load(str(path)), expected)
    np.testing.assert_array_equal(audio.load(content), expected)
    with path.open("rb") as file:
        file.seek(100)  # wherever its reader left it
        np.testing.assert_array_equal(audio.load(file), expected)
        assert not file.closed
    with tempfile.SpooledTemporaryFile() as upload:  # what a web framework hands over
        upload.write(content)
        np.testing.assert_array_equal(audio.load(upload), expected)
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as unseekable, os.fdopen(writing, "wb") as sender:
        sender.write(content)
        sender.close()
        np.testing.assert_array_equal(audio.load(unseekable), expected)


@pytest.mark.parametrize("unknown", [0xFFFF_FFFF, 0xFFFF_FFFF - 36, 0x7FFF_FFFF, 0x7FFF_F000, 0x7FFF_0000, 0x8000_0000])
def test_wav_written_to_a_pipe_is_read_to_its_end(unknown: int) -> None:
    content = bytearray(encoded(tone(440)))
    struct.pack_into("<I", content, 4, min(unknown + 36, 0xFFFF_FFFF))
    struct.pack_into("<I", content, 40, unknown)
    np.testing.assert_array_equal(audio.load(bytes(content)), audio.load(encoded(tone(440))))


def test_flac_and_au_written_to_a_pipe_are_read_to_their_end() -> None:
    flac = bytearray(encoded(tone(440), kind="FLAC"))
    flac[21:26] = bytes([flac[21] & 0xF0, 0, 0, 0, 0])  # STREAMINFO: total samples, 0 when unknown
    np.testing.assert_array_equal(audio.load(bytes(flac)), audio.load(encoded(tone(440), kind="FLAC")))
    au = bytearray(encoded(tone(440), kind="AU"))
    struct.pack_into(">I", au, 8, 0xFFFF_FFFF)
    np.testing.assert_array_equal(audio.load(bytes(au)), audio.load(encoded(tone(440))))


# ---- chunks and segments ----


@pytest.mark.parametrize(("rate", "kind"), [(RATE, "FLAC"), (8_000, "WAV"), (44_100, "OGG"), (48_000, "MP3")])
def test_load_is_its_stream_joined_and_no_chunk_is_long(rate: int, kind: str) -> None:
    content = encoded(RNG.normal(0, 0.1, round(4.3 * rate)), rate, kind)
    chunks = list(audio.stream(content))
    np.testing.assert_array_equal(np.concatenate(chunks), audio.load(content))
    assert sum(map(len, chunks)) == pytest.approx(4.3 * RATE, abs=1)
    assert max(map(len, chunks)) < 1.1 * RATE


def test_chunkwise_resampling_equals_resampling_the_whole() -> None:
    import soxr

    written = np.float32(RNG.normal(0, 0.1, 5 * 44_100))
    np.testing.assert_array_equal(
        audio.load(encoded(written, 44_100, subtype="FLOAT")), soxr.resample(written, 44_100, RATE)
    )


def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, np.zeros(600 * 8_000), 8_000)  # 38 MB once decoded and resampled
    tracemalloc.start()
    try:
        assert sum(map(len, audio.stream(path))) == 600 * RATE
        assert len(audio.load(path, start=598)) == 2 * RATE
        assert tracemalloc.get_traced_memory()[1] < 2e6
    finally:
        tracemalloc.stop()


class Counting(io.BytesIO):
    """A file that knows how far it was read."""

    furthest = 0

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        self.furthest = max(self.furthest, self.tell())
        return content


@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_a_segment_does_not_read_what_lies_after_it(rate: int) -> None:
    file = Counting(encoded(np.zeros(60 * rate), rate))
    assert len(audio.load(file, start=1.0, end=2.5)) == 1.5 * RATE
    assert file.furthest < 5 * 2 * rate


MINUTE_PART = encoded(RNG.normal(0, 0.1, round(3.21 * 44_100)), 44_100)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.floats(0, 3.2), st.floats(0.001, 4))
def test_a_segment_is_a_slice(start: float, length: float) -> None:
    whole = audio.load(MINUTE_PART)
    segment = audio.load(MINUTE_PART, start=start, end=start + length)
    np.testing.assert_array_equal(segment, whole[round(start * RATE) : round((start + length) * RATE)])


@pytest.mark.parametrize(
    ("start", "end"),
    [(2.0, 1.0), (1.0, 1.0), (-1.0, None), (float("nan"), None), (0.0, float("nan")), (5.0, None), (5.0, 6.0)],
)
def test_an_empty_segment_is_refused(start: float, end: float | None) -> None:
    with pytest.raises(AudioError, match=r"^audio bytes: segment "):
        audio.load(MINUTE_PART, start=start, end=end)


# ---- what is refused ----


def silent_video(folder: Path) -> Path:
    av = pytest.importorskip("av", reason="needs feltone[media]")
    with av.open(str(folder / "silent.mp4"), "w") as container:
        pictures = container.add_stream("mpeg4", rate=25)
        pictures.width = pictures.height = 64
        container.mux(pictures.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(pictures.encode(None))
    return folder / "silent.mp4"


def written(name: str, content: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


def loop(folder: Path) -> Path:
    (folder / "loop.wav").symlink_to("loop.wav")
    return folder / "loop.wav"


WAV = encoded(tone(440))
BROKEN = np.float32(tone(440))
BROKEN[RATE] = np.nan
INFINITE = np.float32(np.stack([tone(440), tone(440)], axis=1))
INFINITE[RATE] = np.inf, -np.inf  # whose mean is not even infinite
ABSURD = np.float32(tone(440) * 1e30)


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        pytest.param(lambda folder: folder / "missing.wav", "no such file", id="missing"),
        pytest.param(lambda folder: folder, "is a folder", id="folder"),
        pytest.param(loop, "cannot be read", id="unreadable"),
        pytest.param(lambda folder: folder / "nul\0.wav", "cannot be read", id="no-file-name"),
        pytest.param(written("a.wav", b""), r"is empty \(0 bytes\)", id="empty"),
        pytest.param(written("a.wav", encoded(np.zeros(0))), "holds no samples", id="zero-length"),
        pytest.param(written("a.wav", encoded(BROKEN, subtype="FLOAT")), r"NaN.*first at 1\.00 s", id="nan"),
        pytest.param(written("a.wav", encoded(INFINITE, subtype="FLOAT")), r"infinite.*at 1\.00 s", id="inf"),
        pytest.param(written("a.wav", encoded(ABSURD, subtype="FLOAT")), "impossible samples", id="absurd"),
        pytest.param(written("a.wav", WAV[:30_000]), "truncated: its header promises", id="truncated"),
        pytest.param(written("a.wav", b"just text " * 500), "not a recording, or damaged", id="text"),
        pytest.param(written("a.mp3", ("words " * 500).encode("utf-16")), "not a recording", id="text-like-mp3"),
        pytest.param(written("a.wav", RNG.bytes(9_999)), "not a recording, or damaged", id="noise"),
        pytest.param(silent_video, "has no audio track", id="silent-video"),
        pytest.param(lambda folder: io.BytesIO(), "is empty", id="empty-stream"),
        pytest.param(lambda folder: io.StringIO("RIFF"), "opened as text", id="text-stream"),
    ],
)
def test_each_fault_has_its_line(tmp_path: Path, make: Callable[[Path], audio.Source], fault: str) -> None:
    pytest.importorskip("av", reason="needs feltone[media]")
    source = make(tmp_path)
    with pytest.raises(AudioError, match=fault):
        audio.load(source)
    refusal(source)


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    path = written("secret.wav", WAV)(tmp_path)
    path.chmod(0)
    answer = in_python(
        f"""
        import os, soundfile, soxr
        from feltone import audio
        if os.geteuid() == 0: os.seteuid(65534)  # root may read anything
        try: audio.load({str(path)!r})
        except audio.AudioError as fault: print(fault)
        """
    )
    assert answer == f"{path}: cannot be read (Permission denied)"


def in_python(script: str) -> str:
    lines = "\n".join(line.removeprefix("        ") for line in script.splitlines())
    run = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True, timeout=60)
    return run.stdout.strip()


class Failing(io.BytesIO):
    """A file on a disk that fails after 20,000 bytes."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() > 20_000:
            raise OSError(5, "Input/output error")
        return super().read(size)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "MP3", "OGG"])
def test_a_disk_that_fails_midway_is_not_a_short_recording(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    file = Failing(encoded(RNG.normal(0, 0.1, 20 * RATE), kind=kind))
    assert refusal(file) == "reading stopped midway (Input/output error)"
    assert "Exception" not in capfd.readouterr().err


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "AU", "W64", "RF64", "FLAC"])
def test_a_cut_is_never_taken_for_the_end_where_a_length_is_promised(kind: str) -> None:
    content = encoded(RNG.normal(0, 0.1, RATE), kind=kind)
    for length in [*range(1, 400, 13), *np.linspace(400, len(content) - 2, 40, dtype=int)]:
        refusal(content[:length])


def test_a_flac_cut_between_two_of_its_frames_is_refused() -> None:
    content = encoded(np.zeros(5 * RATE), kind="FLAC")  # frames of silence are so short that every cut can be tried
    for length in range(1, len(content)):
        refusal(content[:length])


@pytest.mark.parametrize(("kind", "subtype"), [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None)])
def test_a_cut_stream_gives_what_is_there(kind: str, subtype: str | None) -> None:
    content = encoded(RNG.normal(0, 0.1, 20 * RATE), kind=kind, subtype=subtype)
    whole, part = audio.load(content), audio.load(content[: len(content) // 2])
    assert 6 * RATE < len(part) < 12 * RATE
    sure = len(part) - RATE // 10
    np.testing.assert_allclose(part[:sure], whole[:sure], atol=1e-4)
    for length in range(1, 200, 3):  # within the header
        refusal(content[:length])


def test_short_files_make_no_noise_on_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    for kind in ("MP3", "AIFF", "OGG", "FLAC", "WAV"):
        for length in (1, 4, 12, 44, 100):
            refusal(encoded(tone(440), kind=kind)[:length])
    assert "Exception" not in capfd.readouterr().err  # of a callback, raised where nobody can catch it


def test_joined_mp3s_are_refused_and_tagged_ones_are_not() -> None:
    piece = encoded(tone(440, seconds=4), kind="MP3")
    assert "goes on where its mp3 header says it ends" in refusal(piece + piece)
    np.testing.assert_array_equal(audio.load(piece + b"TAG" + b"x" * 125), audio.load(piece))


@pytest.mark.parametrize("rate", [768_001, 4_000_000, 10**9])
def test_an_impossible_sampling_rate_is_a_damaged_header(rate: int) -> None:
    content = bytearray(WAV)
    struct.pack_into("<I", content, 24, rate)
    assert refusal(bytes(content)).startswith("its header is damaged")


FORMATS = {kind: encoded(tone(440, seconds=0.2), kind=kind) for kind in ("WAV", "FLAC", "AIFF", "AU", "OGG", "MP3")}


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.sampled_from(sorted(FORMATS)), st.dictionaries(st.integers(0, 120), st.integers(0, 255), min_size=1, max_size=6)
)
def test_a_damaged_header_gives_samples_or_one_line(kind: str, changes: dict[int, int]) -> None:
    content = bytearray(FORMATS[kind])
    for place, value in changes.items():
        content[place] = value
    try:
        waveform = audio.load(bytes(content))
    except FeltoneError as fault:
        assert str(fault).startswith("audio bytes: ") and "\n" not in str(fault)
    else:
        assert waveform.dtype == np.float32 and waveform.ndim == 1 and np.isfinite(waveform).all()


# ---- other containers, through PyAV ----


@pytest.mark.parametrize(
    ("name", "codec", "video"),
    [("a.m4a", "aac", False), ("a.webm", "libopus", False), ("a.mp4", "aac", True), ("a.mkv", "pcm_s16le", False)],
)
def test_containers_and_video_give_their_sound(tmp_path: Path, name: str, codec: str, video: bool) -> None:
    path = media(tmp_path / name, codec, tone(1_000, 48_000)[None], video=video)
    read = audio.load(path)
    assert len(read) / RATE == pytest.approx(2, abs=0.05)  # encoders work in blocks of 20-60 ms
    assert np.abs(np.fft.rfft(read[RATE // 2 : 3 * RATE // 2])).argmax() == 1_000
    assert level(read) == pytest.approx(0.5, rel=0.05)
    np.testing.assert_array_equal(audio.load(path.read_bytes()), read)
    np.testing.assert_array_equal(audio.load(path.rename(tmp_path / "a.wav")), read)
    np.testing.assert_array_equal(audio.load(tmp_path / "a.wav", start=0.5, end=1.2), read[RATE // 2 : RATE * 12 // 10])


def test_stereo_in_a_lossless_m4a_is_the_mean(tmp_path: Path) -> None:
    left, right = tone(300, RATE), tone(700, RATE)
    read = audio.load(media(tmp_path / "a.m4a", "alac", np.stack([left, right]), rate=RATE))
    np.testing.assert_allclose(read, ((left + right) / 2)[: len(read)], atol=1e-4)


def test_many_channels_in_a_container_are_mixed_too(tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="needs feltone[media]")
    samples = np.int16(RNG.integers(-9_000, 9_000, (RATE, 10)))
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        track = container.add_stream("pcm_s16le", rate=RATE)
        track.layout = "5.1.4"
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), "s16", "5.1.4")
        frame.sample_rate = RATE
        container.mux(track.encode(frame))
        container.mux(track.encode(None))
    read = audio.load(tmp_path / "a.mkv")
    np.testing.assert_allclose(read, samples.mean(axis=1) / 2**15, atol=1e-6)


def test_a_cut_m4a_is_refused_and_a_cut_webm_gives_what_is_there(tmp_path: Path) -> None:
    sound = RNG.normal(0, 0.1, (1, 4 * 48_000))
    for options in ({}, {"movflags": "faststart"}):  # the index behind the sound, and before it
        m4a = media(tmp_path / "a.m4a", "aac", sound, **options).read_bytes()
        for share in (0.1, 0.5, 0.9, 0.95):
            refusal(m4a[: round(share * len(m4a))])
    webm = media(tmp_path / "a.webm", "libopus", sound).read_bytes()
    assert 1.5 < len(audio.load(webm[: len(webm) // 2])) / RATE < 2.5


def test_an_m4a_cut_between_two_of_its_packets_is_refused(tmp_path: Path) -> None:
    path = media(tmp_path / "a.m4a", "aac", RNG.normal(0, 0.1, (1, 4 * 48_000)), movflags="faststart")
    av = pytest.importorskip("av")
    with av.open(str(path)) as container:
        ends = [packet.pos + packet.size for packet in container.demux(audio=0) if packet.size]
    for end in ends[10:-10:10]:
        assert refusal(path.read_bytes()[:end]).startswith("truncated: its header promises 4.0")


def test_a_title_in_another_encoding_does_no_harm(tmp_path: Path) -> None:
    path = media(tmp_path / "a.m4a", "aac", tone(440, 48_000)[None], title="Gruesse")
    content = path.read_bytes().replace(b"Gruesse", b"Gr\xfc\xdfe  ")
    assert content != path.read_bytes()
    np.testing.assert_array_equal(audio.load(content), audio.load(path))


def test_a_playlist_opens_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av", reason="needs feltone[media]")
    monkeypatch.chdir(tmp_path)
    Path("private.wav").write_bytes(WAV)
    refusal(b"ffconcat version 1.0\nfile private.wav\n")
    refusal(f"#EXTM3U\n#EXTINF:2,\nfile://{tmp_path}/private.wav\n#EXT-X-ENDLIST\n".encode())


def test_without_pyav_the_message_names_the_extra_and_the_rest_works(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(WAV)
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x1cftypM4A \0\0\2\0M4A isomiso2" + bytes(2_000))
    (tmp_path / "a.ogg").write_bytes(encoded(tone(440), kind="OGG")[:2_000])
    answer = in_python(
        f"""
        import sys
        sys.modules["av"] = None
        from feltone import audio, errors
        for name in ("a.wav", "a.m4a", "a.ogg"):
            try: print(len(audio.load({str(tmp_path)!r} + "/" + name)))
            except errors.FeltoneError as fault: print(type(fault).__name__, fault)
        """
    ).splitlines()
    assert answer[0] == str(2 * RATE)
    assert answer[1].startswith(f"MissingExtraError {tmp_path}/a.m4a: ")
    assert answer[1].endswith("pip install 'feltone[media]'")
    assert answer[2] == f"AudioError {tmp_path}/a.ogg: damaged or truncated before its first sample"
    assert issubclass(MissingExtraError, FeltoneError)


def test_importing_the_module_loads_no_decoder() -> None:
    heavy = "[name for name in ('soundfile', 'soxr', 'av', 'scipy') if name in sys.modules]"
    assert in_python(f"import sys, feltone.audio; print({heavy})") == "[]"


# ---- folders and names ----


def test_find_lists_recordings_below_a_folder_in_order(tmp_path: Path) -> None:
    for name in ("b/two.FLAC", "a.wav", "b/c/three.opus", "notes.txt", "b/four.wav.part"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "gone.mp3").symlink_to("nowhere")  # listed, so that reading it says what is wrong
    assert audio.find(tmp_path) == [tmp_path / name for name in ("a.wav", "b/c/three.opus", "b/two.FLAC", "gone.mp3")]


def test_find_says_when_there_is_nothing_to_find(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(AudioError, match=r"no recordings below this folder \(looked for .*\.wav"):
        audio.find(tmp_path)
    with pytest.raises(AudioError, match=r"nowhere: cannot be searched \(No such file or directory\)"):
        audio.find(tmp_path / "nowhere")


def test_names_in_messages() -> None:
    assert audio.name_of(Path("a/b.wav")) == "a/b.wav"
    assert audio.name_of(b"RIFF") == "audio bytes"
    assert audio.name_of(io.BytesIO()) == "audio stream"
    with tempfile.SpooledTemporaryFile() as nameless:
        assert audio.name_of(nameless) == "audio stream"
