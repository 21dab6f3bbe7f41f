"""An archive of short clips, annotated: rate, what the engines cost, memory of the list, where the time goes.

    python -m feltone_benchmarks.annotating --out results/speed/annotate-NAME.json        # a quarter of an hour
    python -m feltone_benchmarks.annotating --out /tmp/small.json --clips 2000 --archive 5000 --lists 10000 100000

The engines are compared on fewer clips, in turns, since the machine's speed drifts; the whole archive is annotated
once, by two processes. `--only engines` measures that part anew and leaves the others of an earlier file.

Everything is measured in processes of its own; beside the time on the clock stands the processor's,
which others on the machine do not lengthen.
"""

import argparse
import json
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

import feltone
from feltone import audio, features
from feltone.files import write_json
from feltone.lab import provenance
from feltone_benchmarks import report
from feltone_benchmarks.archive import DIFFERENT, RATE, make_clips, make_talks
from feltone_benchmarks.worker import peak_mb

LISTS = (10_000, 100_000, 1_000_000)  # entries
MODES = {"talks": ("windows", "vad"), "clips of 1-3 s": ("whole", "vad")}
Row = dict[str, Any]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=5_000, help="that engines are compared on")
    parser.add_argument("--rounds", type=int, default=3, help="in which engines take turns; what counts is the median")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), help="parts")
    parser.add_argument("--archive", type=int, default=100_000, help="clips of the whole archive")
    parser.add_argument("--lists", type=int, nargs="+", default=list(LISTS), help="entries of manifests")
    parser.add_argument("--point", nargs=2, metavar=("KIND", "ARGUMENT"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.point:
        kind, argument = asked.point
        print(json.dumps(POINTS[kind](argument)))
        return
    document: Row = json.loads(asked.out.read_text()) if asked.out.is_file() else {}
    document["machine"] = report.machine()
    for part in asked.only:
        with tempfile.TemporaryDirectory(prefix="feltone-annotate-") as place, report.elsewhere() as found:
            found |= PARTS[part](Path(place), asked)
        origin = provenance.origin()
        document |= origin | {part: origin | found}
        write_json(asked.out, document)


def engines(folder: Path, asked: argparse.Namespace) -> Row:
    """Rates of a bare loop, of one process and of two, each the median of its turns."""
    source, turns = folder / "clips", dict[str, list[Row]]()
    make_clips(source, asked.clips)
    for _ in range(asked.rounds):
        turns.setdefault("bare loop", []).append(point("bare", source))
        for name, options in ENGINES.items():
            turns.setdefault(name, []).append(annotated(source, folder / "out", "--segments", "whole", *options))
    rates = {name: sorted(rows, key=_rate)[len(rows) // 2] for name, rows in turns.items()}
    return {
        "clips": asked.clips,
        "different_clips": min(asked.clips, DIFFERENT),
        "rounds": asked.rounds,
        "rates": rates,
        "turns": {name: list(map(_rate, rows)) for name, rows in turns.items()},
    } | summary(rates)


def ray(folder: Path, asked: argparse.Namespace) -> Row:
    """The rate of Ray on as many cores, its start included; nobody waits for its processes, which look like others'."""
    make_clips(folder / "clips", asked.clips)
    options = "--segments", "whole", "--ray", "local", "--workers", "2"
    turns = [annotated(folder / "clips", folder / "out", *options) for _ in range(asked.rounds)]
    return sorted(turns, key=_rate)[len(turns) // 2]


def _rate(row: Row) -> float:
    return float(row["clips_per_second"])


def archive(folder: Path, asked: argparse.Namespace) -> Row:
    """The whole archive, once, by two processes."""
    count = make_clips(folder / "archive", asked.archive)
    found = annotated(folder / "archive", folder / "out", "--segments", "whole", *ENGINES["two processes"])
    assert found["recordings"] == count
    return found


def modes(folder: Path, asked: argparse.Namespace) -> Row:
    """Where a core's time goes, by what lies in the archive and how it is cut."""
    make_talks(folder / "talks")
    make_clips(folder / "clips of 1-3 s", min(asked.clips, 1_000))
    told = [
        {"archive": kind, "segments": mode}
        | annotated(folder / kind, folder / "out", "--segments", mode, "--workers", "1")
        for kind, modes in MODES.items()
        for mode in modes
    ]
    return {"rows": told} | point("record", 500)


def lists(folder: Path, asked: argparse.Namespace) -> Row:  # noqa: ARG001
    """Manifests of many entries, read alone."""
    return {"rows": [{"entries": entries} | point("list", entries) for entries in asked.lists]}


PARTS: dict[str, Callable[[Path, argparse.Namespace], Row]] = {
    "engines": engines,
    "ray": ray,
    "archive": archive,
    "modes": modes,
    "lists": lists,
}


ENGINES = {
    "one process": ("--workers", "1"),
    "two processes": ("--workers", "2"),
}


def summary(rates: dict[str, Row]) -> Row:
    """The numbers that are asked for."""
    bare, one, two = rates.values()
    return {
        "two_over_one": round(two["clips_per_second"] / one["clips_per_second"], 3),
        "engine_overhead": round(1 - one["clips_per_second"] / bare["clips_per_second"], 4),
        "engine_overhead_cpu": round(one["cpu_ms_per_clip"] / bare["cpu_ms_per_clip"] - 1, 4),
    }


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
