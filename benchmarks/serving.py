"""The service under load: python -m feltone_benchmarks.serving --out results/speed/serving.json

The server has the last core for itself, the clients the first ones. Measured per precision: requests per second and
latency against concurrency, and how many live streams at 4 updates per second one core carries without falling
behind; then mutated uploads by the thousand, with the server's memory before and after. About 15 minutes.
"""

import argparse
import asyncio
import io
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from websockets.asyncio.client import connect

import feltone
from feltone import audio
from feltone.files import write_json
from feltone.lab import provenance
from feltone_benchmarks.report import machine

CLIPS = sorted((Path(feltone.__file__).parent / "clips").glob("*.flac"))
CONCURRENCIES = (1, 2, 4, 8, 16, 32)
RATE, INTERVAL = 16_000, 0.25  # Hz; seconds between the updates of a stream
WARM_UP_SECONDS = 5.0  # of a stream: until its window is full, and a little longer
PUNCTUAL = 0.99  # share of updates that come before the next is due: then the streams do not fall behind
RESOLUTION = 2  # streams: where the search stops
SETTLED = 500  # uploads before memory is looked at for the first time
BOUNDARY = b"feltone"


def main() -> None:
    """Measure, and write one document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="results/speed/serving.json")
    parser.add_argument("--seconds", type=float, default=15, help="per point of a curve")
    parser.add_argument("--uploads", type=int, default=10_000, help=f"mutated ones, above {SETTLED}")
    parser.add_argument("--most", type=int, default=160, help="streams tried at once, at most")
    asked = parser.parse_args()
    document: dict[str, Any] = {"machine": machine(), "command": provenance.command()}
    document |= {"commit": provenance.commit(), "date": provenance.today(), "updates_per_second": 1 / INTERVAL}
    for precision in ("fp32", "int8"):
        with server(precision) as running:
            curve = [asyncio.run(requests(running, c, asked.seconds)) for c in CONCURRENCIES]
            document[precision] = {"requests": curve, "streams": search(running, asked.seconds, asked.most)}
    with server("fp32") as running:
        document["mutated"] = asyncio.run(mutated(running, asked.uploads))
    write_json(asked.out, document)
    print(json.dumps(document, indent=1))


# ---- the server ----


@dataclass(frozen=True)
class Server:
    """A server process."""

    host: str
    port: int
    pid: int

    def memory_mb(self) -> float:
        """What it has in memory now."""
        status = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        (line,) = (line for line in status if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024


@contextmanager
def server(precision: str) -> Iterator[Server]:
    """A server pinned to the last core, while this process keeps to the others."""
    cores = sorted(os.sched_getaffinity(0))
    limits = "max_queue=256, max_streams=1024, max_streams_per_client=1024, ahead_seconds=60"
    program = (
        f"import os, sys; os.sched_setaffinity(0, {{{cores[-1]}}}); from feltone.doors.serve import *; "
        f"sys.exit(serve(None, Settings(port=0, threads=1, precision={precision!r}, {limits})))"
    )
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen([sys.executable, "-c", program], stderr=log)
        os.sched_setaffinity(0, cores[:-1] or cores)
        try:
            host, port = address(log, process)
            yield Server(host, port, process.pid)
        finally:
            os.sched_setaffinity(0, cores)
            process.terminate()
            process.wait()


def address(log: Any, process: subprocess.Popen[bytes]) -> tuple[str, int]:
    """Host and port, as the server's log says them once it listens."""
    while process.poll() is None:
        log.seek(0)
        for line in log:
            if '"listening"' in line:
                host, _, port = json.loads(line)["url"].removeprefix("http://").rpartition(":")
                return host, int(port)
        time.sleep(0.1)
    log.seek(0)
    raise RuntimeError(f"the server ended with code {process.returncode}: {log.read()[-500:]}")


# ---- requests ----


async def requests(running: Server, concurrency: int, seconds: float) -> dict[str, Any]:
    """Clients that each ask for one bundled clip after the other: how many answers, and when."""
    bodies = [request(clip.read_bytes()) for clip in CLIPS]
    took: list[float] = []
    statuses: Counter[int] = Counter()
    end = time.perf_counter() + seconds

    async def client(first: int) -> None:
        reader, writer = await asyncio.open_connection(running.host, running.port)
        for k in itertools.count(first):
            begun = time.perf_counter()
            if begun > end:
                break
            statuses[await exchange(reader, writer, bodies[k % len(bodies)])] += 1
            took.append(time.perf_counter() - begun)
        writer.close()

    await asyncio.gather(*(client(k) for k in range(concurrency)))
    found = {"concurrency": concurrency, "per_second": round(len(took) / seconds, 1), "statuses": dict(statuses)}
    return found | {f"p{share}_ms": percentile(took, share) for share in (50, 95, 99)}


def request(recording: bytes) -> bytes:
    """POST /v1/predict with one file."""
    part = b'Content-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
    body = b"--" + BOUNDARY + b"\r\n" + part + recording + b"\r\n--" + BOUNDARY + b"--\r\n"
    head = f"POST /v1/predict HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(body)}\r\nContent-Type: "
    return head.encode() + b"multipart/form-data; boundary=" + BOUNDARY + b"\r\n\r\n" + body


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: bytes) -> int:
    """Send a request over a connection that is kept, read the answer; its status."""
    writer.write(asked)
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower().splitlines()
    (length,) = (int(line.split(":")[1]) for line in head if line.startswith("content-length:"))
    await reader.readexactly(length)
    return int(head[0].split()[1])


# ---- streams ----


def search(running: Server, seconds: float, most: int) -> dict[str, Any]:
    """The most streams at once of which nearly every update comes before the next is due."""
    tried = {}

    def keeps_up(count: int) -> bool:
        tried[count] = asyncio.run(streams(running, count, seconds))
        return float(tried[count]["punctual"]) >= PUNCTUAL

    good, bad = 0, 4
    while bad <= most and keeps_up(bad):
        good, bad = bad, 2 * bad
    bad = min(bad, most + 1)
    while bad - good > RESOLUTION:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if keeps_up(middle) else (good, middle)
    return {"per_core": good, "tried": [{"streams": count} | tried[count] for count in sorted(tried)]}


async def streams(running: Server, count: int, seconds: float) -> dict[str, Any]:
    """So many people who talk without a pause, each beginning at a moment of their own."""
    speech = np.concatenate([audio.load(clip, RATE) for clip in CLIPS])
    phases = random.Random(0)
    late: list[float] = []
    spoken: list[bool] = []

    async def talk() -> None:
        start = phases.randrange(len(speech))
        await asyncio.sleep(phases.random() * INTERVAL)
        voice = np.int16(np.tile(np.roll(speech, -start), 1 + round(seconds)) * 32_767).tobytes()
        async with connect(f"ws://{running.host}:{running.port}/v1/stream", compression=None) as socket:
            await socket.send(json.dumps({"sample_rate": RATE, "interval_ms": 1e3 * INTERVAL}))
            begun, updates = time.perf_counter(), round((WARM_UP_SECONDS + seconds) / INTERVAL)
            sending = asyncio.create_task(send(socket, voice, begun, updates))
            for k in range(updates):
                answer = json.loads(await socket.recv())
                if k * INTERVAL >= WARM_UP_SECONDS:
                    late.append(time.perf_counter() - (begun + (k + 1) * INTERVAL))
                    spoken.append(answer["speech"])
            await sending

    await asyncio.gather(*(talk() for _ in range(count)))
    punctual = sum(delay < INTERVAL for delay in late) / len(late)
    found = {"punctual": round(punctual, 4), "speech": round(sum(spoken) / len(spoken), 3)}
    return found | {f"p{share}_ms": percentile(late, share) for share in (50, 95, 99)}


async def send(socket: Any, voice: bytes, begun: float, updates: int) -> None:
    """Audio as a microphone gives it: an interval's worth when the interval is over."""
    size = round(2 * RATE * INTERVAL)
    for k in range(updates):
        await asyncio.sleep(begun + (k + 1) * INTERVAL - time.perf_counter())
        await socket.send(voice[k * size : (k + 1) * size])


# ---- mutated uploads ----


async def mutated(running: Server, uploads: int, concurrency: int = 8) -> dict[str, Any]:
    """Clips with bytes flipped, overwritten or cut off: statuses, and memory once the service has settled and after."""
    rng = np.random.default_rng(0)
    clips = [*(clip.read_bytes() for clip in CLIPS), *(wav(clip) for clip in CLIPS)]
    statuses: Counter[int] = Counter()
    memory = [running.memory_mb()]

    async def client(count: int) -> None:
        for _ in range(count):
            reader, writer = await asyncio.open_connection(running.host, running.port)
            statuses[await exchange(reader, writer, request(mutation(clips, rng)))] += 1
            writer.close()

    for batch in (SETTLED, *[(uploads - SETTLED) // 5] * 5):
        await asyncio.gather(*(client(-(-batch // concurrency)) for _ in range(concurrency)))
        memory.append(running.memory_mb())
    found = {"uploads": statuses.total(), "statuses": dict(sorted(statuses.items()))}
    return found | {"memory_mb": [round(mb, 1) for mb in memory], "grew_mb": round(memory[-1] - memory[1], 1)}


def wav(clip: Path) -> bytes:
    """The same sound where no checksum notices an accident: most of these are recognised, as noise."""
    file = io.BytesIO()
    soundfile.write(file, audio.load(clip, RATE), RATE, format="WAV")
    return file.getvalue()


def mutation(clips: list[bytes], rng: np.random.Generator) -> bytes:
    """A clip after one to eight accidents."""
    data = bytearray(clips[rng.integers(len(clips))])
    for _ in range(rng.integers(1, 9)):
        at = int(rng.integers(rng.choice([64, len(data)]))) % len(data)  # headers are hit as often as sound
        accident, size = rng.integers(3), int(rng.integers(1, 64))
        if accident == 0:
            data[at] ^= int(rng.integers(1, 256))
        elif accident == 1:
            data[at : at + size] = rng.bytes(size)
        else:
            del data[max(1, at) : at + size if rng.random() < 0.8 else len(data)]
    return bytes(data)


def percentile(seconds: list[float], share: int) -> float:
    """In milliseconds."""
    return round(1e3 * statistics.quantiles(seconds, n=100, method="inclusive")[share - 1], 2)


if __name__ == "__main__":
    main()
