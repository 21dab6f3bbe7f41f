"""Reading EmoBox's published folds, which are not ours to ship.

Two forms are read: a folder with one `<corpus>.csv` (columns fold, part, clip, label), and a clone of EmoBox
(`data/<corpus>/fold_<k>/<corpus>_<part>_fold_<k>.jsonl`).
"""

import csv
from dataclasses import dataclass, field
from pathlib import Path

from feltone.errors import ProtocolError


@dataclass
class Parts:
    """Clip names of one fold."""

    train: list[str] = field(default_factory=list)
    test: list[str] = field(default_factory=list)


def read(folder: Path, corpus: str) -> dict[int, Parts]:
    """Fold number -> clip names; raises `ProtocolError` when the folder holds no folds of the corpus."""
    table = folder / f"{corpus}.csv"
    if not table.is_file():
        raise ProtocolError(f"emobox: {table} does not exist; name a folder with it by --folds-from")
    folds: dict[int, Parts] = {}
    with table.open(newline="", encoding="utf-8") as handle:
        for row in csv.DictReader(handle):
            parts = folds.setdefault(int(row["fold"]), Parts())
            (parts.test if row["part"] == "test" else parts.train).append(row["clip"])
    return folds
