"""Kill `feltone` at random moments, again and again, and see whether anything is lost.

python -m feltone_benchmarks.soak --kills 70 --out results/reliability.json

Each round begins with an empty folder. A command is started, killed after a random time (by SIGKILL; now and then by
SIGTERM), and started again until it comes to its end by itself. After every kill all that is on the disk must be whole
and no less than before; at the end it must be what one uninterrupted run leaves. The commands are `feltone` as a user
starts it, in a process of its own, forked from one that has imported everything: kills meet work and not imports.
Networks and recordings are tiny (`tiny.py`); checkpoints are written after every step.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxscript  # noqa: F401 - imported here once, and not anew in every process that is killed
import safetensors.torch
import torch

import feltone.doors.laboratory
import feltone.lab.report  # noqa: F401
from feltone import artifact
from feltone.doors import cli
from feltone.errors import FeltoneError, FeltoneWarning
from feltone.files import UNFINISHED, read_json, write_json
from feltone.lab import provenance
from feltone.lab.recipes import recipe as recipe_named
from feltone.lab.tested import SUFFIX, FoldResult
from feltone.lab.training import checkpoint
from feltone_benchmarks import tiny

SHARE_OF_SIGTERM = 0.15
LAST_WORDS = 2_000  # characters of a command that fails
FORKED = multiprocessing.get_context("fork")
STOPPED = (-signal.SIGTERM, cli.SIGNALLED + signal.SIGTERM)  # before and after it is noticed

Progress = tuple[int, ...]
"""How far a work has come; grows with it."""


@dataclass(frozen=True)
class Work:
    """A command that is killed."""

    name: str
    command: Callable[[Path], list[str]]  # arguments of feltone, for a folder of a round
    reached: Callable[[Path], tuple[Progress, str]]  # and in words; raises where something is not whole
    result: Callable[[Path], dict[str, str]]  # what must be as without a kill: names and digests
    cache: Path | None  # shared by all rounds; None for one per round


@dataclass
class Tally:
    """What happened to a work."""

    killed: int = 0
    stopped: int = 0  # by SIGTERM
    rounds: int = 0
    faults: list[str] = field(default_factory=list)
    moments: Counter[str] = field(default_factory=Counter)  # where it was when it was killed

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        counts = {"sigkill": self.killed, "sigterm": self.stopped, "rounds": self.rounds}
        return counts | {"lost_or_different": len(self.faults), "moments": dict(sorted(self.moments.items()))}


def training(table: Path, cache: Path, recipe: str) -> Work:
    """`feltone train` with its stages, artefacts, test and report."""
    machine = ["--no-compile", "--threads", "1", "--precision", "32", "--accelerator", "cpu"]
    command = ["train", recipe, "--corpus", "manifest", "--data", str(table), "--protocol", "clean", *machine]
    stages = [stage.name for stage in recipe_named(recipe).stages]
    reached = partial(trained_so_far, stages=stages)
    return Work("train", lambda out: [*command, "--out", str(out)], reached, trained, cache)


def caching(table: Path) -> Work:
    """`feltone prepare`: features into the cache."""
    return Work("prepare", lambda out: ["prepare", "manifest", str(table)], cached_so_far, digests, None)


def annotating(recordings: Path) -> Work:
    """`feltone annotate`: an archive into one Parquet dataset, two recordings to a shard."""
    command = ["annotate", str(recordings), "--segments", "whole", "--workers", "1", "--shard", "2"]
    return Work("annotate", lambda out: [*command, "--out", str(out)], annotated_so_far, rows, None)


def trained_so_far(out: Path, stages: Sequence[str]) -> tuple[Progress, str]:
    """Stages that are done, then epoch and step of the one under way, then artefacts and tested folds."""
    run = out / "seed-0" / "fold-1"
    for file in (*run.glob("*.json"), *out.glob("report-*/*.json")):
        json.loads(file.read_text(encoding="utf-8"))
    done = [stage for stage in stages if (run / f"{stage}.safetensors").is_file()]
    for stage in done:
        safetensors.torch.load_file(run / f"{stage}.safetensors")
    finished = [artifact.load(file.parent) for file in run.glob(f"*/{artifact.DESCRIPTION}")]
    judged = [FoldResult.read(file) for file in run.glob(f"*{SUFFIX}")]
    states = [checkpoint.read(run / f"{stage}.checkpoint") for stage in stages[len(done) :]]
    at = next(((s["position"]["epoch"], s["position"]["step"]) for s in states if s), (0, 0))
    where = "exporting and testing" if len(done) == len(stages) else f"stage {stages[len(done)]}"
    return (len(done), *at, len(finished), len(judged)), where if (run / "settings.json").is_file() else "beginning"


def trained(out: Path) -> dict[str, str]:
    """Weights, curve and answers."""
    run = out / "seed-0" / "fold-1"
    left = [str(path) for path in run.rglob(f".*{UNFINISHED}")] + list(map(str, run.glob("*.checkpoint*")))
    kept = [*run.glob("*.safetensors"), *run.glob("*/model.safetensors"), run / "history.jsonl"]
    answers = {file.name: FoldResult.read(file).predictions.to_json() for file in run.glob(f"*{SUFFIX}")}
    found = {str(file.relative_to(run)): _digest(file.read_bytes()) for file in kept}
    return found | {name: _digest(text.encode()) for name, text in answers.items()} | {"left over": " ".join(left)}


def cached_so_far(out: Path) -> tuple[Progress, str]:
    """Entries of the cache, each of which must be readable."""
    files = [file for file in out.rglob("*.npy") if not file.name.startswith(".")]
    for file in files:
        np.load(file)
    return (len(files),), "caching" if files else "beginning"


def digests(out: Path) -> dict[str, str]:
    """Every entry of the cache."""
    files = [file for file in out.rglob("*.npy") if not file.name.startswith(".")]
    return {str(file.relative_to(out)): _digest(file.read_bytes()) for file in files}


def annotated_so_far(out: Path) -> tuple[Progress, str]:
    """Rows of the dataset, then finished files of shards, each of which must be readable."""
    import pyarrow.parquet as parquet

    found = len(rows(out))
    shards = [
        file for file in out.rglob("*.parquet") if not file.name.startswith(".") and "annotations" not in file.parts
    ]
    for file in shards:
        parquet.read_table(file)
    return (found, 0 if found else len(shards)), "gathering" if found else "annotating" if shards else "beginning"


def rows(out: Path) -> dict[str, str]:
    """Every row of the dataset; a clip that is there twice is a row too many."""
    import pyarrow.parquet as parquet

    files = [file for file in sorted(out.glob("annotations/*.parquet")) if not file.name.startswith(".")]
    found = sorted(
        json.dumps(row, default=str, sort_keys=True) for f in files for row in parquet.read_table(f).to_pylist()
    )
    return {f"{number} {_digest(row.encode())}": "" for number, row in enumerate(found)}


def soak(work: Work, kills: int, folder: Path, rng: np.random.Generator) -> Tally:
    """Kill a work so many times, and compare what comes out with an uninterrupted run of it."""
    reference, tally = folder / "uninterrupted", Tally()
    begun = time.monotonic()
    if start(work, reference, folder / "log").wait() != 0:
        raise SystemExit(f"{work.name}: fails without a kill: {(folder / 'log').read_text()[-LAST_WORDS:]}")
    seconds, wanted = time.monotonic() - begun, work.result(reference)
    while tally.killed < kills:
        tally.rounds += 1
        one_round(work, folder, kills, seconds, rng, tally)
        if work.result(folder / "killed") != wanted:
            tally.faults.append(f"{work.name}, round {tally.rounds}: ends in something else than without a kill")
            shutil.copytree(folder / "killed", folder / f"fault-{len(tally.faults)}")
        shutil.rmtree(folder / "killed")
        print(f"{work.name}: {tally.killed} of {kills} kills, {tally.rounds} rounds", file=sys.stderr)
    return tally


def one_round(work: Work, folder: Path, kills: int, seconds: float, rng: np.random.Generator, tally: Tally) -> None:
    """From an empty folder to the end, through as many kills as it takes, and no more than are asked for."""
    out, before = folder / "killed", Progress()
    while True:
        process = start(work, out, folder / "log")
        # As many moments between a hundredth and a tenth of the whole as between a tenth and the end: what comes first
        # is short beside exporting and reporting.
        gently, after = rng.random() < SHARE_OF_SIGTERM, seconds * 10 ** rng.uniform(-2, 0.1)
        code = process.wait(after if tally.killed < kills else None)
        if code is None:
            code = process.stop(signal.SIGTERM if gently else signal.SIGKILL)
        try:
            reached, where = work.reached(out)
        except (FeltoneError, FeltoneWarning, OSError, ValueError) as fault:
            tally.faults.append(f"{work.name}, round {tally.rounds}: {fault}")
            reached, where = before, "unknown"
        if reached < before:
            tally.faults.append(f"{work.name}, round {tally.rounds}: {reached} after {before}")
        before = reached
        if code == 0:
            return
        tally.moments[where] += 1
        if code == -signal.SIGKILL:
            tally.killed += 1
        elif code in STOPPED:
            tally.stopped += 1
        else:
            raise SystemExit(f"{work.name}: ended with {code}: {(folder / 'log').read_text()[-LAST_WORDS:]}")


class start:  # noqa: N801 - reads as what it does
    """A command of feltone in a process of its own."""

    def __init__(self, work: Work, out: Path, log: Path) -> None:
        arguments, cache = work.command(out), work.cache or out
        self.process = FORKED.Process(target=_run, args=(arguments, cache, log))
        self.process.start()

    def wait(self, seconds: float | None = None) -> int | None:
        """The exit code, or None when it is still running after so long."""
        self.process.join(seconds)
        return self.process.exitcode

    def stop(self, how: signal.Signals) -> int:
        """Send a signal and wait for the end; the exit code, negative for a death by signal."""
        assert self.process.pid is not None
        os.kill(self.process.pid, how)
        self.process.join()
        assert self.process.exitcode is not None
        return self.process.exitcode


def _run(arguments: list[str], cache: Path, log: Path) -> None:
    os.environ["FELTONE_CACHE"] = str(cache)
    with log.open("a") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    sys.argv = ["feltone", *arguments]
    sys.modules["__main__"] = cli  # as for a user: what the command starts itself begins from there
    cli.main()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def works(folder: Path, recipe: str) -> list[Work]:
    """What is killed."""
    table = folder / "recordings.csv"
    tiny.write_recordings(table)
    return [training(table, folder / "cache", recipe), caching(table), annotating(tiny.CLIPS)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak every work; 1 when something was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=70, help="SIGKILLs of each work")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--only", action="append", help="a work: train, prepare, annotate (repeatable)")
    parser.add_argument("--recipe", default="tiny", help="of train: tiny, or tiny-teacher, which has one stage")
    parser.add_argument("--out", type=Path, help="file of the figures; those of other works in it are kept")
    asked = parser.parse_args(arguments)
    tiny.register()
    torch.set_num_threads(1)  # and none are started before a fork
    warnings.simplefilter("error", FeltoneWarning)
    faults, found = list[str](), dict[str, Any]()
    with tempfile.TemporaryDirectory(prefix="feltone-soak-") as folder:
        for work in works(Path(folder), asked.recipe):
            if asked.only and work.name not in asked.only:
                continue
            (Path(folder) / work.name).mkdir()
            begun = time.monotonic()
            tally = soak(work, asked.kills, Path(folder) / work.name, np.random.default_rng(asked.seed))
            faults += tally.faults
            found[work.name] = tally.to_dict() | facts(work, asked.kills, asked.seed, time.monotonic() - begun)
            if asked.out:
                known = read_json(asked.out)["works"] if asked.out.is_file() else {}
                write_json(asked.out, {"works": known | found})
    print(*faults, sep="\n", file=sys.stderr)
    print(json.dumps({"works": found}, indent=1))
    return len(faults) > 0


def facts(work: Work, kills: int, seed: int, seconds: float) -> dict[str, Any]:
    """Where the figures of a work come from."""
    return {
        "seed": seed,
        "seconds": round(seconds),
        "device": provenance.device(),
        "commit": provenance.commit(),
        "command": f"python -m feltone_benchmarks.soak --only {work.name} --kills {kills} --seed {seed}",
        "date": provenance.today(),
    }


if __name__ == "__main__":
    sys.exit(main())
