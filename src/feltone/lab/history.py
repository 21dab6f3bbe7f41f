"""A run's `history.jsonl`, as training writes it (`training/folder.py`) and plans and reports read it."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any


def read(file: Path) -> list[dict[str, Any]]:
    """Its rows (stage, epoch, loss, accuracy, ...), but for one cut short, as earlier versions could leave it."""
    rows = []
    for line in file.read_text(encoding="utf-8").splitlines():
        with suppress(ValueError):
            rows.append(dict(json.loads(line)))
    return rows
