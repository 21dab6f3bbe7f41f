"""What is done: a file per shard, with what was counted and how long it took; and the sum of them."""

import json
import re

from feltone.doors.annotate.pieces import Tally, added
from feltone.doors.annotate.places import Folder
from feltone.doors.annotate.work import SHARDS

DONE = re.compile(r"(\d{7})\.json")


class Ledger:
    """The shards of a run that are done."""

    def __init__(self, out: Folder) -> None:
        self._out = out
        self.rows: dict[int, int] = {}  # shard -> its rows
        self.pieces: dict[int, int] = {}  # shard -> files that hold them
        self.total: Tally = {}
        for name in out.names(SHARDS):
            if match := DONE.fullmatch(name):
                self._count(int(match[1]), json.loads(out.read(f"{SHARDS}/{name}")))

    def record(self, shard: int, tally: Tally) -> None:
        """Put down that a shard is done: from here on it is never done again."""
        told = {name: round(number, 6) for name, number in tally.items()}
        self._out.write(f"{SHARDS}/{shard:07d}.json", lambda file: file.write(json.dumps(told).encode()))
        self._count(shard, tally)

    def left(self, shards: int) -> list[int]:
        """Shards of so many that are not done."""
        return [shard for shard in range(shards) if shard not in self.rows]

    def _count(self, shard: int, tally: Tally) -> None:
        self.rows[shard], self.pieces[shard] = round(tally["rows"]), round(tally["pieces"])
        self.total = added(self.total, tally)
