"""What every ingredient of recipe `honest`, and of its student, is worth: rows of `feltone reproduce ablation`."""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from feltone.lab import tables
from feltone.lab.evidence_tables import TITLES, markdown
from feltone.lab.recipes import ABLATIONS

Row = Mapping[str, Any]
METRICS = ("wa", "uar")

HONEST = {
    "honest-after-crema-d": "`honest` after CREMA-D",
    "honest": "nothing learnt before",
    **{
        f"honest-{name}-after-crema-d": f"without {name[3:]}" if name.startswith("no-") else f"with {name}"
        for name in ABLATIONS
    },
    "everyday-after-crema-d": "`everyday`: in rooms, noise and company, and CREMA-D for longer before",
}
"""A recipe, and what has one thing more or less -> what its row is called."""

STUDENT = {
    "honest-student": "student taught as the paper does, from random weights",
    "honest-student-unmatched": "by its teacher's answers, no feature matched",
    "honest-student-untaught": "by the labels alone",
}
"""The same of the student."""


def table(rows: Sequence[Row]) -> str:
    """What every ingredient of `honest` is worth: the recipe without it, or with one more, on the same folds."""
    return _side_by_side([row for row in rows if row["model"] == "residual"], HONEST)


def table_of_teaching(rows: Sequence[Row]) -> str:
    """What it is worth to a student of the paper's kind to match a teacher's feature, and to be taught at all."""
    return _side_by_side([row for row in rows if row["model"] == "student"], STUDENT)


def _side_by_side(rows: Sequence[Row], named: Mapping[str, str]) -> str:
    """A line per recipe that was run; the first is what the others differ from."""
    of = {recipe: {row["corpus"]: row for row in rows if _is_of(row, recipe)} for recipe in named}
    first, *others = named
    whole = of[first]
    lines = [[named[first], *(_points_of(row, None) for row in whole.values())]] + [
        [named[recipe], *(_points_of(of[recipe].get(corpus), row) for corpus, row in whole.items())]
        for recipe in others
        if of[recipe]
    ]
    if len(lines) == 1:
        return tables.NOT_RUN
    legend = (
        "WA / UAR %, protocol `emobox`; in brackets the difference from the recipe as it is, in points, on the same "
        "folds with the seeds that both have. Nothing was chosen by these figures."
    )
    return f"{markdown(['', *(TITLES[corpus] for corpus in whole)], lines, left=1)}\n\n{legend}"


def _is_of(row: Row, recipe: str) -> bool:
    return (row["protocol"], row["recipe"]) == ("emobox", recipe)


def _points_of(row: Row | None, beside: Row | None) -> str:
    """Scores of a row, and how they differ from another one's on the same folds and seeds."""
    if beside is None:
        assert row, "what is compared with was run"
        shown = " / ".join(f"{100 * row[metric]['mean']:.1f}" for metric in METRICS)
        part = f" ({len(row['folds_run'])} of {row['folds']} folds)" if len(row["folds_run"]) < row["folds"] else ""
        return f"{shown}{part}"
    seeds = sorted(set(row["seeds"]) & set(beside["seeds"])) if row else []
    if row is None or not seeds or row["folds_run"] != beside["folds_run"]:
        return tables.NOT_RUN
    own, other = ([_mean(one, metric, seeds) for metric in METRICS] for one in (row, beside))
    shown = " / ".join(f"{100 * value:.1f}" for value in own)
    apart = " / ".join(f"{100 * (a - b):+.1f}" for a, b in zip(own, other, strict=True))
    return f"{shown} ({apart})".replace("-", "−")


def _mean(row: Row, metric: str, seeds: Sequence[int]) -> float:
    """Of all folds of these seeds."""
    return float(mean(value for seed in seeds for value in row[metric]["per_run"][row["seeds"].index(seed)]))
