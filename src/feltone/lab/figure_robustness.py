"""The picture of `robustness.py`: WA and UAR under every condition beside the clean clips, as PNG bytes."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from feltone.lab.figures import BLUE, GREEN, GREY, VERMILION, percent, png

PANELS = (
    (("duration",), ("white noise", "babble"), ("reverberation",)),
    (("coding",), ("level",)),
)
"""Rows of panels, each the groups of conditions in it."""
STYLES = ((BLUE, "o", -0.12), (VERMILION, "s", 0.12))  # of the groups of a panel: colour, marker, offset


def draw(found: Mapping[str, Any]) -> bytes:
    """What `robustness.document` says, as a figure."""
    by_group: dict[str, list[Mapping[str, Any]]] = {}
    for condition in found["conditions"]:
        by_group.setdefault(condition["group"], []).append(condition)
    (clean,) = by_group.pop("")

    def paint(figure: Figure) -> None:
        lines: Any = figure.subfigures(len(PANELS), 1)
        for rows, line in zip(PANELS, lines, strict=True):
            widths = [1 + len(by_group[panel[0]]) for panel in rows]
            grid = line.subplots(1, len(rows), sharey=True, width_ratios=widths, squeeze=False)[0]
            for axes, panel in zip(grid, rows, strict=True):
                _panel(axes, clean, {group: by_group[group] for group in panel})
                if axes is grid[0] or len(panel) > 1:
                    axes.legend(loc="best", fontsize=7.5, ncols=2, handlelength=1.4, columnspacing=1)

    unit, units = found["resampled"]
    many = f"{found['n_test']:,} clips" + (f", {units} speakers" if unit == "speaker" else "")
    title = f"{found['model']} ({found['recipe']}) on {found['corpus']}, protocol {found['protocol']}: {many}"
    return png(paint, (8.6, 6.4), title, found["warning"])


def _panel(axes: Axes, clean: Mapping[str, Any], groups: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    low, high = clean["wa"]["ci95"]
    axes.axhspan(low, high, color=GREY, alpha=0.15, linewidth=0)
    axes.axhline(clean["wa"]["pooled"], color=GREY, linewidth=1, label="WA, as recorded")
    for (group, conditions), (colour, marker, offset) in zip(groups.items(), STYLES, strict=False):
        at = [k + (offset if len(groups) > 1 else 0) for k in range(len(conditions))]
        middle = [condition["wa"]["pooled"] for condition in conditions]
        spread = [[abs(c["wa"]["pooled"] - c["wa"]["ci95"][side]) for c in conditions] for side in (0, 1)]
        axes.errorbar(
            at, middle, spread, fmt=marker, color=colour, capsize=2, linewidth=1.2, label=_label(group, groups)
        )
        uar = [condition["uar"]["pooled"] for condition in conditions]
        axes.plot(at, uar, "_", color=GREEN, markersize=11, markeredgewidth=1.6, label=None if offset > 0 else "UAR")
    settings = [condition["setting"] for condition in next(iter(groups.values()))]
    axes.set_xticks(range(len(settings)), settings, rotation=28, ha="right")
    axes.set(xlim=(-0.5, len(settings) - 0.5), ylim=(0, 1))
    axes.set_title(" and ".join(groups))
    percent(axes, "y")


def _label(group: str, groups: Collection[str]) -> str:
    return f"WA, {group}" if len(groups) > 1 else "WA"
