"""The cores of this machine: a process each, that asks for a shard when it has done one.

A process that dies takes no more than its shard with it, which another one does again. A recording over which two
processes died is named in the results as the reason, and not touched a third time.
"""

import multiprocessing
import signal
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import cast

from feltone.doors.annotate.pieces import Tally
from feltone.doors.annotate.plan import Plan
from feltone.errors import FeltoneError

DEATHS = 2  # over the same recording, after which it is left alone
SPAWN = multiprocessing.get_context("spawn")  # a fork would inherit locks of threads that are not there


class _Hand:
    """A process, and what it is at."""

    def __init__(self, plan: Plan) -> None:
        self.ours, theirs = SPAWN.Pipe()
        self.process: SpawnProcess = SPAWN.Process(target=_serve, args=(plan, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.shard: int | None = None
        self.recording: int | None = None  # of the shard

    def give(self, shard: int, skipped: dict[int, str]) -> None:
        self.shard, self.recording = shard, None
        self.ours.send((shard, skipped))

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.ours.close()


def run(plan: Plan, shards: Sequence[int], workers: int) -> Iterator[tuple[int, Tally]]:
    """Do shards; their numbers and tallies, as they are done.

    Raises:
        FeltoneError: processes die while no recording is at work, so that it is none's fault.
    """
    waiting, deaths = deque(shards), Counter[tuple[int, int | None]]()
    skipped: dict[int, dict[int, str]] = {}  # shard -> recording -> why
    with _hands(plan, min(workers, len(waiting))) as hands:
        for hand in hands:
            _next(hand, waiting, skipped)
        while busy := {hand.ours: hand for hand in hands if hand.shard is not None}:
            for ours in wait(list(busy)):
                hand = busy[cast(Connection, ours)]
                shard = cast(int, hand.shard)
                try:
                    said = hand.ours.recv()
                except (EOFError, ConnectionResetError):
                    hand.process.join()
                    deaths[shard, hand.recording] += 1
                    _blame(hand, deaths, skipped)
                    waiting.appendleft(shard)
                    hands[hands.index(hand)] = hand = _Hand(plan)
                    _next(hand, waiting, skipped)
                    continue
                if isinstance(said, dict):
                    yield shard, said
                    _next(hand, waiting, skipped)
                else:
                    hand.recording = said


@contextmanager
def _hands(plan: Plan, count: int) -> Iterator[list[_Hand]]:
    hands = [_Hand(plan) for _ in range(count)]
    try:
        yield hands
    finally:
        for hand in hands:
            hand.end()


def _next(hand: _Hand, waiting: deque[int], skipped: dict[int, dict[int, str]]) -> None:
    hand.shard = None
    if waiting:
        shard = waiting.popleft()
        hand.give(shard, skipped.get(shard, {}))


def _blame(hand: _Hand, deaths: Counter[tuple[int, int | None]], skipped: dict[int, dict[int, str]]) -> None:
    shard, recording = cast(int, hand.shard), hand.recording
    if deaths[shard, recording] < DEATHS:
        return
    code = hand.process.exitcode or 0
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    if recording is None:
        raise FeltoneError(
            f"shard {shard}: a process ended ({how}) while no recording was at work; see its last words above, "
            f"mend what they say and give the same command again"
        )
    skipped.setdefault(shard, {})[recording] = f"ended {DEATHS} processes that read it ({how}); left alone"


def _serve(plan: Plan, theirs: Connection) -> None:
    """What a process does: shard after shard, until whoever gives them is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who gives the work; then the pipe ends
    from feltone.doors.annotate.work import Worker  # not at the head: the parent needs none of it to give work

    worker = Worker(plan)
    try:
        while True:
            shard, skipped = theirs.recv()
            theirs.send(worker.work(shard, skipped, theirs.send))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
