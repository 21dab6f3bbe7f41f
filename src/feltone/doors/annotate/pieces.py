"""What goes from those who listen to those who judge: rows to be, and images of those that have something to judge."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from feltone.features import Image

MOST_IMAGES = 512  # in a piece: 32 MB, which bounds the memory of a long recording
MOST_ROWS = 8192
STAGES = ("read", "speech", "features", "student", "keep")
"""What takes time: reading and decoding, telling speech from silence, features, the network, writing.

It is the processor's time, which others on the machine do not lengthen; waiting for a disk or a network is not in it.
"""
Tally = dict[str, float]
"""Counts and seconds of some work, by name."""


class Row(NamedTuple):
    """A segment, or an entry that has none."""

    path: str
    start: float | None
    end: float | None
    error: str | None = None
    image: int | None = None  # among the piece's; None where there is nothing to judge


@dataclass
class Piece:
    """A part of a shard, as far as it was heard."""

    shard: int
    number: int = 0
    rows: list[Row] = field(default_factory=list)
    images: list[Image] = field(default_factory=list)
    tally: Tally = field(default_factory=dict)
    is_last: bool = False

    @property
    def is_full(self) -> bool:
        """Whether it is to be judged before more is heard."""
        return len(self.images) >= MOST_IMAGES or len(self.rows) >= MOST_ROWS

    def count(self, what: str, how_many: float = 1) -> None:
        """Add to its tally."""
        self.tally[what] = self.tally.get(what, 0) + how_many

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Count the processor's seconds of what is done meanwhile."""
        begun = time.thread_time()
        yield
        self.count(stage, time.thread_time() - begun)


def added(*tallies: Mapping[str, float]) -> Tally:
    """The sum of tallies.

    >>> added({"rows": 2, "errors": 1}, {"rows": 3})
    {'rows': 5, 'errors': 1}
    """
    total: Counter[str] = Counter()
    for tally in tallies:
        total.update(tally)
    return dict(total)
