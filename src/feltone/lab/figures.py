"""The pictures of a report, as PNG bytes: confusion, calibration, runs, training.

Figures are made as objects, without pyplot and its global state. Colours are Okabe & Ito's, which colour-blind
readers can tell apart; nothing is said by colour alone.
"""

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

COLOURS = BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"
GREY = "#8C959F"
PALETTE = (*COLOURS, "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31", "#7570B3")  # Okabe & Ito's first
SHAPES = "osD^vP*Xh"  # of the marks of PALETTE's colours
LOOK = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": "#57606A",
    "ytick.color": "#57606A",
    "grid.color": "#E3E7EB",
    "legend.frameon": False,
    "text.parse_math": False,  # a label may hold a dollar sign
    "lines.markersize": 5.0,
    "lines.linewidth": 1.4,
}
MARKERS = "oDs^vPX*"  # one per seed
CHARACTERS_PER_INCH = 13  # of an 8.5-point line

History = Sequence[Mapping[str, Any]]
"""Rows of a run's `history.jsonl`: stage, epoch, loss, accuracy, ..."""


def confusion(counts: Sequence[Sequence[int]], labels: Sequence[str], title: str, warning: str | None = None) -> bytes:
    """Confusion matrix: a cell shows the share of its true class (also its colour) and the count.

    Args:
        counts: (classes, classes), rows truth.
        labels: names of the classes, in that order.
        title: of the figure; names model, corpus and protocol.
        warning: what must be read with it.
    """
    table = np.asarray(counts)
    share = table / np.maximum(table.sum(1, keepdims=True), 1)
    n = len(labels)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="equal")
        for row, column in np.ndindex(n, n):
            _cell(axes, row, column, int(table[row, column]), float(share[row, column]), table[row].sum() > 0)
        axes.set_xticks(range(n), labels, rotation=35 if n > 4 else 0, ha="right" if n > 4 else "center")
        axes.set_yticks(range(n), [f"{label}\n{total:,}" for label, total in zip(labels, table.sum(1), strict=True)])
        axes.set_xticks(np.arange(n - 1) + 0.5, minor=True)
        axes.set_yticks(np.arange(n - 1) + 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=1.5)
        axes.tick_params(which="both", length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("heard as")
        axes.set_ylabel("spoken as (clips)")

    side = max(3.6, 0.72 * n + 1.7)
    return png(draw, (side, side - 0.2), title, warning)


def calibration(bins: Sequence[Sequence[float]], error: float, title: str, warning: str | None = None) -> bytes:
    """Reliability diagram: accuracy against confidence, and below it how often each confidence occurs.

    Args:
        bins: count, mean confidence and accuracy of equally wide bins (`metrics.reliability`).
        error: expected calibration error.
        title: of the figure.
        warning: what must be read with it.
    """
    count, confidence, right = np.asarray(bins, np.float64).T
    used, width = count > 0, 1 / len(count)
    centre = (np.arange(len(count)) + 0.5) * width

    def draw(figure: Figure) -> None:
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        top.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1, label="perfect calibration")
        top.vlines(confidence[used], confidence[used], right[used], color=VERMILION, linewidth=2, label="gap")
        top.plot(confidence[used], right[used], "o-", color=BLUE, markersize=5, linewidth=1.2, label="accuracy")
        top.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="accuracy")
        top.text(0.97, 0.05, f"expected calibration\nerror {100 * error:.1f} %", ha="right")
        top.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2, columnspacing=1.2)
        bottom.bar(centre, count / count.sum(), width=0.9 * width, color=BLUE)
        bottom.set(xlabel="confidence (probability of the chosen label)", ylabel="share of clips")
        for axes in (top, bottom):
            percent(axes, "y")
            percent(axes, "x")

    return png(draw, (4.8, 5.4), title, warning)


def runs(
    per_run: Sequence[Sequence[float]],
    names: Sequence[str],
    seeds: Sequence[int],
    pooled: float,
    interval: Sequence[float],
    metric: str,
    title: str,
    warning: str | None = None,
) -> bytes:
    """One metric of every fold, one dot per seed, beside the pooled value and its interval.

    Args:
        per_run: seeds x folds.
        names: of the folds.
        seeds: in the order of `per_run`.
        pooled: the metric of all folds together.
        interval: its 95 % interval.
        metric: its name, for the axis.
        title: of the figure.
        warning: what must be read with it.
    """
    values = np.asarray(per_run)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axvspan(*interval, color=BLUE, alpha=0.12, linewidth=0, label="95 % interval")
        axes.axvline(pooled, color=BLUE, linewidth=1.2, label="all folds")
        for k, line in enumerate(values):
            label = f"seed {seeds[k]}"
            axes.plot(line, range(len(names)), MARKERS[k % len(MARKERS)], color=VERMILION, alpha=0.85, label=label)
        axes.set_yticks(range(len(names)), names)
        axes.grid(True, axis="y")
        axes.set(xlim=(max(min(values.min(), interval[0]) - 0.05, -0.01), 1.01), xlabel=metric)
        axes.set_ylim(len(names) - 0.4, -0.6)  # the first fold on top
        percent(axes, "x")
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0)

    return png(draw, (6.2, 1.4 + max(0.3 * len(names), 0.25 * (len(values) + 2))), title, warning)


def training(histories: Sequence[History], title: str, warning: str | None = None) -> bytes:
    """Loss and accuracy on the training samples per epoch; one column per stage, one thin line per run.

    Args:
        histories: one per run; stages stand in the order of the first.
        title: of the figure.
        warning: what must be read with it.
    """
    stages = list(dict.fromkeys(row["stage"] for history in histories for row in history))
    alpha = 1 if len(histories) == 1 else 0.6

    def draw(figure: Figure) -> None:
        grid = figure.subplots(2, len(stages), sharex="col", squeeze=False)
        for column, (stage, colour) in enumerate(zip(stages, COLOURS * len(stages), strict=False)):
            for axes, what in zip(grid[:, column], ("loss", "accuracy"), strict=True):
                for history in histories:
                    points = np.array(sorted((row["epoch"], row[what]) for row in history if row["stage"] == stage))
                    axes.plot(*points.reshape(-1, 2).T, "-o" if len(points) == 1 else "-", color=colour, alpha=alpha)
                axes.grid(True)
                axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
            grid[0, column].set_title(stage)
            grid[0, column].set_ylim(bottom=0)
            grid[1, column].set(ylim=(0, 1.02), xlabel="epoch")
            percent(grid[1, column], "y")
        grid[0, 0].set_ylabel("training loss")
        grid[1, 0].set_ylabel("training accuracy")

    return png(draw, (max(4.6, 3.0 * len(stages)), 4.6), title, warning)


def _cell(axes: Axes, row: int, column: int, count: int, share: float, occurs: bool) -> None:
    colour = "white" if share > 0.55 else "#1C2126" if count else GREY
    place: dict[str, Any] = {"ha": "center", "va": "center", "color": colour, "textcoords": "offset points"}
    if count:
        weight = "bold" if row == column else "normal"
        axes.annotate(f"{100 * share:.0f} %", (column, row), (0, 5), fontsize=9.5, fontweight=weight, **place)
        axes.annotate(f"{count:,}", (column, row), (0, -8), fontsize=7, **place)
    else:
        axes.annotate("0" if occurs else "–", (column, row), (0, 0), fontsize=8, **place)


def percent(axes: Axes, which: Literal["x", "y"]) -> None:
    """Let an axis count in per cent, with a grid behind what is drawn."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    axes.grid(True, axis=which)
    axes.set_axisbelow(True)


def style(k: int) -> tuple[str, str]:
    """Colour and marker of the k-th of many; past the palette the markers move on by one, so that pairs differ."""
    return PALETTE[k % len(PALETTE)], SHAPES[(k + k // len(PALETTE)) % len(SHAPES)]


def key(axes: Axes, name: str, look: tuple[str, str], face: str | None = None) -> Any:
    """An entry of a legend: a mark of this colour and shape, filled unless `face` says otherwise."""
    return axes.plot([], [], look[1], color=look[0], markerfacecolor=face or look[0], label=name)[0]


def png(draw: Any, inches: tuple[float, float], title: str, warning: str | None) -> bytes:
    """Draw on a fresh figure; the title stands above, the warning below, both wrapped to its width."""
    with rc_context(LOOK):
        figure = Figure(inches, dpi=200, layout="constrained")
        draw(figure)
        wide = int(CHARACTERS_PER_INCH * inches[0])
        figure.suptitle(textwrap.fill(title, int(0.78 * wide)), x=0.015, ha="left", fontsize=11, fontweight="bold")
        if warning:
            text = textwrap.fill(f"Warning: {warning}", wide)
            figure.supxlabel(text, x=0.015, ha="left", fontsize=8.5, color="#B34700", fontweight="normal")
        file = io.BytesIO()
        figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()
