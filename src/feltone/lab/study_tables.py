"""What was found about networks beyond their scores, as Markdown: attention, positions, robustness.

They read what `feltone figure … --numbers FILE` and `feltone robustness … --results FOLDER` wrote; without it a table
says that it was not run.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from feltone.lab import crossing, tables
from feltone.lab.evaluate import name_of
from feltone.lab.evidence_tables import DAGGER, markdown

WAYS = (
    ("over time", "fine", "time"),
    ("over the image", "fine", "image"),
    ("over time, both coarse", "coarse", "time"),
)


def attention(found: Mapping[str, Any] | None) -> str:
    """Mean correlation of the masks of perturbed clips with those of the originals, per patch shape."""
    if not found or not found["studies"]:
        return tables.NOT_RUN
    one = next(iter(found["studies"].values()))
    compared, versions = list(one["agreement"]["fine"]["time"]), list(one["padding"])
    lines = [
        [network, way, *(_mean(study["agreement"][smoothing][over][name]) for name in compared)]
        for way, smoothing, over in WAYS
        for network, study in found["studies"].items()
    ]
    padding = [
        [network, *(_mean(value) for value in study["padding"].values())] for network, study in found["studies"].items()
    ]
    legend = (
        "Mean over clips of the correlation of a version's mask with the original's, brought back in time by the shift "
        "or speed that was drawn, over the columns of the recording; in brackets the 95 % interval from resampled "
        "speakers. *Another clip*: the original of another one stretched onto this, which is what masks share without "
        "sharing a clip. *Both coarse*: smoothed to half a square patch, so that squares have no advantage. "
        "Most of these clips, in these very versions, were trained on."
    )
    below = "Attention that falls outside the recording, over its share of the columns (1: no preference)."
    return "\n\n".join(
        [
            markdown(["network", "", *compared], lines, left=2),
            legend,
            markdown(["network", *versions], padding, left=1),
            f"{below} {_of(found['studies'])}",
        ]
    )


def positions(found: Mapping[str, Any] | None) -> str:
    """What a probe reads of a token's place in its recording, before and after matching."""
    if not found:
        return tables.NOT_RUN
    lines = [[name, number(told["r2"]), number(told["r2_shuffled"])] for name, told in found["networks"].items()]
    legend = (
        "R² of ridge regression from a token that the last block reads to its distance from the recording's middle, "
        "judged on other clips; *shuffled*: with the columns of every recording in random order, where content tells "
        "nothing of place."
    )
    return f"{markdown(['network', 'R²', 'R², shuffled'], lines, left=1)}\n\n{legend} {_of(found['networks'])}"


def robustness(found: Sequence[Mapping[str, Any]]) -> str:
    """WA and UAR of every model under every condition, and how they differ from the clips as recorded."""
    return "\n\n".join(map(_robustness, found)) if found else tables.NOT_RUN


def _robustness(found: Mapping[str, Any]) -> str:
    heads = ["condition", "WA %", "UAR %", "WA, difference", "McNemar p"]
    lines = [
        [
            " ".join(filter(None, (condition["group"], condition["setting"]))),
            *(f"{100 * condition[name]['pooled']:.1f} {_percent(condition[name]['ci95'])}" for name in ("wa", "uar")),
            f"{100 * condition['wa']['difference']:+.1f} {_percent(condition['wa']['difference_ci95'], '+')}",
            "; ".join(f"{test['p']:.2g}" for test in condition["mcnemar"]),
        ]
        for condition in found["conditions"]
    ]
    unit, units = found["resampled"]
    of = f"**{name_of(found['model'], found['recipe'])}** on {found['corpus']}, protocol `{found['protocol']}`"
    folds = f"{len(found['folds_run'])} of {found['folds']} folds, {len(found['seeds'])} seeds"
    about = f"{of}: {found['n_test']:,} clips, {folds}; intervals from resampled {unit}s ({units})."
    left_out = f" {crossing.told(found['classes'])}" if "classes" in found else ""
    warning = f" **Warning:** {found['warning']}." if found["warning"] else ""
    return f"{about}{left_out}{warning}\n\n{markdown(heads, lines, left=1)}"


def _percent(interval: Sequence[float], sign: str = "") -> str:
    low, high = (f"{100 * value:{sign}.1f}" for value in interval)
    return f"[{low}, {high}]"


def _of(studied: Mapping[str, Mapping[str, Any]]) -> str:
    """What was looked at, from the first of several studies of the same clips."""
    one = next(iter(studied.values()))
    recipes = ", ".join(dict.fromkeys(study["recipe"] for study in studied.values()))
    told = f"{one['clips']:,} clips of {one['corpus']}; recipes: {recipes}."
    leaky = any(study.get("protocol") == "paper" for study in studied.values())
    return f"{told} They were trained under `paper` †.\n\n{DAGGER}" if leaky else told


def _mean(found: Mapping[str, Any]) -> str:
    if found["mean"] is None:
        return "–"
    low, high = found["ci95"]
    return f"{number(found['mean'])} [{number(low)}, {number(high)}]"


def number(value: float) -> str:
    """Two decimals, without the minus of a zero."""
    return f"{round(value, 2) + 0:.2f}"
