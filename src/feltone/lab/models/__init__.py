"""Networks by name: a table of sizes, and `build`."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import torch

from feltone.errors import ConfigError
from feltone.lab.models import ast, joined, residual, septr
from feltone.lab.models.ast import AST, ASTConfig
from feltone.lab.models.joined import Joined, JoinedConfig
from feltone.lab.models.network import RANDOM, Network, NetworkConfig, Output
from feltone.lab.models.residual import Residual, ResidualConfig
from feltone.lab.models.septr import SepTr, SepTrConfig
from feltone.lab.models.vit import ModelConfig, PatchViT

__all__ = [
    "FAMILIES",
    "RANDOM",
    "VARIANTS",
    "ASTConfig",
    "Joined",
    "JoinedConfig",
    "ModelConfig",
    "Network",
    "NetworkConfig",
    "Output",
    "PatchViT",
    "Residual",
    "ResidualConfig",
    "SepTrConfig",
    "build",
    "config_from",
    "empty",
    "variant",
]


class Family(NamedTuple):
    """Networks of one architecture."""

    config: Callable[..., NetworkConfig]
    network: Callable[[Any, int], Network]


OURS = "vit"
FAMILIES: Mapping[str, Family] = {
    OURS: Family(ModelConfig, PatchViT),
    septr.FAMILY: Family(SepTrConfig, SepTr),
    ast.FAMILY: Family(ASTConfig, AST),
    residual.FAMILY: Family(ResidualConfig, Residual),
    joined.FAMILY: Family(JoinedConfig, lambda config, classes: Joined(config, classes, empty)),
}
"""Name in a description of sizes (`family`; ours goes without saying) -> sizes and network."""

_STUDENT = ModelConfig(depth=3, heads=5)
_TEACHER = ModelConfig(depth=6, heads=5, stem=True, position="coordinates")
_TEACHER_12 = replace(_TEACHER, depth=12, heads=12)

VARIANTS: Mapping[str, NetworkConfig] = {
    "student": _STUDENT,
    "teacher": _TEACHER,  # Tables 1 and 3
    "teacher-12": _TEACHER_12,  # Table 2
    "teacher-nope": replace(_TEACHER, position="none"),  # Table 1, no positional encoding
    "teacher-sinusoidal": replace(_TEACHER, position="sinusoidal"),
    "student-16x16": replace(_STUDENT, patch=(16, 16)),
    "teacher-16x16": replace(_TEACHER, patch=(16, 16)),  # the attention figure's square patches
    "teacher-12-16x16": replace(_TEACHER_12, patch=(16, 16)),
    "student-relative": replace(_STUDENT, relative=True, mlp_width=736),  # for honest protocols, with its teachers:
    "residual": ResidualConfig(),
    "residual-ice": ResidualConfig(coordinates=True),
    "residual-x3": JoinedConfig(ResidualConfig(), 3),  # of three seeds (`joining.py`)
    "septr": SepTrConfig(),  # Table 3
    "ast": ASTConfig(),  # Table 2; needs feltone[rivals], as all of its family
    "ast-overlap": ASTConfig(stride=10),  # as its authors have it
}
"""Name -> sizes. Heads of ours are 64 wide and the perceptron 768 (decided: SPEC §3; with these every row costs what
the paper says or less). `variant` also knows `ast:WEIGHTS`."""


def variant(name: str) -> NetworkConfig:
    """Sizes of a variant, `NAME` or, where the family begins from checkpoints, `NAME:WEIGHTS`.

    Raises:
        ConfigError: there is no such variant, or it knows no checkpoints; the message lists what there is.
    """
    base, _, weights = name.partition(":")
    if base not in VARIANTS:
        raise ConfigError(f"variant '{base}' is not known; known: {', '.join(VARIANTS)}")
    config = VARIANTS[base]
    if not weights:
        return config
    if not isinstance(config, ASTConfig):
        known = ", ".join(key for key, value in VARIANTS.items() if isinstance(value, ASTConfig))
        raise ConfigError(f"variant '{base}' does not begin from a checkpoint; those that can: {known}")
    return replace(config, weights=weights)


def config_from(told: Mapping[str, Any]) -> NetworkConfig:
    """Inverse of `to_dict`, also after JSON; raises `ConfigError` for a family that is not known."""
    values = {key: _value(value) for key, value in told.items()}
    family = str(values.pop("family", OURS))
    if family not in FAMILIES:
        raise ConfigError(f"network family '{family}' is not known; known: {', '.join(FAMILIES)}")
    return FAMILIES[family].config(**values)


def _value(told: Any) -> Any:
    """A size as it was before JSON; sizes of a member are sizes themselves."""
    return tuple(told) if isinstance(told, list) else config_from(told) if isinstance(told, dict) else told


def empty(config: NetworkConfig, classes: int) -> Network:
    """A network of that size whose weights are yet to be loaded."""
    (make,) = (family.network for family in FAMILIES.values() if family.config is type(config))
    return make(config, classes)


def build(config: NetworkConfig, classes: int, seed: int) -> Network:
    """A network as training begins with it, leaving torch's own generator as it was.

    Its weights are drawn from `seed`; where `config.weights` names a checkpoint, what that holds is loaded over them.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = empty(config, classes)
    network.begin()
    return network
