"""The picture of `cost_plane.py`: accuracy against multiply-adds, a line of panels per corpus, as PNG bytes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from feltone.lab.figures import GREY, key, percent, png, style

Points = Sequence[Mapping[str, Any]]
CLOSE = 0.07  # of WA: a line's name stands below it where the next line is nearer than that
ROOM = 2e4  # the axis of cost spans at least this, so that names of lines stand beside the points


def draw(
    panels: Mapping[str, Mapping[str, Points]],
    levels: Mapping[str, Mapping[str, Mapping[str, float]]],
    audio: Mapping[str, Sequence[str]],
    warning: str | None,
) -> bytes:
    """Accuracy against multiply-adds; a model has one look in all panels.

    Args:
        panels: corpus -> protocol -> points: `name`, `macs`, `wa`, `ci95` (None where not known) and `published`.
        levels: corpus -> protocol -> what else stands in that panel, at any cost: name -> WA.
        audio: corpus -> what it was of the rows here, said where it is not the original.
        warning: what must be read with it.
    """
    columns = max(map(len, panels.values()))
    points = [point for of_corpus in panels.values() for of_panel in of_corpus.values() for point in of_panel]
    names = sorted({point["name"] for point in points})
    cheapest, dearest = (bound(point["macs"] for point in points) for bound in (min, max))

    def paint(figure: Figure) -> None:
        grid = figure.subplots(len(panels), columns, sharex=True, sharey="row", squeeze=False)
        for line, (corpus, of_corpus) in zip(grid, panels.items(), strict=True):
            lowest = min(_heights(of_corpus, levels[corpus]))
            for axes in line:
                axes.set_axis_off()
            for column, (protocol, of_panel) in enumerate(of_corpus.items()):
                axes = line[column]
                axes.set_axis_on()
                axes.set_title(f"{corpus}, {protocol}")
                _levels(axes, levels[corpus][protocol])
                for point in of_panel:
                    _point(axes, point, names.index(point["name"]))
                axes.set_xscale("log")
                axes.set(xlim=(cheapest / 1.8, max(1.8 * dearest, ROOM * cheapest)), ylim=(max(0, lowest - 0.04), 1.01))
                axes.xaxis.set_major_locator(LogLocator(100))
                axes.xaxis.set_major_formatter(FuncFormatter(lambda macs, _: f"{macs / 1e9:g} G"))
                axes.xaxis.set_minor_formatter(NullFormatter())
                axes.tick_params(labelbottom=True, labelleft=column == 0)
                axes.grid(True, axis="x")
                percent(axes, "y")
                axes.set_xlabel("multiply–adds")
            other = [name for name in audio[corpus] if name != "original"]
            line[0].set_ylabel(f"WA (audio: {', '.join(other)})" if other else "WA")
        handles = [key(grid[0, 0], name, style(k)) for k, name in enumerate(names)]
        if any(point["published"] for point in points):
            handles.append(key(grid[0, 0], "hollow: published", (GREY, "o"), "none"))
        figure.legend(handles=handles, loc="outside right upper")

    size = (2.3 * columns + 3.4, 2.7 * len(panels) + 1)
    return png(paint, size, f"Cost and accuracy on {', '.join(panels)}", warning)


def _heights(panels: Mapping[str, Points], levels: Mapping[str, Mapping[str, float]]) -> Iterator[float]:
    """Everything that is drawn over a corpus."""
    for protocol, points in panels.items():
        yield from levels[protocol].values()
        for point in points:
            yield min(point["wa"], *(point["ci95"] or ()), 1)


def _levels(axes: Axes, levels: Mapping[str, float]) -> None:
    """Dashed lines with their names."""
    for name, wa in levels.items():
        below = any(0 < other - wa < CLOSE for other in levels.values())
        place: Any = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "ha": "right"}
        place |= {"va": "top" if below else "bottom"}
        axes.axhline(wa, color=GREY, linestyle="--", linewidth=1)
        axes.annotate(name, (0.98, wa), (0, -2 if below else 2), fontsize=7, color="#57606A", **place)


def _point(axes: Axes, point: Mapping[str, Any], k: int) -> None:
    colour, marker = style(k)
    if point["ci95"]:
        axes.vlines(point["macs"], *point["ci95"], color=colour, linewidth=1.2, alpha=0.7)
    face = "none" if point["published"] else colour
    axes.plot(point["macs"], point["wa"], marker, color=colour, markerfacecolor=face, markersize=7)
