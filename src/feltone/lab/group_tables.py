"""Scores by group of speakers and by confidence, as Markdown; computed by `groups.py`."""

from collections.abc import Iterable, Mapping
from typing import Any

from feltone.lab import tables
from feltone.lab.evidence_tables import markdown

Found = Mapping[str, Any]

NETWORKS = ("student", "teacher", "residual")
RECIPES = ("paper", "honest-after-crema-d", "honest-large", "compare-svm")
SHOWN = (*NETWORKS, "compare-svm")
COLUMNS = (0.0, 0.7, 0.9, 0.99, 0.999)  # of the thresholds that are computed


def by_group(found: Iterable[Found]) -> str:
    """Scores of the groups of every grouping, and the difference between the first and the last."""
    lines = [
        [one["corpus"], one["protocol"], one["model"], _groups(one["groups"]), _between(one["difference"]["of"])]
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
        lines.append([one["corpus"], one["protocol"], one["model"], *(_answered(at[limit]) for limit in COLUMNS)])
    if not lines:
        return tables.NOT_RUN
    heads = ["every clip answered", *(f"at least {limit:g}" for limit in COLUMNS[1:])]
    legend = (
        "WA in per cent of those clips whose highest probability reaches the threshold, its 95 % interval from "
        "resampled speakers, and which share of all clips these are."
    )
    return f"{markdown(['corpus', 'protocol', 'model', *heads], lines, left=3)}\n\n{legend}"


def chosen(found: Iterable[Found], models: Iterable[str]) -> list[Found]:
    """Those of some models, by `RECIPES`; by `brief` only where the paper's was not run, corpus by corpus."""
    of = [one for one in found if one["model"] in models]
    full = {_place(one) for one in of if one["recipe"] != "brief"}
    kept = [one for one in of if one["recipe"] in RECIPES or _brief_alone(one, full)]
    order = {model: k for k, model in enumerate(models)}
    return sorted(kept, key=lambda one: (one["corpus"], one["protocol"], order[one["model"]]))


def _place(one: Found) -> tuple[str, str, str]:
    return one["corpus"], one["protocol"], one["model"]


def _brief_alone(one: Found, full: set[tuple[str, str, str]]) -> bool:
    return one["recipe"] == "brief" and _place(one) not in full


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
