"""From the command to its exit code: plan, work, gather."""

import json
import time
from collections.abc import Iterator
from typing import Any

from feltone import artifact
from feltone.doors import console
from feltone.doors.annotate import dataset, local, plan
from feltone.doors.annotate.cutting import SEGMENTS
from feltone.doors.annotate.ledger import Ledger
from feltone.doors.annotate.pieces import Tally
from feltone.doors.annotate.places import Folder
from feltone.doors.annotate.plan import Plan
from feltone.doors.annotate.progress import progress
from feltone.doors.annotate.work import model_id
from feltone.doors.predict import DONE, IN_PART, WRONG
from feltone.errors import ConfigError
from feltone.machine import cores


def annotate(
    source: str,
    out: str,
    *,
    model: str | None = None,
    segments: str = "vad",
    hop: float | None = None,
    precision: str = "fp32",
    ray: str | None = None,
    workers: int | None = None,
    shard_entries: int = plan.SHARD_ENTRIES,
    price: float | None = None,
    as_json: bool = False,
) -> int:
    """Annotate a source into a folder, from where it stands; returns the exit code.

    Args:
        source: see `sources.read`.
        out: folder, or URL of one; continued when it exists.
        model: as for `feltone.load`.
        segments: one of `SEGMENTS`.
        hop: seconds between windows; None for windows that do not overlap.
        precision: "fp32" or "int8".
        ray: address of a cluster, or "auto"; None for this machine's cores.
        workers: processes, or actors on a cluster; None for as many as there are cores.
        shard_entries: entries done together, and again where they were cut off.
        price: of a core for an hour, for the sum in run.json.
        as_json: print run.json.

    Raises:
        ConfigError: an option that does not exist, or a folder that holds another run.
        FeltoneError: the source or the model cannot be read.
    """
    folder = Folder(out)
    made = plan.make(folder, source, settings_of(model, segments, hop, precision), shard_entries)
    if dataset.RUN in folder.names():
        dataset.clean(folder)
        console.say(f"{out}: is complete; nothing was done")
        return report(json.loads(folder.read(dataset.RUN)), out, as_json=as_json)
    ledger = Ledger(folder)
    left = ledger.left(made.shards)
    if len(left) < made.shards:
        console.say(f"{out}: goes on with {len(left):,} of {made.shards:,} shards")
    begun, before = time.monotonic(), ledger.total.get("recordings", 0)
    with progress(made.entries, ledger) as bar:
        for shard, tally in engine(made, left, ray, workers, ledger):
            ledger.record(shard, tally)
            bar.show()
    seconds = time.monotonic() - begun
    dataset.gather(folder, ledger, made.shards)
    recordings = ledger.total["recordings"] - before
    sitting: dict[str, Any] = {"recordings": round(recordings), "seconds": round(seconds, 3)}
    sitting |= {"recordings_per_second": round(recordings / seconds, 2), "engine": "ray" if ray else "processes"}
    document = dataset.summary(made, ledger, sitting, price)
    dataset.finish(folder, document)
    return report(document, out, as_json=as_json)


def settings_of(model: str | None, segments: str, hop: float | None, precision: str) -> dict[str, Any]:
    """What determines the results, as plain values."""
    if segments not in SEGMENTS:
        raise ConfigError(f"segments '{segments}' are not known; known: {', '.join(SEGMENTS)}")
    if hop is not None and segments != "windows":
        raise ConfigError("--hop is for --segments windows")
    found = artifact.load(model)
    window = found.features.clip_seconds
    if hop is not None and not 0 < hop <= window:
        raise ConfigError(f"hop {hop:g} s: choose more than none, and the window ({window:g} s) at most")
    name = model if model is None or model.startswith("hf:") else str(artifact.find(model).absolute())
    return {
        "model": name,
        "model_id": model_id(found, precision),
        "segments": segments,
        "hop": (hop or window) if segments == "windows" else None,
        "precision": precision,
    }


def engine(
    made: Plan, left: list[int], ray: str | None, workers: int | None, ledger: Ledger
) -> Iterator[tuple[int, Tally]]:
    """Shards and their tallies as they are done, by the engine that was asked for."""
    if not left:
        return
    if ray:
        from feltone.doors import cluster
        from feltone.doors.annotate import cluster as pipeline

        cluster.connect(ray, "annotating on a cluster")
        yield from pipeline.run(made, left, workers)
        left = ledger.left(made.shards)
        if left:
            console.say(f"{len(left):,} shards failed on the cluster; they are gone through here, one by one")
    if left:
        yield from local.run(made, left, workers or cores())


def report(document: dict[str, Any], out: str, *, as_json: bool) -> int:
    """Say what was done; the exit code."""
    if as_json:
        console.document(document)
    good, errors = document["rows"] - document["errors"], document["errors"]
    speed, cost = document["speed"], document["cost"]
    console.say(
        f"{document['recordings']:,} recordings, {document['audio_hours']:,.2f} h of audio, {good:,} rows, "
        f"{errors:,} errors; {console.duration(speed['last_sitting']['seconds'])}, "
        f"{speed['audio_hours_per_core_hour']:,.0f} h of audio per core and hour, {cost['core_hours']:.3g} core hours"
    )
    if errors:
        console.say(f"{out}/{dataset.ERRORS} says what could not be read")
    console.say(f"next: duckdb -c \"SELECT label, count(*) FROM '{out}/{dataset.DATASET}/*.parquet' GROUP BY label\"")
    return DONE if not errors else IN_PART if good else WRONG
