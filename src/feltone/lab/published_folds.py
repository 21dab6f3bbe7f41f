"""Reading EmoBox's published folds, which are not ours to ship.

Two forms are read: a folder with one `<corpus>.csv` (columns fold, part, clip, label), and a clone of EmoBox
(`data/<corpus>/fold_<k>/<corpus>_<part>_fold_<k>.jsonl`). Clips are named as the corpus' files are; a clone spells
its keys with hyphens throughout (`savee-JE-n23`), so the name is taken from the recording's path instead. EmoBox's
own labels are not used.
"""

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from feltone.errors import ProtocolError
from feltone.lab.corpora import CORPORA

PARTS = ("train", "test")


@dataclass
class Parts:
    """Clip names of one fold."""

    train: list[str] = field(default_factory=list)
    test: list[str] = field(default_factory=list)


def read(folder: Path, corpus: str) -> dict[int, Parts]:
    """Fold number -> clip names, in the published order.

    Raises:
        ProtocolError: the folder holds no folds of the corpus, or a file of them is damaged.
    """
    table, clone = folder / f"{corpus}.csv", _in_clone(folder, corpus)
    if table.is_file():
        rows = _from_table(table)
    elif clone.is_dir():
        rows = _from_clone(clone)
    else:
        raise ProtocolError(
            f"emobox: neither {table} nor {clone} exists; name a folder of either kind (a clone of "
            f"github.com/emo-box/EmoBox will do) by --folds-from"
        )
    folds: dict[int, Parts] = {}
    for number, part, clip in rows:
        getattr(folds.setdefault(number, Parts()), part).append(clip)
    if not folds:
        raise ProtocolError(f"emobox: {table if table.is_file() else clone} holds no folds; fetch it again")
    return folds


def _in_clone(folder: Path, corpus: str) -> Path:
    known = CORPORA.get(corpus)
    return folder / "data" / ((known.emobox if known else None) or corpus)


def _from_table(table: Path) -> Iterator[tuple[int, str, str]]:
    with table.open(newline="", encoding="utf-8") as handle:
        reader = csv.DictReader(handle)
        for row in reader:
            fold, part, clip = row.get("fold"), row.get("part"), row.get("clip")
            if not (fold and fold.isdecimal() and part in PARTS and clip):
                raise ProtocolError(
                    f"emobox: {table}, line {reader.line_num}: needs a fold number, a part (train or test) and a clip"
                )
            yield int(fold), part, clip


def _from_clone(clone: Path) -> Iterator[tuple[int, str, str]]:
    # EmoBox keeps older copies beside (`_fold1.jsonl`); the current ones have the underscore.
    for path in sorted(clone.glob("fold_*/*_fold_*.jsonl")):
        named = re.fullmatch(r".+_(train|test)_fold_(\d+)", path.stem)
        if not named:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                recording = json.loads(line)["wav"]
            except (ValueError, KeyError, TypeError):
                raise ProtocolError(f"emobox: {path}, line {number}: not a JSON object with 'wav'") from None
            yield int(named[2]), named[1], PurePosixPath(recording).stem
