"""The pictures behind the evidence, as PNG bytes: attention masks, positions, features, sureness.

Looks and colours are those of `figures.py`; what is drawn is computed elsewhere (`attention_study.py`, `positions.py`,
`feature_map.py`), so that every picture can be drawn from plain values.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from feltone.lab.figures import GREY, PALETTE, SHAPES, key, percent, png, style

Floats = NDArray[np.floating]

MASK, IMAGE = "inferno", "Greys"


def attention(
    images: Floats,
    masks: Mapping[str, Floats],
    agreements: Mapping[str, Sequence[float | None]],
    versions: Sequence[str],
    bounds: Sequence[tuple[float, float]],
    seconds: float,
    title: str,
    studies: Mapping[str, Mapping[str, Any]] | None = None,
) -> bytes:
    """Spectrograms of a clip's versions, below each the mask of every network; with studies, how well they agree.

    Args:
        images: what the networks saw, (versions, mel, columns).
        masks: network -> its masks, of the same shape.
        agreements: network -> correlation of each version's mask with the original's; None is not written.
        versions: names of the columns.
        bounds: seconds at which the recording begins and ends in each version.
        seconds: that the window is long.
        title: of the figure.
        studies: network -> what `attention_study.study` says of a whole corpus.
    """
    rows = {"log-Mel": images, **masks}

    def draw(figure: Figure) -> None:
        parts: Any = figure.subfigures(2, 1, height_ratios=[1.5 * len(rows), 2.3]) if studies else (figure, None)
        top, bottom = parts
        grid = top.subplots(len(rows), len(versions), sharex=True, sharey=True, squeeze=False)
        for line, (name, pictures) in enumerate(rows.items()):
            for column, axes in enumerate(grid[line]):
                _picture(axes, pictures[column], bounds[column], seconds, IMAGE if line == 0 else MASK)
                r = agreements[name][column] if name in agreements else None
                if r is not None:
                    axes.set_title(f"r = {r:.2f}", fontsize=8, loc="right", fontweight="normal", pad=2)
            grid[line, 0].set_ylabel(name)
        for column, version in enumerate(versions):
            grid[0, column].set_title(version)
            grid[-1, column].set_xlabel("seconds")
        if studies:
            _agreement(bottom, studies)

    return png(draw, (8.6, 1.45 * len(rows) + (2.6 if studies else 0.4)), title, None)


def positions(similarities: Mapping[str, Floats], notes: Mapping[str, str], seconds: float, title: str) -> bytes:
    """Cosine similarity between the tokens of every two positions, one matrix per network.

    Args:
        similarities: network -> (positions, positions), values in [-1, 1].
        notes: network -> what stands below its matrix.
        seconds: that the window is long.
        title: of the figure.
    """

    def draw(figure: Figure) -> None:
        grid = figure.subplots(1, len(similarities), sharey=True, squeeze=False)[0]
        for axes, (name, matrix) in zip(grid, similarities.items(), strict=True):
            drawn = axes.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1, origin="lower", extent=(0, seconds, 0, seconds))
            axes.set_title(name, fontsize=9)
            axes.set_yticks(axes.get_xticks())
            axes.set_xlabel(f"seconds\n{notes.get(name, '')}")
        grid[0].set_ylabel("seconds")
        figure.colorbar(drawn, ax=list(grid), label="cosine similarity", shrink=0.75)

    return png(draw, (2.4 * len(similarities) + 1.0, 3.5), title, None)


def features(
    points: Mapping[str, Floats],
    truth: NDArray[np.integer],
    labels: Sequence[str],
    axes_names: Sequence[str],
    title: str,
    warning: str | None = None,
) -> bytes:
    """Features of the same clips by several networks in two dimensions, one panel each on the same axes.

    Args:
        points: network -> (clips, 2).
        truth: class numbers, (clips,).
        labels: names of the classes; each has its colour and its marker.
        axes_names: what the two dimensions are.
        title: of the figure.
        warning: what must be read with it.
    """

    def draw(figure: Figure) -> None:
        grid = figure.subplots(1, len(points), sharex=True, sharey=True, squeeze=False)[0]
        for axes, (name, where) in zip(grid, points.items(), strict=True):
            for k, label in enumerate(labels):
                colour, marker = style(k)
                size = 44 if marker in "*P" else 24
                look = {"color": colour, "marker": marker, "s": size, "linewidths": 0.4, "edgecolors": "white"}
                axes.scatter(*where[truth == k].T, label=label, **look)
            axes.set_title(name)
            axes.set_xlabel(axes_names[0])
            axes.grid(True)
            axes.set_axisbelow(True)
        grid[0].set_ylabel(axes_names[1])
        grid[-1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.02), handletextpad=0.2)

    return png(draw, (3.5 * len(points) + 1.4, 3.9), title, warning)


def coverage(panels: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]], title: str) -> bytes:
    """Accuracy of the clips that a network is surest of, against the share of all clips that these are.

    Args:
        panels: what a panel shows -> network -> points of `groups.above`, by rising threshold.
        title: of the figure.
    """
    names = sorted({name for networks in panels.values() for name in networks})
    columns = min(len(panels), 4)
    lines = -(-len(panels) // columns)

    def draw(figure: Figure) -> None:
        grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        for axes, (panel, networks) in zip(grid, panels.items(), strict=False):
            for name, points in networks.items():
                _covered(axes, points, names.index(name))
            axes.set(xlim=(1.03, 0.05), ylim=(0, 1.02), xlabel="the surest clips", xticks=[1, 0.8, 0.6, 0.4, 0.2])
            axes.set_title(panel, fontsize=9)
            percent(axes, "x")
            percent(axes, "y")
            axes.grid(True)
            if axes in grid[::columns]:
                axes.set_ylabel("WA among them")
        for axes in grid[max(0, len(panels) - columns) : len(panels)]:  # nothing is drawn below these
            axes.tick_params(labelbottom=True)
        handles = [key(grid[0], name, style(k)) for k, name in enumerate(names)]
        grid[columns - 1].legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.02))

    return png(draw, (2.5 * columns + 1.3, 2.9 * lines + 0.5), title, None)


def _covered(axes: Axes, points: Sequence[Mapping[str, Any]], k: int) -> None:
    """One network's curve, with its interval as a band where there is one."""
    colour, marker = style(k)
    known = [(point["coverage"], *point["wa_ci95"]) for point in points if None not in point["wa_ci95"]]
    axes.fill_between(*np.array(known).reshape(-1, 3).T, color=colour, alpha=0.12, linewidth=0)
    axes.plot(*zip(*((point["coverage"], point["wa"]) for point in points), strict=True), f"-{marker}", color=colour)


def _picture(axes: Axes, values: Floats, bounds: tuple[float, float], seconds: float, colours: str) -> None:
    axes.imshow(values, cmap=colours, vmin=0, vmax=1, origin="lower", aspect="auto", extent=(0, seconds, 0, 1))
    for bound in bounds:
        if 0 < bound < seconds:
            axes.axvline(bound, color="#56B4E9", linewidth=1.2, linestyle=(0, (4, 2)))
    axes.set_yticks([])


def _agreement(part: Any, studies: Mapping[str, Mapping[str, Any]]) -> None:
    """Agreement over time, over the image and with equal coarseness, and what padding gets; a mark per network."""
    panels: tuple[tuple[str, str, Callable[[Any], Mapping[str, Any]]], ...] = (
        ("masks over time", "", lambda study: study["agreement"]["fine"]["time"]),
        ("over the image", "mean correlation with the original's mask", lambda s: s["agreement"]["fine"]["image"]),
        ("over time, coarse", "", lambda study: study["agreement"]["coarse"]["time"]),
        ("padding", "attention ÷ columns", lambda study: study["padding"]),
    )
    grid = part.subplots(1, len(panels))
    for column, (axes, (title, unit, chosen)) in enumerate(zip(grid, panels, strict=True)):
        names = list(chosen(next(iter(studies.values()))))
        for k, (network, study) in enumerate(studies.items()):
            for line, version in enumerate(names):
                _interval(axes, chosen(study)[version], line + 0.3 * k - 0.15 * (len(studies) - 1), k, network)
        padding = chosen is panels[-1][2]
        axes.set_yticks(range(len(names)), names if padding or column == 0 else [])
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.grid(True, axis="x")
        axes.axvline(1 if padding else 0, color=GREY, linewidth=1)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel(unit)
        if not padding:
            axes.sharex(grid[0])
    part.legend(*_once(grid[0]), loc="outside upper left", ncols=len(studies))


def _interval(axes: Axes, found: Mapping[str, Any], at: float, k: int, label: str) -> None:
    """A mean with its interval as a line, on the k-th network's colour and marker."""
    if found["mean"] is not None:
        axes.hlines(at, *found["ci95"], color=PALETTE[k], linewidth=1.4)
        axes.plot(found["mean"], at, SHAPES[k], color=PALETTE[k], label=label)


def _once(axes: Axes) -> tuple[list[Any], list[str]]:
    """Handles and labels of a legend, each label once."""
    handles, labels = axes.get_legend_handles_labels()
    by_label = dict(zip(labels, handles, strict=True))
    return list(by_label.values()), list(by_label)
