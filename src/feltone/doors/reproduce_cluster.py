"""`feltone reproduce --ray`: every group of runs is a task of a cluster; the rows are written here.

A node that dies costs what was learnt since the last checkpoint: Ray gives its task to another one, which finds the
checkpoint where all nodes see it. Tasks carry the recipe itself, so every node trains what this machine planned.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from feltone.doors import console
from feltone.doors.reproduce import named, tell
from feltone.lab import reproduce
from feltone.lab.dataset import cache_folder
from feltone.lab.reproduce import Planned
from feltone.lab.training.machine import Machine

RETRIES = 10  # of a group, when the node dies that trains it


def run(groups: Sequence[Sequence[Planned]], out: Path, results: Path, machine: Machine) -> int:
    """Groups as tasks of the cluster that this process has joined; the number of runs that failed, each named.

    Args:
        groups: of jobs that are trained at once.
        out: folder of the runs, absolute, which all nodes see under this name.
        results: folder of the rows and of tested folds, likewise.
        machine: what a task computes with: a GPU, or as many cores as it has threads, by default one.
    """
    import ray

    if machine.accelerator == "cuda":
        share: dict[str, Any] = {"num_gpus": 1}
    else:
        machine = replace(machine, threads=machine.threads or 1)
        share = {"num_cpus": machine.threads}
    environment = {"env_vars": {"FELTONE_CACHE": str(cache_folder().resolve())}}
    remote = cast(Any, ray).remote(max_retries=RETRIES, runtime_env=environment, **share)(_train)
    under_way = {remote.remote(group, out, results, machine): group for group in groups}
    waits, left = list(under_way), 0
    there = cast(Any, ray).cluster_resources()
    console.say(f"{len(groups)} tasks on {there.get('CPU', 0):.0f} cores and {there.get('GPU', 0):.0f} GPUs")
    with console.progress("groups", len(groups)) as advance:
        while waits:
            (done,), waits = ray.wait(waits)
            group = under_way.pop(done)
            try:
                ray.get(done)
            except ray.exceptions.RayError as fault:
                left += len(group)
                console.say(f"failed: {named(group)}: {reason(fault)}")
            else:
                console.say(f"done: {named(group)}")
                tell(reproduce.write_rows(group, results))
            advance()
    return left


def reason(fault: Exception) -> str:
    """The last line of what a task failed of."""
    return str(fault).strip().splitlines()[-1]


def _train(group: Sequence[Planned], out: Path, results: Path, machine: Machine) -> None:
    reproduce.run(group, out, results, machine, [lambda tick: None] * len(group))
