"""Cost and accuracy of every model that has a row, and of those the paper published, as points of a plane."""

from collections.abc import Iterable, Mapping
from typing import Any

from feltone.errors import ConfigError
from feltone.lab.evaluate import name_of
from feltone.lab.protocols import PROTOCOLS
from feltone.lab.published import LISTENERS, PAPER_TABLES
from feltone.lab.tasks import OF_PARTS


def panels(rows: Iterable[Mapping[str, Any]], corpus: str) -> dict[str, list[dict[str, Any]]]:
    """Points by protocol, in the order of `PROTOCOLS`: name, macs, wa, ci95, published.

    The paper's points stand under `paper` alone, where they were reached. A model whose multiply-adds cannot be
    counted is left out, as are those of recipes that say what a part is worth.

    Raises:
        ConfigError: no row and no published figure of that corpus.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["corpus"] == corpus and row["macs"] and row["recipe"] not in OF_PARTS:
            point = {"name": name_of(row["model"], row["recipe"]), "macs": row["macs"], "published": False}
            found.setdefault(row["protocol"], []).append(point | {"wa": row["wa"]["mean"], "ci95": row["wa"]["ci95"]})
    for line in PAPER_TABLES:
        if line.macs and corpus in line.wa:
            point = {"name": name_of(line.model, line.recipe), "macs": line.macs, "published": True}
            found.setdefault("paper", []).append(point | {"wa": line.wa[corpus] / 100, "ci95": None})
    if not found:
        raise ConfigError(f"corpus '{corpus}': nothing is known of its accuracy; make a row with feltone evaluate")
    return {name: found[name] for name in PROTOCOLS if name in found}


def listeners(corpus: str) -> tuple[str, float] | None:
    """How often people name the intended emotion of a clip, where that is published."""
    return ("listeners, per vote", LISTENERS.votes_right) if corpus == LISTENERS.corpus else None
