"""What decoding an upload in a process of its own costs, beside decoding it at home: writes results/decoding.json.

python runs/decoding.py       on a quiet machine; the two take turns on the same clips of four seconds
"""

import asyncio
import io
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from feltone import audio
from feltone.doors.serve.decoding import Decoders
from feltone.doors.serve.settings import Settings
from feltone.files import write_json
from feltone.lab import provenance

OUT = Path(__file__).parents[1] / "results" / "decoding.json"
ROUNDS, RATE, SECONDS = 400, 16_000, 4
CLIPS = {"wav, 16 kHz": (16_000, "WAV"), "wav, 44.1 kHz": (44_100, "WAV"), "flac, 16 kHz": (16_000, "FLAC")}


async def main() -> int:
    """Measure and write."""
    rows = []
    async with Decoders(1, Settings()) as decoders, decoders.take() as decoder:
        there = decoder._process.pid
        for name, (rate, kind) in CLIPS.items():
            clip = noise(rate, kind)
            sides = {
                "here": lambda clip=clip: audio.load(clip, RATE, end=SECONDS),
                "apart": lambda clip=clip: decoder.load(clip, RATE, end=SECONDS),
            }
            assert np.array_equal(*(work() for work in sides.values()))
            times = {side: [timed(work) for _ in range(ROUNDS)] for side, work in sides.items()}
            busy = {side: cpu_ms(work, there) for side, work in sides.items()}
            row = {"clip": name, "bytes": len(clip)}
            row |= {f"{side}_ms": statistics.median(spent) for side, spent in times.items()}
            rows.append(row | {f"{side}_cpu_ms": spent for side, spent in busy.items()})
    origin = {"machine": provenance.device(), "load": os.getloadavg()[0], "commit": provenance.commit()}
    write_json(OUT, {"rows": rows, "date": provenance.today(), "command": "python runs/decoding.py"} | origin)
    print(f"{OUT}: written")
    return 0


def noise(rate: int, kind: str) -> bytes:
    """A clip, encoded."""
    file = io.BytesIO()
    samples = np.random.default_rng(0).normal(0, 0.1, SECONDS * rate).clip(-1, 1)
    soundfile.write(file, samples, rate, format=kind, subtype="PCM_16")
    return file.getvalue()


def timed(work: Callable[[], object]) -> float:
    """Milliseconds on the wall."""
    begun = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - begun)


def cpu_ms(work: Callable[[], object], other: int) -> float:
    """Milliseconds of processor time of this process and another, per call: what a busy machine does not disturb."""
    begun = spent(os.getpid()) + spent(other)
    for _ in range(ROUNDS):
        work()
    return (spent(os.getpid()) + spent(other) - begun) / ROUNDS


def spent(process: int) -> float:
    """Milliseconds of processor time of a process so far (Linux)."""
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e6


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
