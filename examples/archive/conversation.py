"""A conversation of two speakers, put together from EmoDB: talk.flac, and turns.csv that says who speaks when.

    python conversation.py ~/corpora OUT      # OUT/talk.flac, OUT/turns.csv: six minutes

One of the two speaks neutrally throughout; the other begins so and grows angry from minute to minute.
"""

import csv
import sys
from pathlib import Path

import numpy as np
import soundfile

from feltone import audio
from feltone.lab import corpora

RATE, MINUTES, PAUSE = 16_000, 6, 0.4  # Hz, of the talk, seconds between turns
CALM, HEATED = "03", "08"  # speakers


def main(data: Path, out: Path) -> None:
    """Write both files."""
    rng = np.random.default_rng(0)
    clips = corpora.read("emodb", data)
    said = {
        (s, e): [c for c in clips if c.speaker == s and c.label == e]
        for s in (CALM, HEATED)
        for e in ("neutral", "anger")
    }
    sound, turns, now = [], [], 0.0
    while now < 60 * MINUTES:
        speaker = (CALM, HEATED)[len(turns) % 2]
        heat = (now / (60 * MINUTES)) ** 0.7 if speaker == HEATED else 0.0
        clip = said[speaker, "anger" if rng.random() < heat else "neutral"][rng.integers(9)]
        samples = audio.load(clip.path, RATE)
        turns.append(("talk.flac", round(now, 3), round(now + len(samples) / RATE, 3), f"speaker {speaker}"))
        sound += [samples, np.zeros(round(PAUSE * RATE), np.float32)]
        now += len(samples) / RATE + PAUSE
    out.mkdir(parents=True, exist_ok=True)
    soundfile.write(out / "talk.flac", np.concatenate(sound), RATE)
    with (out / "turns.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "start", "end", "speaker"), *turns])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
