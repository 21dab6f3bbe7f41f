"""Sides measured against each other: a process each, taking turns, so that what the machine does meanwhile hits all.

results = measure([Side("slow", "a.module:make", {}), Side("fast", "a.module:make", {"trick": True})],
                  rounds=5, turn_seconds=1)
ratio(results["slow"], results["fast"])
"""

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from typing import Any

GRACE_SECONDS = 5
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Side:
    """Something to measure."""

    name: str  # key in the JSON
    make: str  # "module:function": called in a fresh process with **settings; returns a callable doing one unit of work
    settings: Mapping[str, Any] = field(default_factory=dict)  # JSON-able
    needs: tuple[str, ...] = ()  # importable packages beyond the core, by the name pip knows
    cores: int = 1  # the process is pinned to as many, and its thread pools are told so
    units: int = 1  # items of work in one call (clips, steps): times are per item


@dataclass(frozen=True)
class Timing:
    """What a side took per item of work."""

    median_ms: float
    low_ms: float  # 10 %
    high_ms: float  # 90 %
    repeats: int  # calls
    peak_mb: float  # of the process
    warm_up_s: float  # set-up and first calls
    per_round_ms: tuple[float, ...]  # median of each turn

    @classmethod
    def of(cls, turns: Sequence[Sequence[float]], units: int = 1, peak_mb: float = 0, warm_up_s: float = 0) -> "Timing":
        """From milliseconds per call, by turn."""
        calls = sorted(ms / units for turn in turns for ms in turn)
        return cls(
            median_ms=statistics.median(calls),
            low_ms=calls[round(0.1 * (len(calls) - 1))],
            high_ms=calls[round(0.9 * (len(calls) - 1))],
            repeats=len(calls),
            peak_mb=peak_mb,
            warm_up_s=warm_up_s,
            per_round_ms=tuple(statistics.median(turn) / units for turn in turns),
        )


@dataclass(frozen=True)
class Missing:
    """A side that was not measured."""

    reason: str  # one line: what is absent and the command that brings it, or what was raised


Result = Timing | Missing


def measure(
    sides: Sequence[Side],
    *,
    rounds: int,
    turn_seconds: float,
    on_turn: Callable[[int, int], object] = lambda done, total: None,
) -> dict[str, Result]:
    """Set up all sides one after the other, then let each take a turn per round, one at a time.

    Args:
        sides: of different names.
        rounds: turns of every side; another side begins each round.
        turn_seconds: about how long a turn lasts; at least one call.
        on_turn: told of (done, total) after every set-up and turn.
    """
    workers: dict[str, _Worker] = {}
    missing: dict[str, Missing] = {}
    with ExitStack() as running:
        for done, side in enumerate([*sides, *alternated(sides, rounds)], start=1):
            try:
                if side.name in workers:
                    workers[side.name].turn(turn_seconds)
                elif side.name not in missing:
                    workers[side.name] = running.enter_context(_Worker(side))
            except _CannotMeasure as fault:
                missing[side.name] = Missing(str(fault))
                workers.pop(side.name, None)
            on_turn(done, len(sides) * (rounds + 1))
    return {side.name: missing.get(side.name) or workers[side.name].timing() for side in sides}


def alternated(sides: Sequence[Side], rounds: int) -> list[Side]:
    """The order of turns: every side once per round, each round begun by another."""
    starts = (turn % len(sides) for turn in range(rounds if sides else 0))
    return [side for start in starts for side in (*sides[start:], *sides[:start])]


def ratio(slow: Result, fast: Result) -> float | None:
    """How many times faster `fast` is: the median of the rounds' ratios; None where a side is missing."""
    if isinstance(slow, Missing) or isinstance(fast, Missing):
        return None
    return statistics.median(a / b for a, b in zip(slow.per_round_ms, fast.per_round_ms, strict=True))


def document(results: Mapping[str, Result]) -> dict[str, dict[str, Any]]:
    """Results as they go into JSON: a `Timing`'s fields with four significant digits, or `{"missing": reason}`."""
    return {name: _described(result) for name, result in results.items()}


def _described(result: Result) -> dict[str, Any]:
    if isinstance(result, Missing):
        return {"missing": result.reason}
    return {
        name: [_rounded(item) for item in value] if isinstance(value, tuple) else _rounded(value)
        for name, value in asdict(result).items()
    }


def _rounded(value: float) -> float:
    return value if isinstance(value, int) else float(f"{value:.4g}")


class _CannotMeasure(Exception):  # noqa: N818 - a side's fault, not the user's: it becomes a `Missing`
    """Why a side has no timing."""


class _Worker:
    """The process of one side: set up on entering, ended on leaving."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._turns: list[list[float]] = []
        self._peak_mb = self._warm_up_s = 0.0

    def __enter__(self) -> "_Worker":
        side = self._side
        absent = [name for name in side.needs if importlib.util.find_spec(name) is None]
        if absent:
            raise _CannotMeasure(f"needs {' and '.join(absent)}: pip install {' '.join(absent)}")
        self._chatter = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "feltone_benchmarks.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._chatter,
            env=os.environ | dict.fromkeys(THREAD_VARIABLES, str(side.cores)),
            text=True,
        )
        try:
            answer = self._ask(make=side.make, settings=dict(side.settings), cores=side.cores)
        except BaseException:
            self.__exit__()
            raise
        self._warm_up_s = answer["warm_up_s"]
        return self

    def __exit__(self, *_: object) -> None:
        try:  # the end of its input ends it, and gives it the time to end what it started
            self._process.communicate(timeout=GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        self._chatter.close()

    def turn(self, seconds: float) -> None:
        """Let the side work for about `seconds`."""
        answer = self._ask(seconds=seconds)
        self._turns.append(answer["ms"])
        self._peak_mb = answer["peak_mb"]

    def timing(self) -> Timing:
        """Of all turns."""
        return Timing.of(self._turns, self._side.units, self._peak_mb, self._warm_up_s)

    def _ask(self, **request: Any) -> dict[str, Any]:
        """Send one line and wait for the answer; raises `_CannotMeasure` with what the process died of."""
        assert self._process.stdin and self._process.stdout
        with suppress(BrokenPipeError):  # a process that has died is noticed by its silence
            print(json.dumps(request), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"fault": self._last_words()}
        if "fault" in answer:
            raise _CannotMeasure(answer["fault"])
        return answer

    def _last_words(self) -> str:
        code = self._process.wait()
        self._chatter.seek(0)
        said = self._chatter.read().decode(errors="replace").split("\n")
        return f"the process ended with code {code}: " + next((line for line in reversed(said) if line.strip()), "")
