"""Recordings as the world hands them over: short, noisy, from a room, through a codec or a telephone, badly levelled.

Every function here makes a `Perturbation` as `augment.py` has them: a function of a waveform, a random generator, the
analysed window and a strength, where 0 is the identity and 1 the full thing. A setting is a number, or a range that
the generator draws from; so what measures a model at stated conditions (`CONDITIONS`) also trains one on drawn ones:

    room(0.6), room((0.2, 1.0), direct_db=(-3, 9))

Waveforms keep their length and their place in time, but for `excerpt`, which cuts.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile
import soxr
from scipy import signal

from feltone.errors import MissingExtraError
from feltone.features import Waveform
from feltone.lab.augment import Perturbation, mixed, original, white_noise

RATE = 16_000  # Hz
TALKERS = 6  # of babble: more are a noise, fewer are words
DIRECT_DB = 0.0  # direct over reverberant energy: a speaker at the critical distance, where the two are equal
DIRECT_SECONDS = 0.0025  # after the direct sound, before the first reflection: a detour of 0.9 m
TELEPHONE_RATE, TELEPHONE_BAND = 8_000, (300.0, 3_400.0)  # Hz
FULL_SCALE = 32_768  # of 16 bits

Setting = float | tuple[float, float]
"""A number, or a range from which one is drawn evenly."""


def excerpt(seconds: Setting, rate: int = RATE) -> Perturbation:
    """The stretch of that length with the most energy, as a detector of speech hands it over; shorter clips stay."""

    def cut(waveform: Waveform, rng: np.random.Generator, window: int, strength: float = 1.0) -> Waveform:  # noqa: ARG001
        surplus = max(0, len(waveform) - round(_drawn(seconds, rng) * rate))
        kept = len(waveform) - round(strength * surplus)
        energy = np.concatenate([[0.0], np.cumsum(np.square(waveform, dtype=np.float64))])
        start = int(np.argmax(energy[kept:] - energy[: len(energy) - kept]))
        return waveform[start : start + kept]

    return cut


def white(snr_db: Setting) -> Perturbation:
    """White noise; the ratio is that of mean powers over the whole recording, pauses included."""

    def add(waveform: Waveform, rng: np.random.Generator, window: int, strength: float = 1.0) -> Waveform:  # noqa: ARG001
        return white_noise(waveform, rng, _drawn(snr_db, rng), strength)

    return add


def babble(voices: Sequence[Waveform], snr_db: Setting, talkers: int = TALKERS) -> Perturbation:
    """Other people talking, equally loud on average; the ratio is that of mean powers.

    Args:
        voices: what they say; each talker is one of these, drawn anew, begun anywhere and repeated to fill the time.
            Those without sound are left out.
        snr_db: decibels of the recording over all of them together.
        talkers: how many talk at once.
    """
    speaking = [voice for voice in voices if len(voice) and voice.any()]
    if not speaking:
        raise ValueError("babble needs at least one voice that sounds")

    def add(waveform: Waveform, rng: np.random.Generator, window: int, strength: float = 1.0) -> Waveform:  # noqa: ARG001
        snr, crowd = _drawn(snr_db, rng), np.zeros(len(waveform))
        for number in rng.integers(len(speaking), size=talkers):
            voice = speaking[number]
            loop = np.resize(np.roll(voice, -int(rng.integers(len(voice)))), len(waveform))
            crowd += loop / np.sqrt(np.mean(np.square(voice, dtype=np.float64)))
        power = float(np.mean(np.square(crowd)))
        return mixed(waveform, crowd / np.sqrt(power), snr, strength) if power else waveform

    return add


def room(rt60: Setting, direct_db: Setting = DIRECT_DB, rate: int = RATE) -> Perturbation:
    """A room around the speaker, by `impulse_response`; `strength` scales the amplitude of what the walls send back."""

    def sound(waveform: Waveform, rng: np.random.Generator, window: int, strength: float = 1.0) -> Waveform:  # noqa: ARG001
        reflected = impulse_response(rng, _drawn(rt60, rng), _drawn(direct_db, rng), rate)
        reflected[0] = 0
        wet = signal.oaconvolve(waveform.astype(np.float64), reflected)[: len(waveform)]
        return np.asarray(waveform + strength * wet, np.float32)

    return sound


def impulse_response(
    rng: np.random.Generator, rt60: float, direct_db: float = DIRECT_DB, rate: int = RATE
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Response of a room between mouth and microphone: (samples,), the direct sound first, with amplitude 1.

    After `DIRECT_SECONDS` of nothing follows Gaussian noise that decays by 60 dB in `rt60` seconds, equally at all
    frequencies, to its end there (Polack's model of a diffuse field). Nothing else of a room is modelled.

    Args:
        rng: of the noise.
        rt60: reverberation time in seconds.
        direct_db: energy of the direct sound over that of everything after it, in decibels.
        rate: samples a second.
    """
    time = np.arange(1, max(2, round(rt60 * rate))) / rate
    tail = rng.standard_normal(len(time)) * 10 ** (-3 * time / rt60) * (time >= DIRECT_SECONDS)
    energy = np.sum(np.square(tail))
    if energy:
        tail *= 10 ** (-direct_db / 20) / np.sqrt(energy)
    return np.concatenate([[1.0], tail])


def coded(codec: str, kbits: Setting, rate: int = RATE) -> Perturbation:
    """Written by a lossy codec and read again; `strength` blends.

    Args:
        codec: a name in `CODECS`.
        kbits: kilobits a second.
        rate: samples a second; Opus takes 8, 12, 16, 24 and 48 kHz.
    """
    container, encoder = CODECS[codec]

    def pass_through(waveform: Waveform, rng: np.random.Generator, window: int, strength: float = 1.0) -> Waveform:  # noqa: ARG001
        bits = round(1_000 * _drawn(kbits, rng))
        if not strength:
            return waveform
        return _blend(waveform, _decoded(_encoded(waveform, container, encoder, bits, rate), rate), strength)

    return pass_through


CODECS = {"mp3": ("mp3", "libmp3lame"), "opus": ("ogg", "libopus")}
"""Name -> FFmpeg's container and encoder."""


def _encoded(waveform: Waveform, container: str, encoder: str, bits: int, rate: int) -> bytes:
    try:
        import av
    except ImportError:
        raise MissingExtraError("writing mp3 or opus", "media") from None
    memory = io.BytesIO()
    with av.open(memory, "w", format=container) as written:
        stream = written.add_stream(encoder, rate=rate, layout="mono")
        stream.bit_rate = bits
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(waveform[None]), format="fltp", layout="mono")
        frame.sample_rate = rate
        written.mux([*stream.encode(frame), *stream.encode(None)])
    return memory.getvalue()


def _decoded(written: bytes, rate: int) -> Waveform:
    """By FFmpeg too: libsndfile delays its Opus by what is to be skipped, and refuses some below a second."""
    import av

    resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
    with av.open(io.BytesIO(written)) as read:
        frames = [piece for frame in read.decode(audio=0) for piece in resampler.resample(frame)]
    frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def telephone(rate: int = RATE) -> Perturbation:
    """A line of the old telephone: 300-3,400 Hz, 8 kHz, 8 bits by G.711's mu-law; `strength` blends."""
    band = signal.butter(4, TELEPHONE_BAND, "bandpass", fs=TELEPHONE_RATE, output="sos")

    def call(waveform: Waveform, rng: np.random.Generator, window: int, strength: float = 1.0) -> Waveform:  # noqa: ARG001
        narrow = soxr.resample(waveform, rate, TELEPHONE_RATE)
        if not len(narrow):  # of a handful of samples nothing is left
            return waveform
        line = io.BytesIO()
        filtered = signal.sosfiltfilt(band, narrow, padlen=min(len(narrow) - 1, TELEPHONE_RATE // 20))  # no delay
        soundfile.write(line, np.clip(filtered, -1, 1), TELEPHONE_RATE, "ULAW", format="AU")
        heard, _ = soundfile.read(io.BytesIO(line.getvalue()), dtype="float32")
        return _blend(waveform, soxr.resample(heard, TELEPHONE_RATE, rate), strength)

    return call


def gain(decibels: Setting) -> Perturbation:
    """Louder or softer, then cut at full scale and rounded to 16 bits as a recorder does."""

    def turn(waveform: Waveform, rng: np.random.Generator, window: int, strength: float = 1.0) -> Waveform:  # noqa: ARG001
        turned = strength * _drawn(decibels, rng)
        if not turned:
            return waveform
        steps = np.rint(FULL_SCALE * 10 ** (turned / 20) * waveform.astype(np.float64))
        return np.asarray(np.clip(steps, -FULL_SCALE, FULL_SCALE - 1) / FULL_SCALE, np.float32)

    return turn


def clipped(share: Setting) -> Perturbation:
    """Overdriven: cut off at the level that this share of the samples exceeds."""

    def cut(waveform: Waveform, rng: np.random.Generator, window: int, strength: float = 1.0) -> Waveform:  # noqa: ARG001
        level = np.quantile(np.abs(waveform), 1 - strength * _drawn(share, rng))
        return np.asarray(np.clip(waveform, -level, level), np.float32)

    return cut


Make = Callable[[Sequence[Waveform], int], Perturbation]
"""(voices for babble, sampling rate) -> perturbation."""


@dataclass(frozen=True)
class Condition:
    """Something that happens to a recording, as a row of a table and a point of a figure."""

    name: str
    group: str  # what it is compared with
    setting: str  # within the group, for readers
    make: Make

    @property
    def needs_voices(self) -> bool:
        """Whether others talk in it."""
        return self.group == "babble"


CLEAN = "clean"
DURATIONS, SNRS_DB, RT60S = (0.5, 1.0, 2.0, 4.0), (30, 20, 10, 5, 0), (0.3, 0.6, 1.0)
CODED = (("mp3", 64), ("mp3", 32), ("opus", 24), ("opus", 16))
SOFTER_DB, CLIPPED_SHARE = -20, 0.05


def _every() -> list[Condition]:
    """All of them, in the order in which tables have them."""
    return [
        Condition(CLEAN, "", "as recorded", lambda voices, rate: original),
        *(Condition(f"seconds-{s:g}", "duration", f"loudest {s:g} s", _at_rate(excerpt, s)) for s in DURATIONS),
        *(Condition(f"white-{db}", "white noise", f"{db} dB", _always(white(db))) for db in SNRS_DB),
        *(Condition(f"babble-{db}", "babble", f"{db} dB", _among_voices(db)) for db in SNRS_DB),
        *(Condition(f"room-{s:g}", "reverberation", f"RT60 {s:g} s", _at_rate(room, s)) for s in RT60S),
        *(
            Condition(f"{codec}-{kbits}", "coding", f"{codec} {kbits} kbit/s", _at_rate(coded, codec, kbits))
            for codec, kbits in CODED
        ),
        Condition("telephone", "coding", "telephone", _at_rate(telephone)),
        Condition("softer", "level", f"{SOFTER_DB} dB, 16 bit", _always(gain(SOFTER_DB))),
        Condition("clipped", "level", f"{CLIPPED_SHARE:.0%} clipped", _always(clipped(CLIPPED_SHARE))),
    ]


def _always(perturb: Perturbation) -> Make:
    return lambda voices, rate: perturb


def _at_rate(make: Callable[..., Perturbation], *settings: Any) -> Make:
    return lambda voices, rate: make(*settings, rate=rate)


def _among_voices(snr_db: float) -> Make:
    return lambda voices, rate: babble(voices, snr_db)


CONDITIONS = {condition.name: condition for condition in _every()}
"""Name -> condition; the first one is `CLEAN`."""


def _drawn(setting: Setting, rng: np.random.Generator) -> float:
    return float(rng.uniform(*setting)) if isinstance(setting, tuple) else setting


def _blend(waveform: Waveform, changed: Waveform, strength: float) -> Waveform:
    """Between a recording and what became of it, at the recording's length."""
    kept = changed[: len(waveform)]
    aligned = np.pad(kept, (0, len(waveform) - len(kept)))
    return np.asarray((1 - strength) * waveform + strength * aligned, np.float32)
