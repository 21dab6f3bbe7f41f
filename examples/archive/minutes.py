"""Emotion per speaker and minute, from what `feltone annotate` wrote: DuckDB asks, Matplotlib draws.

    python minutes.py OUT turns.csv minutes.png

OUT is the folder that was annotated into, turns.csv the table that was annotated, with a column `speaker`.
"""

import sys

import duckdb
from matplotlib.figure import Figure

QUESTION = """
SELECT speaker, CAST(floor(start / 60) AS INTEGER) AS minute, label, count(*) AS turns
FROM read_parquet($dataset) JOIN read_csv($turns) USING (path, start)
WHERE error IS NULL
GROUP BY ALL ORDER BY ALL
"""
COLOURS = {
    "anger": "#D55E00",
    "happiness": "#F0E442",
    "fear": "#CC79A7",
    "disgust": "#009E73",
    "sadness": "#0072B2",
    "boredom": "#56B4E9",
    "neutral": "#8C959F",
}  # what is not among them is drawn in black


def main(dataset: str, turns: str, picture: str) -> None:
    """Ask, and draw a panel per speaker."""
    rows = duckdb.execute(QUESTION, {"dataset": f"{dataset}/annotations/*.parquet", "turns": turns}).fetchall()
    speakers, minutes, labels = (sorted({row[k] for row in rows}) for k in (0, 1, 2))
    counted = {tuple(row[:3]): row[3] for row in rows}
    figure = Figure((7, 1.2 + 1.5 * len(speakers)), layout="constrained")
    panels = figure.subplots(len(speakers), sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, speaker in zip(panels, speakers, strict=True):
        below = [0.0] * len(minutes)
        for label in labels:
            found = [counted.get((speaker, minute, label), 0) for minute in minutes]
            whole = [sum(counted.get((speaker, minute, name), 0) for name in labels) or 1 for minute in minutes]
            shares = [100 * n / of for n, of in zip(found, whole, strict=True)]
            axes.bar(minutes, shares, 0.9, below, color=COLOURS.get(label, "black"), label=label)
            below = [a + b for a, b in zip(below, shares, strict=True)]
        axes.set(ylabel="% of turns", ylim=(0, 100), xticks=minutes)
        axes.set_title(speaker, loc="left", fontsize=10)
    panels[-1].set_xlabel("minute")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
    figure.savefig(picture, dpi=120)


if __name__ == "__main__":
    main(*sys.argv[1:4])
