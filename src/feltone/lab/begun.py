"""Training that begins from a finished model: its weights come along, and with them everything it has heard.

    recipe + model --begun_from--> a recipe whose networks of the model's kind begin from its weights
    the model's ledger --> what comes before every fold, for its settings, its audit and the ledger of what comes out

What a model has heard cannot be tested: a fold of one of its corpora is refused (`before.preceded`).
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from feltone.artifact import WEIGHTS, Artifact
from feltone.errors import ArtifactError, ConfigError
from feltone.files import in_a_name
from feltone.lab import ledger
from feltone.lab.corpora.clip import Clip
from feltone.lab.models import variant
from feltone.lab.trained import network_of, sizes
from feltone.lab.training.before import Known
from feltone.lab.training.stages import BEFORE

if TYPE_CHECKING:
    from feltone.lab.recipes import Recipe


@dataclass(frozen=True)
class Begun:
    """The model that a recipe's networks begin from."""

    model: Artifact

    @cached_property
    def heard(self) -> tuple[Clip, ...]:
        """Every clip it was trained on, without the recordings."""
        return tuple(ledger.read(self.model.folder))

    @property
    def settings(self) -> dict[str, Any]:
        """Which model it is, as plain values."""
        corpora = sorted({clip.corpus for clip in self.heard})
        return {"model": self.model.name, "weights": self.model.description["files"][WEIGHTS], "corpora": corpora}

    @property
    def origin(self) -> dict[str, Any]:
        """Where it comes from itself."""
        return dict(self.model.description["origin"])

    def network(self) -> Known:
        """Its network, and the labels that it tells apart."""
        return Known(network_of(self.model), self.model.labels)


def begun_from(recipe: "Recipe", model: Artifact) -> "Recipe":
    """A recipe whose networks of a model's kind begin from its weights.

    Raises:
        ConfigError: the recipe trains no such network, or from other images.
        ArtifactError: the model has no weights to go on from, or does not say where it comes from.
    """
    if WEIGHTS not in model.description["files"] or not {"model", "origin"} <= set(model.description):
        raise ArtifactError(f"{model.folder}: holds no {WEIGHTS} and origin to go on from; choose another model")
    begins = [stage for stage in recipe.stages if stage.start is None and variant(stage.learner) == sizes(model)]
    if not begins:
        trained = ", ".join(dict.fromkeys(stage.learner for stage in recipe.stages))
        kind = model.description["model"].get("variant", "network of another size")
        agree = "choose recipe and model so that they agree"
        raise ConfigError(f"recipe '{recipe.name}' trains {trained}, and {model.name} is a {kind}; {agree}")
    if recipe.features != model.features:
        raise ConfigError(f"recipe '{recipe.name}' hears by another front end than {model.name}; choose another model")
    start = f"{BEFORE}{model.name}"
    stages = tuple(replace(stage, start=start) if stage in begins else stage for stage in recipe.stages)
    return replace(recipe, name=f"{recipe.name}-from-{in_a_name(model.name)}", stages=stages, begun=Begun(model))
