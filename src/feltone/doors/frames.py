"""Recordings listed in pandas or audformat -> a table of what was recognised in each, with the same index.

from feltone.doors.frames import predict_table

predict_table(frame)                                  # a column of paths; start and end in seconds, where there
predict_table(db["emotion"].index, root=db.root)      # audformat: files, or segments of files
"""

from pathlib import Path

import pandas as pd

from feltone.doors.segments import columns, columns_said, recognise, span_of
from feltone.recognizer import Recognizer, from_model


def predict_table(
    data: pd.DataFrame | pd.Series | pd.Index,
    recognize: Recognizer | None = None,
    *,
    root: str | Path = ".",
    column: str | None = None,
) -> pd.DataFrame:
    """Recognise every row; a recording that many rows name is decoded once.

    Args:
        data: an index of audformat (`file`, or `file`, `start` and `end`), or a frame or series with one; else a frame
            with a column of paths and, for segments, `start` and `end` in seconds or as time spans; else paths.
        recognize: made by `feltone.load`, best with `threads=1`; None for the default one.
        root: that relative paths are relative to.
        column: of a frame, that holds the paths; None for the index, or for one of the names that a manifest knows.

    Returns:
        A frame with the index of `data` and the columns `label`, `unsure`, one per class (probabilities), `seconds` and
        `error`. A row that cannot be recognised is missing in all of them but `error`, which says why.

    Raises:
        ConfigError: no column of paths, or several.
    """
    recognize = recognize or from_model(threads=1)
    index = data if isinstance(data, pd.Index) else data.index
    listed = _listed(data, index, column)
    path, start, end = columns_said("the frame", list(listed.columns), column)
    empty = pd.Series([None] * len(listed), dtype=object)
    fields = [listed[name] if name else empty for name in (path, start, end)]
    told = (field.astype(object).where(field.notna().to_numpy(), None) for field in fields)
    asked = [span_of(Path(root), f"row {number}", *row) for number, row in enumerate(zip(*told, strict=True), 1)]
    found = columns(recognise(recognize, asked), recognize.labels)
    dtypes = dict.fromkeys(found, "float64") | {"label": "string", "unsure": "boolean", "error": "string"}
    return pd.DataFrame(found, index).astype(dtypes)


def _listed(data: pd.DataFrame | pd.Series | pd.Index, index: pd.Index, column: str | None) -> pd.DataFrame:
    """A frame with a column of paths and, for segments, their times."""
    if index.names[0] == "file" and column is None:
        return index.to_frame(index=False)
    return data if isinstance(data, pd.DataFrame) else pd.DataFrame({"path": list(data)})
