"""An archive of short clips, annotated: rate, what the engines cost, memory of the list, where the time goes.

    python -m feltone_benchmarks.annotating --out results/speed/annotate-NAME.json        # a quarter of an hour
    python -m feltone_benchmarks.annotating --out /tmp/small.json --clips 2000 --archive 5000 --lists 10000 100000

The engines are compared on the first of the clips; the whole archive is annotated once, by two processes.

The clips are cut out of real recordings (EmoDB's below FELTONE_DATA, else the bundled ones), one to three seconds
long, each at a level of its own and with a little noise; there are so many different ones, and each lies there under
several names. Everything is measured in processes of its own; beside the time on the clock stands the processor's,
which others on the machine do not lengthen.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

import feltone
from feltone import audio, features
from feltone.files import write_json
from feltone.lab import provenance
from feltone_benchmarks import report
from feltone_benchmarks.worker import peak_mb

RATE = 16_000  # Hz
SECONDS = (1.0, 3.0)  # of a clip
DIFFERENT = 5_000  # clips at most; the others are these again
LISTS = (10_000, 100_000, 1_000_000)  # entries
MODES = {"talks": ("windows", "vad"), "clips of 1-3 s": ("whole", "vad")}
TALK_MINUTES, TALKS = 10, 4  # long recordings, for the modes that cut them
SEED = 0
Row = dict[str, Any]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=15_000, help="that engines are compared on")
    parser.add_argument("--archive", type=int, default=100_000, help="clips of the whole archive")
    parser.add_argument("--lists", type=int, nargs="+", default=list(LISTS), help="entries of manifests")
    parser.add_argument("--point", nargs=2, metavar=("KIND", "ARGUMENT"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.point:
        kind, argument = asked.point
        print(json.dumps(POINTS[kind](argument)))
        return
    with tempfile.TemporaryDirectory(prefix="feltone-annotate-") as place:
        folder = Path(place)
        clips = make_clips(folder / "clips", asked.clips)
        document = measured(folder, clips, make_clips(folder / "archive", asked.archive), asked.lists)
    origin = {"command": provenance.command(), "commit": provenance.commit(), "date": provenance.today()}
    write_json(asked.out, {"machine": report.machine()} | origin | document)


def measured(folder: Path, clips: int, archive: int, lists: list[int]) -> Row:
    """Every part, told of on standard error as it is done."""
    source = folder / "clips"
    with report.elsewhere() as found:
        rates: dict[str, Row] = {"bare loop": point("bare", source)}
        for name, options in ENGINES.items():
            rates[name] = annotated(source, folder / "out", "--segments", "whole", *options)
    rates["Ray, two cores"] = annotated(
        source, folder / "out", "--segments", "whole", "--ray", "local", "--workers", "2"
    )
    found["clips"], found["different_clips"], found["rates"] = clips, min(clips, DIFFERENT), rates
    found |= summary(rates)
    with report.elsewhere() as whole:
        whole |= annotated(folder / "archive", folder / "out", "--segments", "whole", *ENGINES["two processes"])
    assert whole["recordings"] == archive
    found["archive"] = whole
    make_talks(folder / "talks")
    some_of(source, folder / "clips of 1-3 s")
    found["modes"] = [
        {"archive": kind, "segments": mode}
        | annotated(folder / kind, folder / "out", "--segments", mode, "--workers", "1")
        for kind, modes in MODES.items()
        for mode in modes
    ]
    found |= point("record", 500)
    found["lists"] = [{"entries": entries} | point("list", entries) for entries in lists]
    return found


ENGINES = {  # of this machine; Ray's processes are not ours to wait for, so that they would count as somebody else's
    "one process": ("--workers", "1"),
    "two processes": ("--workers", "2"),
}


def summary(rates: dict[str, Row]) -> Row:
    """The numbers that are asked for."""
    bare, one, two, ray = rates.values()
    return {
        "two_over_one": round(two["clips_per_second"] / one["clips_per_second"], 3),
        "engine_overhead": round(1 - one["clips_per_second"] / bare["clips_per_second"], 4),
        "engine_overhead_cpu": round(one["cpu_ms_per_clip"] / bare["cpu_ms_per_clip"] - 1, 4),
        "ray_overhead": round(1 - ray["clips_per_second"] / two["clips_per_second"], 4),
    }


# What is annotated ----------------------------------------------------------------------------------------------------


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


def some_of(source: Path, folder: Path, count: int = 1000) -> None:
    """The first clips alone: enough to see where the time goes."""
    folder.mkdir()
    for path in sorted(source.rglob("*.flac"))[:count]:
        (folder / path.name).hardlink_to(path)


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


# Points ---------------------------------------------------------------------------------------------------------------


def annotated(source: Path, out: Path, *options: str) -> Row:
    """`feltone annotate`, from nothing: of all its processes, and what it says of itself."""
    subprocess.run(["rm", "-rf", str(out)], check=True)
    command = [sys.executable, "-m", "feltone.doors.cli", "annotate", str(source), "--out", str(out), "--json"]
    with clocked() as clock:
        done = subprocess.run([*command, *options], stdout=subprocess.PIPE, check=True)
    told = json.loads(done.stdout)
    sitting = told["speed"]["last_sitting"]
    count = told["recordings"]
    print(source.name, *options, f"{sitting['recordings_per_second']} a second", file=sys.stderr)
    return {
        "clips_per_second": sitting["recordings_per_second"],
        "seconds_of_the_command": round(clock["seconds"], 2),
        "cpu_ms_per_clip": round(1000 * clock["cpu"] / count, 3),  # of Ray the driver's alone
        "core_seconds": told["core_seconds"],
        "audio_hours": told["audio_hours"],
        "gigabytes_read": told["cost"]["gigabytes_read"],
        "recordings": count,
        "rows": told["rows"],
    }


@contextmanager
def clocked() -> Iterator[dict[str, float]]:
    """Seconds on the clock and of the processor, of the processes that are waited for meanwhile."""
    before, begun, found = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter(), dict[str, float]()
    yield found
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    found["seconds"] = time.perf_counter() - begun
    found["cpu"] = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def point(kind: str, argument: object) -> Row:
    """A point in a process of its own."""
    command = [sys.executable, "-m", "feltone_benchmarks.annotating", "--out", "-", "--point", kind, str(argument)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    found: Row = json.loads(done.stdout.splitlines()[-1])
    print(kind, argument, found, file=sys.stderr)
    return found


def bare(source: str) -> Row:
    """What a careful person writes: a loop over the files, some recognised at once, answers in a list."""
    recognize = feltone.load(threads=1)
    paths = audio.find(Path(source))
    answers, begun, cpu = [], time.perf_counter(), time.process_time()
    for start in range(0, len(paths), 256):
        images = [
            features.log_mel_image(audio.load(path, RATE, end=4.0), recognize.features)
            for path in paths[start : start + 256]
        ]
        answers += list(recognize.many(np.stack(images)).argmax(axis=1))
    seconds, spent = time.perf_counter() - begun, time.process_time() - cpu
    return {
        "clips_per_second": round(len(answers) / seconds, 2),
        "cpu_ms_per_clip": round(1000 * spent / len(answers), 3),
    }


def listed(entries: str) -> Row:
    """Plan a manifest of so many entries: seconds, and the most memory that the process ever had."""
    from feltone.doors.annotate import plan
    from feltone.doors.annotate.places import Folder
    from feltone.doors.annotate.run import settings_of

    with tempfile.TemporaryDirectory(prefix="feltone-list-") as folder:
        table = Path(folder, "archive.csv")
        with table.open("w") as rows:
            rows.write("path,start,end\n")
            for number in range(int(entries)):
                rows.write(f"station-{number % 97}/2026/{number // 1000:06d}/recording-{number:09d}.flac,,\n")
        how = settings_of(None, "whole", None, "fp32")
        begun, cpu = time.perf_counter(), time.process_time()
        made = plan.make(Folder(str(Path(folder, "out"))), str(table), how)
        spent = time.process_time() - cpu
        return {
            "seconds": round(time.perf_counter() - begun, 2),
            "cpu_seconds": round(spent, 2),
            "shards": made.shards,
            "peak_mb": round(peak_mb(), 1),
        }


def record(shards: str) -> Row:
    """What the driver spends on a shard that is done."""
    from feltone.doors.annotate.ledger import Ledger
    from feltone.doors.annotate.places import Folder

    tally = {"rows": 256.0, "pieces": 1.0, "errors": 0.0, "entries": 256.0} | {f"label {k}": 1.0 for k in range(7)}
    with tempfile.TemporaryDirectory(prefix="feltone-record-") as folder:
        ledger, begun = Ledger(Folder(folder)), time.perf_counter()
        for shard in range(int(shards)):
            ledger.record(shard, tally)
        return {"record_seconds": round((time.perf_counter() - begun) / int(shards), 6)}


POINTS: dict[str, Callable[[str], Row]] = {"bare": bare, "list": listed, "record": record}


if __name__ == "__main__":
    main()
