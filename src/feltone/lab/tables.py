"""The rows under `results/accuracy/` as Markdown, and the places in a text where such tables stand.

No number of the README or of RESULTS.md is typed: it stands between `<!-- table:NAME -->` and `<!-- /table -->`, and
`render` writes it there.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from feltone.errors import ConfigError
from feltone.lab.evaluate import METRICS
from feltone.lab.protocols import PAPER_WARNING

NOT_RUN = "not run"
MARKS = "†‡§¶"  # of warnings; the first is that of protocol `paper`
MARKER = re.compile(r"<!-- table:(?P<name>[\w.-]+) -->\n(?P<content>.*?)<!-- /table -->", re.DOTALL)

HEADERS = {
    "corpus": "---",
    "protocol": "---",
    "model": "---",
    "recipe": "---",
    "WA %": "--:",
    "UAR %": "--:",
    "macro-F1 %": "--:",
    "folds × seeds": "--:",
    "shared speakers %": "--:",
    "audio": "---",
}
LEGEND = (
    "Mean over folds and seeds ± standard deviation (none for a single run); in brackets the 95 % interval of the "
    "pooled predictions, from 2,000 resamples of whole speakers where they are known."
)


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """The rows of a folder, by file name; raises `ConfigError` where a file is not a row."""
    rows = []
    for file in sorted(folder.glob("*.json")):
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ConfigError(f"{file}: is not JSON ({error})") from error
        if not isinstance(found, dict) or not {"corpus", "protocol", "model"} <= set(found):
            raise ConfigError(f"{file}: is not a row of results; corpus, protocol and model must be named")
        rows.append(found)
    return rows


def markdown_table(rows: Iterable[Mapping[str, Any]]) -> str:
    """A table with one line per row, and below it the warnings it carries. What a row lacks is shown as 'not run'."""
    rows = list(rows)
    carried = [_warning(row) for row in rows]
    warnings = sorted(set(carried) - {None}, key=lambda one: (one != PAPER_WARNING, carried.index(one)))
    first = PAPER_WARNING not in warnings  # the dagger is kept for `paper`
    mark = {None: ""} | {one: MARKS[k % len(MARKS)] * (1 + k // len(MARKS)) for k, one in enumerate(warnings, first)}
    lines = [
        list(HEADERS),
        list(HEADERS.values()),
        *(_cells(row, mark[one]) for row, one in zip(rows, carried, strict=True)),
    ]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join([table, *(f"{mark[one]} **Warning:** {one}." for one in warnings), LEGEND]) + "\n"


def spread(values: Mapping[str, Any] | None) -> str:
    """One metric in per cent.

    >>> spread({"mean": 0.832, "sd": 0.014, "ci95": [0.8, 0.86], "per_run": [[0.822, 0.842]]})
    '83.2 ± 1.4 [80.0, 86.0]'
    """
    if not values or values.get("mean") is None:
        return NOT_RUN
    runs = sum(len(line) for line in values.get("per_run", []))
    shown = f"{100 * values['mean']:.1f}" + (f" ± {100 * values['sd']:.1f}" if runs > 1 else "")
    low, high = values.get("ci95") or (None, None)
    return shown if low is None or high is None else f"{shown} [{100 * low:.1f}, {100 * high:.1f}]"


def runs(row: Mapping[str, Any]) -> str:
    """Which part of a protocol was run.

    >>> runs({"folds": 5, "folds_run": [1, 2, 3], "seeds": [0]})
    '3 of 5 × 1'
    """
    if "folds" not in row or "seeds" not in row:
        return NOT_RUN
    run, folds = len(row.get("folds_run", range(row["folds"]))), row["folds"]
    return f"{folds if run == folds else f'{run} of {folds}'} × {len(row['seeds'])}"


def render(text: str, tables: Mapping[str, str]) -> str:
    """The text with every table between its markers brought up to date; the same again changes nothing.

    Raises:
        ConfigError: a marker names a table that is not given, or is not closed.
    """

    def replacement(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in tables:
            raise ConfigError(f"marker 'table:{name}': there is no such table; known: {', '.join(tables)}")
        if "<!-- table:" in match["content"]:
            raise ConfigError(f"marker 'table:{name}': is not closed; write <!-- /table --> below the table")
        return f"<!-- table:{name} -->\n{tables[name].strip()}\n<!-- /table -->"

    rendered, count = MARKER.subn(replacement, text)
    opened = len(re.findall(r"<!-- table:", text))
    if count != opened:
        raise ConfigError(f"{opened - count} of {opened} table markers are not closed, or not alone on their line")
    return rendered


def _cells(row: Mapping[str, Any], mark: str) -> list[str]:
    shared = (row.get("leakage") or {}).get("same_speaker", NOT_RUN if "leakage" not in row else None)
    cells: Sequence[str] = [
        row["corpus"],
        f"{row['protocol']} {mark}".strip(),
        row["model"],
        row.get("recipe", NOT_RUN),
        *(spread(row.get(metric)) for metric in METRICS),
        runs(row),
        shared if isinstance(shared, str) else "unknown" if shared is None else f"{100 * shared:.0f}",
        row.get("audio", NOT_RUN),
    ]
    return [cell.replace("|", "\\|").replace("\n", " ") for cell in cells]


def _warning(row: Mapping[str, Any]) -> str | None:
    """The row's own warning; that of protocol `paper` even where the row forgot it."""
    return row.get("warning") or (PAPER_WARNING if row["protocol"] == "paper" else None)
