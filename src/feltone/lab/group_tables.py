"""Scores by group of speakers and by confidence, as Markdown; computed by `groups.py`."""

from collections.abc import Iterable, Mapping
from typing import Any

from feltone.lab import tables
from feltone.lab.evaluate import name_of
from feltone.lab.evidence_tables import markdown

Found = Mapping[str, Any]
Place = tuple[str, str, str]  # corpus, protocol, model

NETWORKS = ("student", "teacher", "residual")
RECIPES = (  # the first of them stands for a model where several were run
    "paper",
    "everyday-after-crema-d",
    "everyday-large",
    "honest-after-crema-d",
    "honest-large",
    "compare-svm",
    "brief",
)
SHOWN = (*NETWORKS, "compare-svm")
COLUMNS = (0.0, 0.7, 0.9, 0.99, 0.999)  # of the thresholds that are computed


def by_group(found: Iterable[Found]) -> str:
    """Scores of the groups of every grouping, and the difference between the first and the last."""
    lines = [
        [*_names(one), _groups(one["groups"]), _between(one["difference"]["of"])]
        + [_gap(one["difference"][metric]) for metric in ("wa", "uar")]
        for one in chosen(found, SHOWN)
    ]
    if not lines:
        return tables.NOT_RUN
    head = ["corpus", "protocol", "model", "WA % of each group (speakers)", "difference", "WA", "UAR"]
    legend = (
        "In brackets 95 % intervals from resampled speakers (from clips where a group has fewer than four, *). "
        "Differences in percentage points; one whose interval holds 0 may be luck."
    )
    return f"{markdown(head, lines, left=5)}\n\n{legend}"


def by_confidence(found: Iterable[Found]) -> str:
    """Accuracy and coverage of the networks when only what is at least so confident is answered."""
    lines = []
    for one in chosen(found, NETWORKS):
        at = {point["threshold"]: point for point in one["points"]}
        lines.append([*_names(one), *(_answered(at[limit]) for limit in COLUMNS)])
    if not lines:
        return tables.NOT_RUN
    heads = ["every clip answered", *(f"at least {limit:g}" for limit in COLUMNS[1:])]
    legend = (
        "WA in per cent of those clips whose highest probability reaches the threshold, its 95 % interval from "
        "resampled speakers, and which share of all clips these are."
    )
    return f"{markdown(['corpus', 'protocol', 'model', *heads], lines, left=3)}\n\n{legend}"


def chosen(found: Iterable[Found], models: Iterable[str]) -> list[Found]:
    """Those of some models, each by one recipe under a corpus and protocol: the first of `RECIPES` there is."""
    of = [one for one in found if one["model"] in models and one["recipe"] in RECIPES]
    best: dict[Place, int] = {}
    for one in of:
        rank = RECIPES.index(one["recipe"])
        best[_place(one)] = min(rank, best.get(_place(one), rank))
    order = {model: k for k, model in enumerate(models)}
    kept = [one for one in of if RECIPES.index(one["recipe"]) == best[_place(one)]]
    return sorted(kept, key=lambda one: (one["corpus"], one["protocol"], order[one["model"]]))


def _place(one: Found) -> Place:
    return one["corpus"], one["protocol"], one["model"]


def _names(one: Found) -> list[str]:
    return [one["corpus"], one["protocol"], name_of(one["model"], one["recipe"])]


def _groups(groups: Mapping[str, Found]) -> str:
    return "; ".join(
        f"{name} ({told['speakers']}{'*' if told['resampled'][0] == 'clip' else ''}): "
        f"{_per_cent(told['wa']['value'])} {_interval(told['wa']['ci95'])}"
        for name, told in groups.items()
    )


def _between(names: list[str]) -> str:
    return " − ".join(names)


def _gap(told: Found) -> str:
    return f"{_signed(told['difference'])} [{', '.join(map(_signed, told['ci95']))}]"


def _answered(point: Found) -> str:
    share = f"{100 * point['coverage']:.0f} %"
    if point["wa"] is None:
        return f"– of {share}"
    limits = point["wa_ci95"]
    shown = _per_cent(point["wa"]) + ("" if None in limits else f" {_interval(limits)}")
    return f"{shown} of {share}"


def _per_cent(fraction: float) -> str:
    return f"{100 * fraction:.1f}"


def _interval(limits: Iterable[float]) -> str:
    return f"[{', '.join(map(_per_cent, limits))}]"


def _signed(fraction: float) -> str:
    return f"{100 * fraction:+.1f}".replace("-", "−")
