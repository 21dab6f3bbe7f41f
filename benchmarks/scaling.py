"""What an archive of a hundred thousand hours, or of ten million, would take: a simulation with measured times.

    python -m feltone_benchmarks.scaling results/speed/annotate-NAME.json --out results/scale.json

Simulated is the run as `feltone annotate` goes about it: the list first, by one process; then shards, each of which a
core fetches over its part of a node's network and works on; then the driver, which puts down shard after shard that it
is done. The times are those of `feltone_benchmarks.annotating`; prices and networks are assumptions, named with the
results. The same simulation has to give the rates that were measured, with one process and with two.
"""

import argparse
import heapq
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from feltone.doors.annotate.plan import SHARD_BYTES, SHARD_ENTRIES
from feltone.files import write_json
from feltone.lab import provenance

HOURS = (100_000, 10_000_000)  # of audio
NODES = (1, 10, 100, 1_000)
SIMULATED = 20_000  # shards at most; a longer run goes on at the rate that these have
SPREAD = 0.25  # of the time that shards take, as the sd of its logarithm
SEED = 0
MINUTES = 10  # of a recording of the archive
GET_USD = 0.4e-6  # a request to object storage
INSTANCES = {
    "c7a.xlarge": {"cores": 4, "usd_per_hour": 0.2053, "gigabit": 1.56, "what": "AMD EPYC of the 4th generation"},
    "c7g.xlarge": {"cores": 4, "usd_per_hour": 0.1450, "gigabit": 1.56, "what": "ARM, Graviton 3; not measured"},
    "c6a.xlarge": {
        "cores": 4,
        "usd_per_hour": 0.1530,
        "gigabit": 1.56,
        "what": "AMD EPYC of the 3rd; a vCPU is a thread",
    },
}
ASSUMED = (
    "List prices of AWS, us-east-1, on demand, as remembered from 2025 (look them up before you plan), and the network "
    "that an instance may use without end; storage in the same region; a vCPU is taken to be as fast as a core of the "
    "machine measured; half of that for a vCPU that is a thread."
)
Row = dict[str, Any]


@dataclass(frozen=True)
class Shard:
    """What the average shard of an archive takes."""

    seconds: float  # of a core
    bytes: float
    entries: float
    audio_hours: float


@dataclass(frozen=True)
class Place:
    """Where it is worked on."""

    nodes: int
    cores: int  # of a node
    bytes_per_second: float  # into a node
    entry_seconds: float  # to list one
    record_seconds: float  # of the driver, to put down a shard


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measured", type=Path, help="what feltone_benchmarks.annotating wrote")
    parser.add_argument("--out", type=Path, default=Path("results/scale.json"))
    asked = parser.parse_args()
    measured = json.loads(asked.measured.read_text())
    origin = {"command": provenance.command(), "date": provenance.today(), "measured": asked.measured.name}
    write_json(asked.out, origin | scaled(measured))


def scaled(measured: Mapping[str, Any]) -> Row:
    """The check, the archives, and what limits them."""
    talks = next(one for one in measured["modes"]["rows"] if one["archive"] == "talks" and one["segments"] == "vad")
    shard = shard_of(talks)
    rows = [planned(hours, name, nodes, shard, measured) for hours in HOURS for name in INSTANCES for nodes in NODES]
    return {
        "assumed": ASSUMED,
        "instances": INSTANCES,
        "machine": measured["machine"]["device"],
        "recording_minutes": MINUTES,
        "shard": vars(shard)
        | {"record_seconds": measured["modes"]["record_seconds"], "entry_seconds": entry_seconds(measured)},
        "check": check(measured),
        "archives": rows,
        "limits": limits(shard, measured),
        "gpu": gpu(talks),
    }


def shard_of(talks: Mapping[str, Any]) -> Shard:
    """The average shard of an archive of recordings of `MINUTES`."""
    hours = talks["audio_hours"]
    size = 1e9 * talks["gigabytes_read"] / hours * MINUTES / 60
    entries = min(SHARD_ENTRIES, max(1, math.floor(SHARD_BYTES / size)))
    audio_hours = entries * MINUTES / 60
    return Shard(sum(talks["core_seconds"].values()) / hours * audio_hours, entries * size, entries, audio_hours)


def entry_seconds(measured: Mapping[str, Any]) -> float:
    """Seconds to list a further entry: between the two longest lists."""
    *_, shorter, longest = sorted(measured["lists"]["rows"], key=lambda row: row["entries"])
    return float((longest["cpu_seconds"] - shorter["cpu_seconds"]) / (longest["entries"] - shorter["entries"]))


def simulate(shards: int, shard: Shard, place: Place) -> float:
    """Seconds from the end of the list until the last of so many shards is put down."""
    rng = np.random.default_rng(SEED)
    fetch = shard.bytes / (place.bytes_per_second / place.cores)
    times = shard.seconds * rng.lognormal(-(SPREAD**2) / 2, SPREAD, shards) + fetch
    free = [0.0] * min(shards, place.nodes * place.cores)  # when each core is done with what it has
    done = []
    for seconds in times:
        done.append(heapq.heappop(free) + seconds)
        heapq.heappush(free, done[-1])
    driver = 0.0
    for ready in sorted(done):
        driver = max(driver, ready) + place.record_seconds
    return driver


def planned(hours: float, name: str, nodes: int, shard: Shard, measured: Mapping[str, Any]) -> Row:
    """An archive on so many instances of a kind: days, dollars."""
    kind = INSTANCES[name]
    slower = 2 if "thread" in str(kind["what"]) else 1
    here = Shard(shard.seconds * slower, shard.bytes, shard.entries, shard.audio_hours)
    place = Place(
        nodes,
        int(kind["cores"]),  # type: ignore[call-overload]
        float(kind["gigabit"]) * 1e9 / 8,  # type: ignore[arg-type]
        entry_seconds(measured),
        measured["modes"]["record_seconds"],
    )
    shards = math.ceil(hours / shard.audio_hours)
    some = min(shards, max(SIMULATED, 20 * nodes * place.cores))
    listing = shards * shard.entries * place.entry_seconds
    seconds = listing + simulate(some, here, place) * shards / some
    usd = nodes * float(kind["usd_per_hour"]) * seconds / 3600 + shards * shard.entries * GET_USD  # type: ignore[arg-type]
    return {
        "hours": hours,
        "instance": name,
        "nodes": nodes,
        "days": round(seconds / 86400, 3),
        "listing_share": round(listing / seconds, 4),
        "usd": round(usd),
        "usd_per_1000_hours": round(1000 * usd / hours, 2),
        "audio_hours_per_core_hour": round(hours / (seconds / 3600 * nodes * place.cores), 1),
    }


def limits(shard: Shard, measured: Mapping[str, Any]) -> Row:
    """How many cores it takes until something other than cores is the limit."""
    return {
        "gigabit_per_core": round(8e-9 * shard.bytes / shard.seconds, 5),
        "cores_per_gigabit": round(shard.seconds * 1e9 / (8 * shard.bytes)),
        "cores_that_a_driver_keeps_busy": round(shard.seconds / measured["modes"]["record_seconds"]),
        "entries_listed_per_second": round(1 / entry_seconds(measured)),
    }


def gpu(talks: Mapping[str, Any]) -> Row:
    """What a GPU could take away: the student's share and no more. None was measured."""
    spent = talks["core_seconds"]
    rest = sum(spent.values()) - spent["student"]
    return {
        "student_share": round(spent["student"] / sum(spent.values()), 3),
        "faster_at_most": round(sum(spent.values()) / rest, 2),
        "core_hours_beside_it_per_1000_audio_hours": round(1000 * rest / 3600 / talks["audio_hours"], 2),
    }


def check(measured: Mapping[str, Any]) -> list[Row]:
    """The rates of the clips as they are simulated, from the times of one process, and as they were measured."""
    one = measured["engines"]["rates"]["one process"]
    shard = Shard(SHARD_ENTRIES * one["cpu_ms_per_clip"] / 1000, 0, SHARD_ENTRIES, 0)
    count = math.ceil(measured["engines"]["clips"] / SHARD_ENTRIES)
    found = []
    for name, cores in (("one process", 1), ("two processes", 2)):
        seconds = simulate(count, shard, Place(1, cores, math.inf, 0, measured["modes"]["record_seconds"]))
        rate, real = measured["engines"]["clips"] / seconds, measured["engines"]["rates"][name]["clips_per_second"]
        found.append({"what": name, "simulated": round(rate, 1), "measured": real, "ratio": round(rate / real, 3)})
    return found


if __name__ == "__main__":
    main()
