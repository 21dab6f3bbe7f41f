"""What every ingredient of recipe `honest` is worth, as Markdown: rows of `feltone reproduce ablation` side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

from feltone.lab import tables
from feltone.lab.evidence_tables import TITLES, markdown
from feltone.lab.recipes import ABLATIONS

Row = Mapping[str, Any]
WHOLE = "honest-after-crema-d"


def table(rows: Sequence[Row]) -> str:
    """What every ingredient of `honest` is worth: the recipe without it, or with one more, on the same folds."""
    whole = {row["corpus"]: row for row in rows if _is_of(row, WHOLE)}
    named = {"honest": "nothing learnt before"} | {
        f"honest-{name}-after-crema-d": name.replace("no-", "without ").replace("mixing", "with mixing")
        for name in ABLATIONS
    }
    lines = [["`honest` after CREMA-D", *(_points_of(row, None) for row in whole.values())]]
    for recipe, words in named.items():
        found = {row["corpus"]: row for row in rows if _is_of(row, recipe)}
        if found:
            lines.append([words, *(_points_of(found.get(corpus), row) for corpus, row in whole.items())])
    if len(lines) == 1:
        return tables.NOT_RUN
    legend = (
        "WA / UAR %, protocol `emobox`; in brackets the difference from the recipe as it is, in points, on the same "
        "folds and seeds. Nothing was chosen by these figures."
    )
    return f"{markdown(['', *(TITLES[corpus] for corpus in whole)], lines, left=1)}\n\n{legend}"


def _is_of(row: Row, recipe: str) -> bool:
    return (row["protocol"], row["model"], row["recipe"]) == ("emobox", "residual", recipe)


def _points_of(row: Row | None, beside: Row | None) -> str:
    if row is None or (beside and (row["folds_run"], row["seeds"]) != (beside["folds_run"], beside["seeds"])):
        return tables.NOT_RUN
    shown = " / ".join(f"{100 * row[metric]['mean']:.1f}" for metric in ("wa", "uar"))
    if beside is None:
        return shown
    apart = " / ".join(f"{100 * (row[m]['mean'] - beside[m]['mean']):+.1f}" for m in ("wa", "uar"))
    return f"{shown} ({apart})".replace("-", "−")
