"""The only place that opens audio: decode, check, mix to mono, resample.

wav, flac, ogg, opus and mp3 go through soundfile; every other container (m4a, webm, video) through PyAV, an extra.
The content decides, not the file's name. Whole files and long recordings take the same road: `stream` yields
chunks of bounded size, and `load` joins them.

What happens to awkward input:

    stereo, 8-96 kHz, 24 bit, float    mixed, resampled, scaled: a normal result
    silence                            zeros (recognition says "silent", it does not guess)
    wrong extension                    read by content
    empty, truncated, NaN or inf, no audio inside, a folder, missing, unreadable
                                       one `AudioError` naming the file and the fault
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from feltone.errors import AudioError, MissingExtraError
from feltone.features import Waveform

Source = str | Path | bytes | IO[bytes]
"""A path, the bytes of an encoded file, or a seekable binary file."""

_SUFFIXES = ".wav .flac .ogg .oga .opus .mp3 .aiff .aif .au .m4a .mp4 .aac .webm .mkv .mov .wma .amr .3gp"
SUFFIXES = frozenset(_SUFFIXES.split())
"""Names by which a folder's recordings are found; a file named directly is read whatever its name."""

CHUNK_SECONDS = 10.0  # of decoded audio held at a time
STREAMED_WAV_BYTES = 0x7FFF_0000  # a promise this large is a recorder's "unknown length", not a truncation


def load(source: Source, sample_rate: int = 16_000, *, start: float = 0.0, end: float | None = None) -> Waveform:
    """A recording as mono float32 at `sample_rate`, shape (samples,), full scale at +-1.

    Args:
        source: path, bytes or binary file.
        sample_rate: of the result, in Hz; band-limited resampling where it differs from the recording's.
        start, end: seconds to keep; `end=None` keeps the rest.

    Raises:
        AudioError: naming the file and the fault; see the table at the head of this module.
        MissingExtraError: the container needs `feltone[media]`.
    """
    if start < 0 or (end is not None and end <= start):
        raise AudioError(f"{name_of(source)}: segment {start}-{end} s is empty; end must come after start >= 0")
    first = round(start * sample_rate)
    last = None if end is None else round(end * sample_rate)
    kept, seen = [], 0
    for chunk in stream(source, sample_rate):
        kept.append(chunk[max(0, first - seen) : None if last is None else max(0, last - seen)])
        seen += len(chunk)
        if last is not None and seen >= last:
            break
    waveform = np.concatenate(kept)
    if not len(waveform):
        raise AudioError(
            f"{name_of(source)}: segment starts at {start} s but the recording ends at {seen / sample_rate:.2f} s"
        )
    return waveform


def stream(source: Source, sample_rate: int = 16_000) -> Iterator[Waveform]:
    """The same samples as `load`, in chunks of about ten seconds, so that memory does not grow with length."""
    import soxr

    resampler, rate, samples = None, 0, 0
    for block, rate in _decoded(source):
        mono = _checked_mono(block, source, samples, rate)
        samples += len(mono)
        if rate == sample_rate:
            yield mono
            continue
        resampler = resampler or soxr.ResampleStream(rate, sample_rate, 1, dtype="float32")
        yield resampler.resample_chunk(mono)
    if not samples:
        raise AudioError(f"{name_of(source)}: holds no samples (zero length)")
    if resampler:
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def find(folder: Path) -> list[Path]:
    """Recordings below a folder, by suffix, sorted; raises `AudioError` when there is none."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        raise AudioError(f"{folder}: no recordings below this folder (looked for {', '.join(sorted(SUFFIXES))})")
    return found


def name_of(source: Source) -> str:
    """How messages call a source."""
    if isinstance(source, str | Path):
        return str(source)
    return "audio bytes" if isinstance(source, bytes) else str(getattr(source, "name", "audio stream"))


def _checked_mono(block: NDArray[np.float32], source: Source, before: int, rate: int) -> Waveform:
    mono = block.mean(axis=1, dtype=np.float32) if block.shape[1] > 1 else block[:, 0]
    # A sum is finite only if all its terms are: one pass instead of a mask.
    if len(mono) and not np.isfinite(mono.sum(dtype=np.float64)):
        at = (before + int(np.argmin(np.isfinite(mono)))) / rate
        raise AudioError(f"{name_of(source)}: holds NaN or infinite samples (first at {at:.2f} s); export it again")
    return np.ascontiguousarray(mono)


@contextmanager
def _opened(source: Source) -> Iterator[IO[bytes]]:
    if isinstance(source, bytes):
        yield io.BytesIO(source)
        return
    if not isinstance(source, str | Path):
        yield source
        return
    try:
        handle = Path(source).open("rb")
    except IsADirectoryError:
        raise AudioError(f"{source}: is a folder; name a recording in it") from None
    except FileNotFoundError:
        raise AudioError(f"{source}: no such file") from None
    except OSError as fault:
        raise AudioError(f"{source}: cannot be read ({fault.strerror})") from None
    with handle:
        yield handle


def _decoded(source: Source) -> Iterator[tuple[NDArray[np.float32], int]]:
    """Blocks of shape (samples, channels) with their sampling rate."""
    import soundfile

    with _opened(source) as handle:
        if not handle.read(1):
            raise AudioError(f"{name_of(source)}: is empty (0 bytes)")
        handle.seek(0)
        try:
            sound = soundfile.SoundFile(handle)
        except soundfile.LibsndfileError:
            handle.seek(0)
            yield from _decoded_by_av(handle, source)
            return
        with sound:
            _refuse_truncated_wav(sound, source)
            yield from _blocks(sound, source)


def _blocks(sound: Any, source: Source) -> Iterator[tuple[NDArray[np.float32], int]]:
    import soundfile

    size, read = round(CHUNK_SECONDS * sound.samplerate), 0
    while True:
        try:
            block = sound.read(size, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as fault:
            reached = f"{read / sound.samplerate:.1f} s"
            raise AudioError(
                f"{name_of(source)}: damaged or truncated at about {reached} ({fault.error_string})"
            ) from None
        if not len(block):
            break
        read += len(block)
        yield block, sound.samplerate
    # Lossless containers say how long they are; formats without a fixed length say so approximately or not at all.
    if sound.format in ("WAV", "FLAC", "AIFF", "AU") and read < sound.frames < STREAMED_WAV_BYTES:
        promised = sound.frames / sound.samplerate
        raise AudioError(
            f"{name_of(source)}: truncated: {promised:.2f} s promised, {read / sound.samplerate:.2f} s found"
        )


def _refuse_truncated_wav(sound: Any, source: Source) -> None:
    """libsndfile quietly shortens a WAV whose data chunk is cut off, and notes it in its log."""
    note = re.search(r"data\s*: (\d+) \(should be (\d+)\)", sound.extra_info)
    if note and 0 < int(note[2]) < int(note[1]) < STREAMED_WAV_BYTES:
        raise AudioError(f"{name_of(source)}: truncated: {note[1]} bytes of sound promised, {note[2]} found")


def _decoded_by_av(handle: IO[bytes], source: Source) -> Iterator[tuple[NDArray[np.float32], int]]:
    try:
        import av
    except ImportError:
        purpose = f"{name_of(source)}: not wav, flac, ogg, opus or mp3; reading other containers (m4a, webm, video)"
        raise MissingExtraError(purpose, "media") from None
    try:
        with av.open(handle) as container:
            if not container.streams.audio:
                raise AudioError(f"{name_of(source)}: has no audio track")
            rate = container.streams.audio[0].rate
            to_float = av.AudioResampler(format="fltp")
            for frame in container.decode(audio=0):
                for converted in to_float.resample(frame):
                    yield converted.to_ndarray().T, rate
    except av.FFmpegError as fault:
        raise AudioError(f"{name_of(source)}: not a recording, or damaged ({fault.strerror})") from None
