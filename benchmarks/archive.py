"""An archive to be annotated: many short clips, and some long talks, made out of real recordings.

The clips are cut out of EmoDB's below FELTONE_DATA, else of the bundled ones, one to three seconds long, each at its
own level and with a little noise; there are so many different ones, and each lies there under several names.
"""

import os
from pathlib import Path

import numpy as np
import soundfile

import feltone
from feltone import audio

RATE = 16_000  # Hz
SECONDS = (1.0, 3.0)  # of a clip
DIFFERENT = 5_000  # clips at most; the others are these again
TALK_MINUTES, TALKS = 10, 4
SEED = 0


def originals() -> list[Path]:
    """Real recordings where they are at hand."""
    told = Path(os.environ.get("FELTONE_DATA", "nowhere"), "emodb")
    return audio.find(told) if told.is_dir() else sorted((Path(feltone.__file__).parent / "clips").glob("*.flac"))


def make_clips(folder: Path, count: int) -> int:
    """So many clips below a folder, a thousand in each folder of it; the same in every run."""
    rng = np.random.default_rng(SEED)
    sounds = [audio.load(path, RATE) for path in originals()]
    made: list[Path] = []
    for number in range(count):
        path = folder / f"{number // 1000:04d}" / f"{number:07d}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number < DIFFERENT:
            sound = sounds[rng.integers(len(sounds))]
            length = round(rng.uniform(*SECONDS) * RATE)
            tiled = np.tile(sound, 1 + length // len(sound))
            begin = rng.integers(len(tiled) - length + 1)
            clip = tiled[begin : begin + length] * rng.uniform(0.3, 0.9) + rng.normal(0, 1e-3, length)
            soundfile.write(path, clip, RATE)
            made.append(path)
        else:
            path.hardlink_to(made[number % DIFFERENT])
    return count


def make_talks(folder: Path) -> None:
    """Recordings of some minutes, in which one clip follows the other after a pause."""
    rng = np.random.default_rng(SEED)
    folder.mkdir()
    paths = originals()
    for number in range(TALKS):
        parts, length = [], 0
        while length < TALK_MINUTES * 60 * RATE:
            parts += [audio.load(paths[rng.integers(len(paths))], RATE), np.zeros(rng.integers(RATE), np.float32)]
            length += sum(map(len, parts[-2:]))
        talk = np.concatenate(parts)[: TALK_MINUTES * 60 * RATE]
        soundfile.write(folder / f"{number}.flac", talk + rng.normal(0, 1e-4, len(talk)), RATE)
