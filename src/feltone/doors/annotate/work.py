"""The work on a shard, alike whichever engine has it done: hear its recordings, judge what was heard, keep the answers.

    Listener.hear(entries)  -> pieces    reading, cutting and features (`listening.py`)
    answer(piece)           -> a file    the student over its images; DIR/shards/0000012.00000.parquet

Pieces of a shard are cut alike whenever it is done, so that doing it twice writes the same files again. A shard is done
when `DIR/shards/0000012.json` says of how many pieces it is.
"""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pyarrow
from pyarrow import parquet

from feltone.artifact import Artifact
from feltone.doors.annotate.listening import Begin, Listener
from feltone.doors.annotate.pieces import Piece, Row, Tally, added
from feltone.doors.annotate.places import Folder
from feltone.doors.annotate.plan import Plan, entries_of
from feltone.recognizer import Array, Recognizer, from_model
from feltone.timeline import SILENCE

SHARDS = "shards"


def recognizer_of(plan: Plan) -> Recognizer:
    """The recogniser that a plan asks for, for one core."""
    return from_model(plan.settings["model"], precision=plan.settings["precision"], threads=1)


class Worker:
    """Does shards of a plan from beginning to end, in one process."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._out, self._recognize = plan, Folder(plan.out), recognizer_of(plan)
        self._listener = Listener(plan, self._recognize.features)

    def work(self, shard: int, skipped: Mapping[int, str], begin: Begin) -> Tally:
        """Do a shard; its tally. For the other arguments see `Listener.hear`."""
        pieces = self._listener.hear(shard, entries_of(self._plan, shard), skipped, begin)
        return added(*(answer(self._recognize, self._out, piece) for piece in pieces))


def answer(recognize: Recognizer, out: Folder, piece: Piece) -> Tally:
    """Judge a piece and keep the answers among the results; its tally."""
    with piece.timed("student"):
        images = np.stack(piece.images) if piece.images else np.zeros((0, 1, 1), np.float32)
        chances = recognize.many(images)
    with piece.timed("keep"):
        table = table_of(recognize, piece.rows, chances)
        out.write(piece_file(piece.shard, piece.number), lambda file: parquet.write_table(table, file))
    labels = Counter(label for label in table["label"].to_pylist() if label)
    piece.count("pieces")
    piece.count("rows", len(piece.rows))
    piece.count("errors", len(piece.rows) - labels.total())
    return added(piece.tally, {f"label {name}": count for name, count in labels.items()})


def piece_file(shard: int, number: int) -> str:
    """Where the answers to a piece are kept until all shards are done."""
    return f"{SHARDS}/{shard:07d}.{number:05d}.parquet"


def schema_of(labels: list[str]) -> pyarrow.Schema:
    """The columns of the results: path, start, end, label, one per class, confidence, unsure, model, error."""
    text, number = pyarrow.string(), pyarrow.float32()
    columns = [("path", text), ("start", pyarrow.float64()), ("end", pyarrow.float64()), ("label", text)]
    columns += [(label, number) for label in labels]
    judged = [("confidence", number), ("unsure", pyarrow.bool_())]
    return pyarrow.schema([*columns, *judged, ("model", text), ("error", text)])


def table_of(recognize: Recognizer, rows: list[Row], chances: Array) -> pyarrow.Table:
    """Rows with what was recognised in them; of silence and errors there are no probabilities.

    Args:
        recognize: for its labels and its name.
        rows: `Row.image` is a row of `chances`.
        chances: probabilities, shape (images, classes).
    """
    names, model = list(recognize.labels), model_id(recognize.artifact, recognize.precision)
    judged = np.array([row.image is not None for row in rows], bool)
    spread = np.zeros((len(rows), len(names)), np.float32)
    spread[judged] = chances[[row.image for row in rows if row.image is not None]]
    best, highest = spread.argmax(axis=1), spread.max(axis=1, initial=0)
    labels = [names[best[k]] if judged[k] else None if row.error else SILENCE for k, row in enumerate(rows)]
    columns = [
        pyarrow.array([row.path for row in rows], pyarrow.string()),
        pyarrow.array([row.start for row in rows], pyarrow.float64()),
        pyarrow.array([row.end for row in rows], pyarrow.float64()),
        pyarrow.array(labels, pyarrow.string()),
        *(pyarrow.array(spread[:, k], pyarrow.float32(), mask=~judged) for k in range(len(names))),
        pyarrow.array(highest, pyarrow.float32(), mask=~judged),
        pyarrow.array(highest < recognize.artifact.unsure_below, pyarrow.bool_(), mask=~judged),
        pyarrow.array([model] * len(rows), pyarrow.string()),
        pyarrow.array([row.error for row in rows], pyarrow.string()),
    ]
    return pyarrow.table(columns, schema=schema_of(names))


def model_id(artifact: Artifact, precision: str) -> str:
    """A model's name and the first digits of the SHA-256 of the graph that is run."""
    sha256: str = artifact.description["files"][artifact.graph(precision).name]
    return f"{artifact.name}@{sha256[:12]}"
