"""Make the bundled demo clips: seven sentences spoken by espeak-ng, coloured by hand-written prosody.

    usage: python demo/make_clips.py [FOLDER]        (default: src/feltone/clips)

A synthesiser is not an actor. Each clip imitates the *textbook* prosody of one emotion (pitch, range, rate, pauses,
loudness contour, tremor, breath, spectral tilt); the demo shows how recognition runs, not how well it hears. Nothing
here was tuned on any recogniser. Needs espeak-ng (Debian: apt-get install espeak-ng; the bundled clips: 1.51) and
Feltone; the same espeak-ng gives the same bytes. Feltone never runs this file: the clips travel with the package.
"""

import io
import json
import re
import subprocess
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from feltone import audio

RATE = 16_000  # Hz, of the clips
FOLDER = Path(__file__).parents[1] / "src" / "feltone" / "clips"
ROOM_DBFS = -74.0  # level of the room tone under every clip: recorded speech has no digital silence
STEP = 8  # of the 16-bit scale: 13 bits, dithered by the room tone, keep the files small
TILT_FROM_HZ = 300.0  # below this the voice keeps its level
LICENCE = (
    "CC0-1.0: written and rendered for Feltone by demo/make_clips.py. The voice is espeak-ng, whose licence "
    "(GPL-3.0-or-later) covers the program; it makes no claim on what the program speaks."
)
NOTE = (
    "Synthetic speech made for this purpose. A synthesiser is not an actor: 'rendered_as' says which emotion the "
    "prosody imitates, not what a listener hears. The clips show how the demo runs, not how well the student hears."
)

Wave = NDArray[np.float64]


@dataclass(frozen=True)
class Prosody:
    """How to say it; the first three go to espeak-ng, the rest is done here."""

    pitch: int  # espeak-ng's -p, 0-99
    range_percent: int  # width of the melody, 100 = the voice's own
    words_per_minute: int
    tilt_db: float = 0.0  # per octave above TILT_FROM_HZ: pressed and bright (+) or slack and dull (-)
    slope_db: float = 0.0  # change of loudness from the first to the last moment
    tremor_cents: float = 0.0  # depth of a 6-Hz shaking of pitch (and, with it, of loudness)
    breath_db: float | None = None  # aspiration relative to the voice; None: none
    level_dbfs: float = -22.0  # RMS of the finished clip; a recogniser does not see it, a listener hears it


@dataclass(frozen=True)
class Clip:
    """One row of the table below: what is said, by whom, and as what."""

    rendered_as: str
    voice: str  # espeak-ng voice and variant
    speaker: str
    sentence: str  # with <break/> marks where the prosody pauses
    translation: str
    prosody: Prosody

    @property
    def file(self) -> str:
        """Name of the clip below the folder."""
        return f"{self.rendered_as}.flac"

    @property
    def text(self) -> str:
        """The sentence as read, without the marks."""
        return re.sub(r"<[^>]*>", "", self.sentence)


WINDOW = "Du hast schon wieder das Fenster offen gelassen."
WINDOW_SLOWLY = 'Du hast schon wieder<break time="120ms"/> das Fenster offen gelassen.'
WINDOW_ENGLISH = "You have left the window open again."

# Anger and sadness are the same words by the same voice: what differs is how, and the tests measure it.
CLIPS = (
    Clip("anger", "de+m3", "man A", WINDOW, WINDOW_ENGLISH,
         Prosody(72, 220, 205, tilt_db=3.0, slope_db=3.0, level_dbfs=-16)),
    Clip("boredom", "de+m7", "man B",
         'Dann lese ich eben<break time="120ms"/> den ganzen Bericht noch einmal vor.',
         "Then I shall just read out the whole report once more.",
         Prosody(34, 25, 152, tilt_db=-1.5, slope_db=-6.0, level_dbfs=-26)),
    Clip("disgust", "de+f2", "woman A",
         'Igitt,<break time="80ms"/> in meiner Suppe schwimmt ein langes Haar.',
         "Yuck, there is a long hair floating in my soup.",
         Prosody(36, 130, 142, tilt_db=-0.5, slope_db=-3.0, breath_db=-24)),
    Clip("fear", "de+f5", "woman B", "Im Keller hat eben jemand das Licht ausgemacht.",
         "Somebody has just switched off the light in the cellar.",
         Prosody(82, 90, 215, tremor_cents=45, slope_db=-2.0, breath_db=-16)),
    Clip("happiness", "de+f2", "woman A", "Morgen kommen endlich alle zu uns nach Hause!",
         "Tomorrow everybody is coming to our house at last!",
         Prosody(68, 230, 185, tilt_db=1.5, slope_db=1.0, level_dbfs=-19)),
    Clip("neutral", "de+m7", "man B", "Der Zug nach Leipzig fährt heute von Gleis vier.",
         "The train to Leipzig leaves from platform four today.",
         Prosody(45, 100, 165)),
    Clip("sadness", "de+m3", "man A", WINDOW_SLOWLY, WINDOW_ENGLISH,
         Prosody(36, 35, 128, tilt_db=-4.0, slope_db=-7.0, tremor_cents=10, breath_db=-18, level_dbfs=-28)),
)  # fmt: skip


def spoken(clip: Clip) -> Wave:
    """What espeak-ng says, at `RATE`, full scale at +-1, shape (samples,)."""
    prosody = clip.prosody
    ssml = f'<speak><prosody range="{prosody.range_percent}%">{clip.sentence}</prosody></speak>'
    options = ["-m", "-b", "1", "-v", clip.voice, "-p", str(prosody.pitch), "-s", str(prosody.words_per_minute)]
    said = subprocess.run(["espeak-ng", *options, "--stdout", ssml], check=True, capture_output=True).stdout
    return audio.load(said, RATE).astype(np.float64)


def rendered(clip: Clip) -> NDArray[np.int16]:
    """The finished clip as 16-bit samples, shape (samples,)."""
    prosody, chance = clip.prosody, np.random.default_rng(zlib.crc32(clip.file.encode()))
    wave = tilted(trimmed(spoken(clip)), prosody.tilt_db)
    if prosody.tremor_cents:
        wave = trembling(wave, prosody.tremor_cents)
    if prosody.breath_db is not None:
        wave = breathy(wave, prosody.breath_db, chance)
    wave = wave * decibels(np.linspace(-prosody.slope_db / 2, prosody.slope_db / 2, len(wave)))
    wave = np.pad(wave, round(0.08 * RATE))
    wave *= decibels(prosody.level_dbfs) / np.sqrt(np.mean(wave**2))
    wave += decibels(ROOM_DBFS) * chance.standard_normal(len(wave))
    return (STEP * np.round(32767 / STEP * limited(wave))).astype(np.int16)


def decibels(value: float | Wave) -> Wave:
    """Amplitude factor of a level in dB."""
    return np.asarray(10 ** (np.asarray(value) / 20))


def trimmed(wave: Wave, floor_db: float = -45.0) -> Wave:
    """Without the silence before and after."""
    loud = np.flatnonzero(np.abs(wave) > decibels(floor_db) * np.abs(wave).max())
    return wave[loud[0] : loud[-1] + 1]


def shaped(wave: Wave, gain_db: Wave) -> Wave:
    """A zero-phase filter: one gain per bin of the wave's own transform."""
    return np.fft.irfft(np.fft.rfft(wave) * decibels(gain_db), len(wave))


def tilted(wave: Wave, db_per_octave: float) -> Wave:
    """Brighter or duller voice: so many dB per octave above `TILT_FROM_HZ`; and no rumble below 70 Hz."""
    hertz = np.fft.rfftfreq(len(wave), 1 / RATE)
    tilt_db = db_per_octave * np.log2(np.maximum(hertz, TILT_FROM_HZ) / TILT_FROM_HZ)
    return shaped(wave, tilt_db + 24 * np.log2(np.clip(hertz, 4, 70) / 70))


def trembling(wave: Wave, cents: float, hertz: float = 6.0) -> Wave:
    """Pitch shaken by +-`cents` (by stretching time to and fro), loudness with it."""
    time = np.arange(len(wave)) / RATE
    turn = 2 * np.pi * hertz * time
    speed = np.log(2) * cents / 1200  # relative change of rate at the crest
    warped = np.interp(time - speed * np.cos(turn) / (2 * np.pi * hertz), time, wave)
    return warped * decibels(0.05 * cents * np.sin(turn))


def breathy(wave: Wave, breath_db: float, chance: np.random.Generator) -> Wave:
    """With aspiration: noise above 1 kHz that follows the loudness of the voice."""
    hertz = np.fft.rfftfreq(len(wave), 1 / RATE)
    noise = shaped(chance.standard_normal(len(wave)), 24 * np.log2(np.clip(hertz, 250, 1000) / 1000))
    window = np.hanning(round(0.03 * RATE))
    noise *= np.sqrt(np.convolve(wave**2, window / window.sum(), mode="same"))
    return wave + noise * decibels(breath_db) * np.sqrt(np.mean(wave**2) / np.mean(noise**2))


def limited(wave: Wave, knee: float = 0.7) -> Wave:
    """Peaks above the knee bent towards full scale instead of cut."""
    over = np.maximum(np.abs(wave) - knee, 0) / (1 - knee)
    return np.sign(wave) * (np.minimum(np.abs(wave), knee) + (1 - knee) * np.tanh(over))


def measured(wave: NDArray[np.floating], rate: int = RATE) -> dict[str, float]:
    """Facts of prosody: length, pitch (median and 10-90 % range), level, balance of energy above and below 1 kHz."""
    size = round(0.04 * rate)
    frames = np.lib.stride_tricks.sliding_window_view(np.asarray(wave, np.float64), size)[:: size // 4]
    power = np.abs(np.fft.rfft(frames * np.hanning(size), 2 * size)) ** 2
    voiced = power[power.sum(axis=1) > 1e-3 * power.sum(axis=1).max()]
    low, middle, high = np.percentile(12 * np.log2(pitches(voiced, rate)), [10, 50, 90])
    bright = np.fft.rfftfreq(2 * size, 1 / rate) > 1000
    return {
        "seconds": len(wave) / rate,
        "pitch_hz": float(2 ** (middle / 12)),
        "range_semitones": float(high - low),
        "level_dbfs": float(10 * np.log10(np.mean(np.square(wave, dtype=np.float64)))),
        "above_1khz_db": float(10 * np.log10(voiced[:, bright].sum() / voiced[:, ~bright].sum())),
    }


def pitches(power: Wave, rate: int, lowest: int = 60, highest: int = 450, clear: float = 0.6) -> Wave:
    """Pitch in Hz of those power spectra (frames, bins) whose autocorrelation has a clear peak.

    Of nearly equal peaks the earliest counts, or two periods would pass for one; what is still over half an octave
    from the median is taken for such a mistake and left out.
    """
    points = 2 * (power.shape[1] - 1)
    window = np.fft.irfft(np.abs(np.fft.rfft(np.hanning(points // 2), points)) ** 2)
    correlation = np.fft.irfft(power)
    lags = np.arange(rate // highest, rate // lowest)
    alike = correlation[:, lags] / correlation[:, :1] / (window[lags] / window[0])
    alike = alike[alike.max(axis=1) > clear]
    first = (alike > 0.9 * alike.max(axis=1, keepdims=True)).argmax(axis=1)
    nearby = np.minimum(first[:, None] + np.arange(12), len(lags) - 1)
    crest = np.take_along_axis(alike, nearby, axis=1).argmax(axis=1)
    hertz = rate / lags[np.take_along_axis(nearby, crest[:, None], axis=1)[:, 0]]
    return np.asarray(hertz[np.abs(np.log2(hertz / np.median(hertz))) < 0.5])


def listing() -> dict[str, object]:
    """Content of clips.json."""
    rows = [
        {
            "file": clip.file,
            "rendered_as": clip.rendered_as,
            "sentence": clip.text,
            "translation": clip.translation,
            "language": "de",
            "voice": f"{clip.speaker} (espeak-ng {clip.voice})",
            "licence": "CC0-1.0",
        }
        for clip in CLIPS
    ]
    return {"note": NOTE, "licence": LICENCE, "made_by": "demo/make_clips.py", "clips": rows}


def main(folder: Path = FOLDER) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for clip in CLIPS:
        samples, encoded = rendered(clip), io.BytesIO()
        soundfile.write(encoded, samples, RATE, format="FLAC", subtype="PCM_16", compression_level=1.0)
        (folder / clip.file).write_bytes(encoded.getvalue())
        facts = "  ".join(f"{name} {value:6.2f}" for name, value in measured(samples / 32768).items())
        print(f"{clip.file:15s} {len(encoded.getvalue()):6d} bytes  {facts}")
    (folder / "clips.json").write_text(json.dumps(listing(), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    if len(sys.argv) > 2 or any(word.startswith("-") for word in sys.argv[1:]):
        sys.exit(__doc__)
    main(*map(Path, sys.argv[1:]))
