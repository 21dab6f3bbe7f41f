"""One side in a process of its own: JSON lines in, JSON lines out, nothing else on that channel.

The first line is `{"make", "settings", "cores"}`, answered by `{"warm_up_s"}`; every further one `{"seconds"}`, a turn,
answered by `{"ms": [a duration per call], "peak_mb"}`. What is raised is answered by `{"fault"}` and ends the process,
as does the end of the input. Between turns the process sleeps in a blocking read.
"""

import importlib
import json
import os
import resource
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import IO, Any

WARM_UP_CALLS = 3

Work = Callable[[], object]


def main() -> None:
    """Serve one side until the input ends."""
    requests, answers = private_channels()

    def answer(**what: Any) -> None:
        print(json.dumps(what), file=answers, flush=True)

    try:
        begun = perf_counter()
        work = set_up(**json.loads(requests.readline()))
        answer(warm_up_s=perf_counter() - begun)
        for line in requests:
            answer(ms=turn(work, **json.loads(line)), peak_mb=peak_mb())
    except Exception as fault:  # noqa: BLE001 - whatever it is, the parent tells the user
        answer(fault=" ".join(f"{type(fault).__name__}: {fault}".split()))


def private_channels() -> tuple[IO[str], IO[str]]:
    """Standard input and output under other descriptors, so that no library reads the one or chatters on the other."""
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return requests, answers


def set_up(make: str, settings: Mapping[str, Any], cores: int) -> Work:
    """Pin the process, import and call `make` ("module:function"), and warm up what it returns."""
    pin(cores)
    module, _, function = make.partition(":")
    work: Work = getattr(importlib.import_module(module), function)(**settings)
    for _ in range(WARM_UP_CALLS):
        work()
    return work


def pin(cores: int) -> None:
    """Keep to the last `cores` of the cores at hand (the first serve interrupts), where the system can pin."""
    if hasattr(os, "sched_setaffinity"):
        at_hand = sorted(os.sched_getaffinity(0))
        if len(at_hand) < cores:
            raise RuntimeError(f"needs {cores} cores, there is {len(at_hand)}")
        os.sched_setaffinity(0, at_hand[-cores:])


def turn(work: Work, seconds: float) -> list[float]:
    """Milliseconds of each call, for about `seconds` and at least one call."""
    durations = []
    end = perf_counter() + seconds
    while not durations or perf_counter() < end:
        begun = perf_counter()
        work()
        durations.append((perf_counter() - begun) * 1e3)
    return durations


def peak_mb() -> float:
    """Largest resident size so far of this process, or of a larger one that it started and that has ended.

    Of this process from /proc where there is one: `ru_maxrss` of a process that was forked starts at its parent's.
    """
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit
    status = Path("/proc/self/status")
    if status.is_file():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return max(children, int(line.split()[1]) / 1024)
    return max(children, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)


if __name__ == "__main__":
    main()
