"""The only place that opens audio: decode, check, mix to mono, resample.

wav, flac, ogg, opus and mp3 go through soundfile; every other container (m4a, webm, video) through PyAV, an extra.
The content decides, not the file's name. Whole files and long recordings take the same road: `stream` yields
chunks of bounded size, and `load` joins them. What a file may ask for stands in `limits.py`. Awkward input:

    stereo, 8-96 kHz, 24 bit, float    mixed, resampled, scaled: a normal result; silence gives zeros
    wav of unknown length (a pipe's)   read to its end
    truncated ogg, opus, mp3, webm     what is there; an `AudioError` where not one sample is
    truncated wav, aiff, flac, m4a; empty, NaN or inf, damaged, no audio inside, a folder, missing, unreadable
                                       one `AudioError` naming the file and the fault
"""

import io
import math
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from feltone import limits
from feltone.errors import AudioError, MissingExtraError
from feltone.features import Waveform

Source = str | Path | bytes | IO[bytes]  # a path, the bytes of an encoded file, or a binary file
_SUFFIXES = ".wav .flac .ogg .oga .opus .mp3 .aiff .aif .au .m4a .mp4 .aac .webm .mkv .mov .wma .amr .3gp"
SUFFIXES = frozenset(_SUFFIXES.split())
"""Names by which a folder's recordings are found; a file named directly is read whatever its name."""

CHUNK_SECONDS = 1  # of decoded audio held at a time
LOUDEST = 1e12  # above 32-bit integers stored as float; beyond it spectra overflow
SLACK_SECONDS = 0.1  # by which an m4a may fall short of its header: encoders pad, editors round
# FFmpeg knows 400 containers and 500 codecs, most of them long gone and little watched: a stranger's file may choose
# among those that speech comes in, and pictures are not decoded at all.
CONTAINERS = "mov,matroska,webm,asf,amr,aac,avi,mpegts,mpeg,flv,ogg,mp3,flac,wav,w64,aiff,au,caf,ac3,eac3"
CODECS = (
    "aac,aac_latm,alac,amrnb,amrwb,libopencore_amrnb,libopencore_amrwb,opus,libopus,vorbis,libvorbis,flac,"
    "mp1,mp1float,mp2,mp2float,mp3,mp3float,ac3,eac3,dca,wmav1,wmav2,wmapro,wmalossless,gsm,gsm_ms,"
    "adpcm_ms,adpcm_ima_wav,adpcm_ima_qt,adpcm_swf,pcm_alaw,pcm_mulaw,pcm_u8,pcm_s8,pcm_bluray,pcm_dvd,"
    "pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_f32le,pcm_f32be,pcm_f64le,pcm_f64be"
)
AV_OPTIONS = {
    "protocol_whitelist": "none",  # a playlist that somebody sends must not make FFmpeg open further files or addresses
    "format_whitelist": CONTAINERS,
    "codec_whitelist": CODECS,
}
Block = tuple[NDArray[np.float32], int]  # samples x channels, and their rate in Hz


def load(source: Source, sample_rate: int = 16_000, *, start: float = 0.0, end: float | None = None) -> Waveform:
    """A recording as mono float32 at `sample_rate`, shape (samples,), full scale at +-1.

    Args:
        source: path, bytes or binary file.
        sample_rate: of the result, in Hz; band-limited resampling where it differs from the recording's.
        start: second from which on to keep.
        end: second up to which to keep; decoding stops with the chunk that holds it, and `None` keeps the rest.

    Raises:
        AudioError: naming the file and the fault; see the table at the head of this module.
        MissingExtraError: the container needs `feltone[media]`.
    """
    kept: list[Waveform] = []
    samples = 0
    for chunk in stream(source, sample_rate, start=start, end=end):
        samples += len(chunk)
        if 4 * samples > limits.HELD_BYTES:
            most = limits.HELD_BYTES / 4 / sample_rate
            raise _refusal(source, f"longer than the {most:.0f} s that are kept at once; name segments, or stream it")
        kept.append(chunk)
    return np.concatenate(kept)


def stream(
    source: Source, sample_rate: int = 16_000, *, start: float = 0.0, end: float | None = None
) -> Iterator[Waveform]:
    """The same samples as `load`, in chunks of a second or less, so that memory does not grow with length."""
    until = math.inf if end is None else end
    if not 0 <= start < until:
        raise _refusal(source, f"segment {start}-{end} s is empty; end must come after start >= 0")
    first, last = round(start * sample_rate), None if until == math.inf else round(until * sample_rate)
    seen, kept = 0, False
    for chunk in _resampled(source, sample_rate):
        wanted = chunk[max(0, first - seen) : None if last is None else max(0, last - seen)]
        if len(wanted):
            kept = True
            yield wanted
        seen += len(chunk)
        if last is not None and seen >= last:
            break
    if not kept:
        raise _refusal(source, f"segment {start}-{until} s holds no samples; read as far as {seen / sample_rate:.2f} s")


def _resampled(source: Source, sample_rate: int) -> Iterator[Waveform]:
    import soxr

    resampler, samples = None, 0
    for block, rate in _decoded(source):
        mono = _checked_mono(block, source, samples, rate)
        samples += len(mono)
        if samples > limits.SECONDS * rate:
            raise _refusal(source, f"longer than {limits.SECONDS // 3600} hours; send it in parts")
        if rate != sample_rate:
            resampler = resampler or soxr.ResampleStream(rate, sample_rate, 1, dtype="float32")
            mono = resampler.resample_chunk(mono)
        yield mono
    if not samples:
        raise _refusal(source, "holds no samples (zero length)")
    if resampler:
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def find(folder: Path) -> list[Path]:
    """Recordings below a folder, by suffix, sorted; raises `AudioError` when there is none or a folder is closed."""
    found = sorted(walk(folder))
    if not found:
        raise _refusal(folder, f"no recordings below this folder (looked for {', '.join(sorted(SUFFIXES))})")
    return found


def walk(folder: Path, suffixes: frozenset[str] = SUFFIXES) -> Iterator[Path]:
    """Files below a folder by suffix, folder by folder: memory holds the names of one; `AudioError` at a closed one."""

    def refuse(fault: OSError) -> None:
        raise _refusal(fault.filename, f"cannot be searched ({fault.strerror})")

    for place, folders, names in os.walk(folder, onerror=refuse):
        folders.sort()
        yield from (Path(place, name) for name in sorted(names) if Path(name).suffix.lower() in suffixes)


def name_of(source: Source) -> str:
    """How messages call a source."""
    named = source if isinstance(source, str | Path) else getattr(source, "name", None)
    return str(named or ("audio bytes" if isinstance(source, bytes) else "audio stream"))


def _refusal(source: Source, fault: str) -> AudioError:
    return AudioError(f"{name_of(source)}: {fault}")


def _check_header(source: Source, rate: int, channels: int) -> None:
    lowest, highest = limits.RATES_HZ
    if not lowest <= rate <= highest:
        raise _refusal(source, f"its header is damaged: {rate} samples a second (possible: {lowest} to {highest})")
    if not 1 <= channels <= limits.CHANNELS:
        raise _refusal(source, f"its header claims {channels} channels ({limits.CHANNELS} at most); mix it down first")


def _checked_mono(block: NDArray[np.float32], source: Source, before: int, rate: int) -> Waveform:
    if not np.abs(block).max(initial=0) <= LOUDEST:  # so written, NaN fails as well
        at = (before + int(np.argmin((np.abs(block) <= LOUDEST).all(axis=1)))) / rate
        raise _refusal(source, f"holds NaN, infinite or impossible samples (first at {at:.2f} s); export it again")
    return block.mean(axis=1, dtype=np.float32) if block.shape[1] > 1 else np.ascontiguousarray(block[:, 0])


class _Content:
    """A source as decoders see it: nameless, so that content decides; never raising, for callbacks lose exceptions."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.tell = file, file.tell
        self.fault: OSError | None = None

    def read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except OSError as fault:
            self.fault = fault
            return b""  # the end

    def seek(self, offset: int, whence: int = 0) -> int:
        with suppress(OSError, ValueError):  # libmpg123 seeks to before the beginning: stay in place, as in C
            self._file.seek(offset, whence)
        return self.tell()


@contextmanager
def _opened(source: Source) -> Iterator[_Content]:
    with ExitStack() as closing:
        try:
            file = io.BytesIO(source) if isinstance(source, bytes) else source
            if isinstance(file, str | Path):
                file = closing.enter_context(Path(file).open("rb"))
            if isinstance(file, io.TextIOBase):
                raise ValueError("opened as text; open it with mode 'rb'")
            content = _Content(file if file.seekable() else io.BytesIO(file.read()))
        except (OSError, ValueError) as fault:
            known: dict[type, str] = {IsADirectoryError: "is a folder, not a file", FileNotFoundError: "no such file"}
            reason = f"cannot be read ({getattr(fault, 'strerror', None) or fault})"
            raise _refusal(source, known.get(type(fault), reason)) from None
        try:
            yield content
        finally:
            if content.fault:
                raise _refusal(source, f"reading stopped midway ({content.fault.strerror or content.fault})") from None


def _decoded(source: Source) -> Iterator[Block]:
    import soundfile

    with _opened(source) as content:
        if not content.seek(0, os.SEEK_END):
            raise _refusal(source, "is empty (0 bytes)")
        content.seek(0)
        try:
            sound = soundfile.SoundFile(content)
        except soundfile.LibsndfileError as fault:
            if fault.code == 3:  # SF_ERR_MALFORMED_FILE: a format of its own, so that no other decoder does better
                raise _refusal(source, "damaged or truncated before its first sample") from None
            content.seek(0)
            yield from _decoded_by_av(content, source, fault.error_string)
            return
        with sound:
            yield from _blocks(sound, source)
            # An mp3's length is its header's word or a guess from its first frames, and libsndfile stops there.
            if sound.format == "MP3" and re.match(rb"\xff[\xe0-\xff]|ID3", content.read(3)):
                raise _refusal(source, "goes on where its mp3 header says it ends; convert it to flac")


def _blocks(sound: Any, source: Source) -> Iterator[Block]:
    import soundfile

    # libsndfile quietly shortens what ends before its header says, and notes it in its log. Recorders that write
    # to a pipe promise about 2 or 4 GiB, or nothing, and mean "unknown".
    note = re.search(r"(?:data|SSND|Size|riff) *: (\d+) \(should be (\d+)|count (\d+) .* of (\d+)", sound.extra_info)
    found, promised = sorted(int(size) for size in note.groups() if size) if note else (0, 0)
    if found and not any(abs(promised - unknown) <= 1 << 16 for unknown in (1 << 31, 1 << 32)):
        raise _refusal(source, f"truncated: its header promises {promised} bytes of sound, {found} are there")
    sound.seekable = lambda: False  # or else it seeks after each read, and fails at the end of a FLAC without a length
    _check_header(source, sound.samplerate, sound.channels)
    size, read = min(CHUNK_SECONDS * sound.samplerate, limits.BLOCK_SAMPLES // sound.channels), 0
    try:
        while len(block := sound.read(size, dtype="float32", always_2d=True)):
            read += len(block)
            yield block, sound.samplerate
    except soundfile.LibsndfileError as fault:
        raise _refusal(source, f"damaged or cut after {read // sound.samplerate} s ({fault.error_string})") from None
    if sound.format == "FLAC" and read < sound.frames < np.iinfo(np.int64).max:
        raise _refusal(source, f"truncated: its header promises {sound.frames} samples, {read} are there")


def _decoded_by_av(content: _Content, source: Source, refusal: str) -> Iterator[Block]:
    try:
        import av
    except ImportError:
        raise MissingExtraError(f"{name_of(source)}: {refusal} Reading m4a, webm or video", "media") from None
    try:
        with av.open(content, options=AV_OPTIONS, metadata_errors="replace") as container:
            if not container.streams.audio:
                raise _refusal(source, "has no audio track")
            # Interleaved, because PyAV reads beyond its memory where more than eight channels lie apart.
            converters: dict[Any, Any] = defaultdict(lambda: av.AudioResampler(format="flt"))
            track, reached, rate = container.streams.audio[0], 0.0, 0
            codec = track.codec_context.name if track.codec_context else "nothing that is known"
            if codec not in CODECS.split(","):
                raise _refusal(source, f"its sound is coded as {codec}, which is not read; convert it to flac")
            for frame in container.decode(track):
                rate = rate or frame.sample_rate
                _check_header(source, frame.sample_rate, frame.layout.nb_channels)
                if frame.sample_rate != rate:
                    raise _refusal(source, f"changes its sampling rate at {reached:.2f} s; convert it to flac")
                for packed in converters[frame.format.name, frame.layout.name].resample(frame):
                    yield packed.to_ndarray().reshape(packed.samples, -1), rate
                reached = (frame.time or 0.0) + frame.samples / rate
            promised = float((track.duration or 0) * track.time_base) if "mov" in container.format.name else 0.0
            if reached < promised - SLACK_SECONDS:
                raise _refusal(source, f"truncated: its header promises {promised:.2f} s, {reached:.2f} s are there")
    except av.FFmpegError as fault:
        raise _refusal(source, f"not a recording, or damaged ({fault.strerror})") from None
