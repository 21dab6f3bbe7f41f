"""A Ray cluster: the same work as a Ray Data pipeline, streamed from the list to the files.

    shards -> hear: tasks on CPUs -> answer: actors that hold the student, on a GPU where there is one -> tallies

Ray holds tasks back where actors do not keep up. Sound and images travel between nodes; back to the driver come
tallies alone. What a node was at when it died, Ray does again on another, and the same files are written again. Shards
that the cluster could not do after all are left to the caller.
"""

import json
import logging
import pickle
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from typing import Any, cast

from feltone import artifact, features
from feltone.doors.annotate.listening import Listener
from feltone.doors.annotate.pieces import Piece, Tally, added
from feltone.doors.annotate.places import Folder
from feltone.doors.annotate.plan import Plan, entries_of
from feltone.doors.annotate.work import answer, recognizer_of

BLOCK_BYTES = 8 << 20  # less than most pieces: each becomes a block and travels on at once
TASK_SHARE, ACTOR_SHARE = 0.9, 0.01  # of a core, as far as Ray is told
"""Where there is no GPU, tasks and actors share the cores, and the system gives one to whichever has work. What a task
leaves over is room for ten actors: they gather on the nodes that are left when others die, and tasks must still fit.
"""


def run(plan: Plan, shards: Sequence[int], workers: int | None) -> Iterator[tuple[int, Tally]]:
    """Do shards on the cluster that this process has joined; their numbers and tallies, as they are done.

    Args:
        plan: whose results lie where every node sees them.
        shards: to do.
        workers: tasks at once and actors; None for as many as there are CPUs, of actors as there are GPUs.
    """
    import ray.data

    _settle()
    resources = cast(Any, ray).cluster_resources()
    gpus = int(resources.get("GPU", 0))
    at_once = min(len(shards), workers or int(resources.get("CPU", 1)))
    share: dict[str, Any] = {"num_gpus": 1} if gpus else {"num_cpus": ACTOR_SHARE}
    told = pickle.dumps(plan)
    tallies = (
        # Not a range, which is read by tasks that want a core for themselves.
        ray.data.from_items([{"shard": shard} for shard in shards], override_num_blocks=len(shards))
        .flat_map(partial(_hear, told), num_cpus=TASK_SHARE, concurrency=at_once)
        .map(cast(Any, _Student), fn_constructor_args=(told,), concurrency=min(gpus, at_once) or at_once, **share)
    )
    pieces: dict[int, dict[int, Tally]] = {}  # shard -> piece -> its tally
    counts: dict[int, int] = {}  # shard -> its pieces, once the last one is known
    for row in tallies.iter_rows():
        shard, number = int(row["shard"]), int(row["number"])
        pieces.setdefault(shard, {})[number] = json.loads(row["tally"])
        if row["is_last"]:
            counts[shard] = number + 1
        if len(pieces[shard]) == counts.get(shard):
            yield shard, added(*pieces.pop(shard).values())


def _settle() -> None:
    """Ray Data's ways, for this process."""
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.target_max_block_size = BLOCK_BYTES
    context.max_errored_blocks = -1  # a shard that fails is left to the caller, and the others are done
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def _hear(told: bytes, row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A task: the pieces of a shard."""
    plan, listener = _listener(told)
    shard = int(row["shard"])
    for piece in listener.hear(shard, entries_of(plan, shard)):
        yield {"piece": pickle.dumps(piece, protocol=5)}


@lru_cache(1)
def _listener(told: bytes) -> tuple[Plan, Listener]:
    """Once per process of a node."""
    plan: Plan = pickle.loads(told)
    features.load_fast_transform()
    return plan, Listener(plan, artifact.load(plan.settings["model"]).features)


class _Student:
    """An actor: answers pieces, and keeps the answers among the results."""

    def __init__(self, told: bytes) -> None:
        plan: Plan = pickle.loads(told)
        self._recognize, self._out = recognizer_of(plan), Folder(plan.out)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        piece: Piece = pickle.loads(row["piece"])
        tally = answer(self._recognize, self._out, piece)
        return {
            "shard": piece.shard,
            "number": piece.number,
            "is_last": piece.is_last,
            "tally": json.dumps(tally),
        }
