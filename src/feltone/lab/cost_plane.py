"""Cost and accuracy of every model that has a row, and of those the paper published, as points of a plane."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from feltone.errors import ConfigError
from feltone.lab.evaluate import name_of
from feltone.lab.protocols import PROTOCOLS
from feltone.lab.published import EMOBOX, LISTENERS, PAPER_TABLES
from feltone.lab.tasks import OF_PARTS


def of_corpora(rows: Sequence[Mapping[str, Any]], corpora: Sequence[str]) -> dict[str, Any]:
    """`panels` and `levels`, each by corpus, of the same protocols, and what its rows' audio is: original, ….

    Raises:
        ConfigError: no row and no published figure of one of them.
    """
    points = {corpus: panels(rows, corpus) for corpus in corpora}
    lines = {corpus: levels(rows, corpus) for corpus in corpora}
    return {
        "panels": points,
        "levels": {corpus: {name: lines[corpus][name] for name in points[corpus]} for corpus in corpora},
        "audio": {corpus: sorted({row["audio"] for row in rows if row["corpus"] == corpus}) for corpus in corpora},
    }


def panels(rows: Iterable[Mapping[str, Any]], corpus: str) -> dict[str, list[dict[str, Any]]]:
    """Points by protocol, in the order of `PROTOCOLS`: name, macs, wa, ci95, published.

    The paper's points stand under `paper` alone, where they were reached. A model whose multiply-adds cannot be
    counted is left out, as are those of recipes that say what a part is worth and rows that lack a fold.

    Raises:
        ConfigError: no row and no published figure of that corpus.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["macs"] is not None and row["recipe"] not in OF_PARTS and _is_whole(row, corpus):
            point = {"name": name_of(row["model"], row["recipe"]), "macs": row["macs"], "published": False}
            found.setdefault(row["protocol"], []).append(point | {"wa": row["wa"]["mean"], "ci95": row["wa"]["ci95"]})
    for line in PAPER_TABLES:
        if line.macs and corpus in line.wa:
            point = {"name": name_of(line.model, line.recipe), "macs": line.macs, "published": True}
            found.setdefault("paper", []).append(point | {"wa": line.wa[corpus] / 100, "ci95": None})
    if not found:
        raise ConfigError(f"corpus '{corpus}': nothing is known of its accuracy; make a row with feltone evaluate")
    return {name: found[name] for name in PROTOCOLS if name in found}


def levels(rows: Iterable[Mapping[str, Any]], corpus: str) -> dict[str, dict[str, float]]:
    """What is to be beaten and has no place on the axis of cost, by protocol: name -> WA.

    These are models whose multiply-adds cannot be counted, under EmoBox's folds the smallest of its frozen speech
    models, and how often people name the intended emotion, where that is published.
    """
    found: dict[str, dict[str, float]] = {name: {} for name in PROTOCOLS}
    for row in rows:
        if row["macs"] is None and row["protocol"] in found and _is_whole(row, corpus):
            found[row["protocol"]][row["model"]] = row["wa"]["mean"]
    frozen = EMOBOX[0]
    if corpus in frozen.scores:
        found["emobox"][frozen.model] = frozen.scores[corpus][0] / 100
    if corpus == LISTENERS.corpus:
        for lines in found.values():
            lines["listeners, per vote"] = LISTENERS.votes_right
    return found


def _is_whole(row: Mapping[str, Any], corpus: str) -> bool:
    """Whether it is of that corpus and of all its folds."""
    return bool(row["corpus"] == corpus and len(row["folds_run"]) == row["folds"])
