"""What the service says about its model: everything a caller needs to judge an answer."""

from typing import Any

from feltone.artifact import DESCRIPTION, digest
from feltone.recognizer import Recognizer


def described(recognize: Recognizer) -> dict[str, Any]:
    """The answer of /v1/model; what an artefact does not say is null."""
    artifact = recognize.artifact
    origin: dict[str, Any] = artifact.description.get("origin") or {}
    protocol, recipe = origin.get("protocol"), origin.get("recipe")
    card = artifact.folder / "README.md"
    return {
        "name": artifact.name,
        "labels": list(artifact.labels.names),
        "features": artifact.features.to_dict(),
        "precision": recognize.precision,
        "parameters": artifact.description.get("parameters"),
        "corpus": origin.get("corpus"),
        "recipe": recipe.get("name") if isinstance(recipe, dict) else recipe,
        "protocol": protocol,
        "scores": artifact.description.get("scores"),
        "warning": artifact.description.get("warning") or _warning(protocol),
        "licence": (origin.get("source") or {}).get("licence"),
        "card": card.read_text(encoding="utf-8") if card.is_file() else None,
        "sha256": digest(artifact.folder / DESCRIPTION),
    }


def _warning(protocol: str | None) -> str | None:
    if protocol == "paper":
        from feltone.lab.protocols import PAPER_WARNING  # plain Python: needs no torch

        return PAPER_WARNING
    if protocol == "all":
        return "trained on every clip of its corpus: nothing is left to test it on; its card has the scores of others"
    return None
