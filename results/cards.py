"""The cards of the shipped models: what `artifact.json` says of each, and how networks of its recipe score."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from feltone import artifact
from feltone.lab import card, crossing, group_tables, tables
from feltone.lab.experiment import model_name

HONEST = ("clean", "emobox", "speaker")  # what a card must tell

Row = Mapping[str, Any]


def cards(rows: Sequence[Row], groups: Iterable[Row]) -> dict[Path, str]:
    """Card of every shipped model, by file.

    Args:
        rows: of results.
        groups: scores by group of speakers (`groups.evidence`).
    """
    folders = sorted(file.parent for file in artifact.SHIPPED.glob(f"*/{artifact.DESCRIPTION}"))
    grouped = list(groups)
    return {folder / "README.md": written(folder, rows, grouped) for folder in folders}


def written(folder: Path, rows: Sequence[Row], groups: Sequence[Row]) -> str:
    """The card of one of them."""
    description = artifact.load(folder, verify=False).description
    recipe, corpus = description["origin"]["recipe"]["name"], description["origin"]["corpus"]
    model = description["name"].removesuffix(model_name("", corpus))
    of_recipe = [row for row in rows if (row["recipe"], row["corpus"], row["model"]) == (recipe, corpus, model)]
    if not of_recipe:
        return card.write(description, None, [])
    absent = [name for name in HONEST if name not in {row["protocol"] for row in of_recipe}]
    parts = [
        "This model was trained on all clips of the corpus, so nothing is left to test it on. These are the scores of "
        f"{model} networks of the same recipe, each tested on what it had not been trained on:",
        tables.markdown_table(of_recipe).strip(),
        *([f"Not measured yet with this recipe: {', '.join(absent)}."] if absent else []),
    ]
    itself = (recipe, crossing.PROTOCOL, description["name"])
    if crossed := [row for row in rows if (row["recipe"], row["protocol"], row["model"]) == itself]:
        parts += ["The model itself, on corpora that it has heard nothing of:", tables.markdown_table(crossed).strip()]
    if by_group := [one for one in groups if (one["recipe"], one["corpus"], one["model"]) == (recipe, corpus, model)]:
        parts += ["Who is understood how well:", group_tables.by_group(by_group)]
    return card.write(description, "\n\n".join(parts), [*of_recipe, *crossed])
