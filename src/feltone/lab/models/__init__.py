"""Networks by name: a table of sizes, and `build`."""

from collections.abc import Mapping
from dataclasses import replace

import torch

from feltone.errors import ConfigError
from feltone.lab.models.vit import ModelConfig, Output, PatchViT

__all__ = ["VARIANTS", "ModelConfig", "Output", "PatchViT", "build", "variant"]

_STUDENT = ModelConfig(depth=3, heads=5)
_TEACHER = ModelConfig(depth=6, heads=5, stem=True, position="coordinates")
_TEACHER_12 = replace(_TEACHER, depth=12, heads=12)

VARIANTS: Mapping[str, ModelConfig] = {
    "student": _STUDENT,
    "teacher": _TEACHER,  # Tables 1 and 3
    "teacher-12": _TEACHER_12,  # Table 2
    "teacher-nope": replace(_TEACHER, position="none"),  # Table 1, no positional encoding
    "teacher-sinusoidal": replace(_TEACHER, position="sinusoidal"),
    "student-16x16": replace(_STUDENT, patch=(16, 16)),
    "teacher-16x16": replace(_TEACHER, patch=(16, 16)),  # the attention figure's square patches
    "teacher-12-16x16": replace(_TEACHER_12, patch=(16, 16)),
}
"""Name -> sizes. Heads are 64 wide and the perceptron 768 (decided: SPEC §3; with these every row costs what the
paper says or less)."""


def variant(name: str) -> ModelConfig:
    """Sizes of a variant; raises `ConfigError` listing the known ones."""
    if name not in VARIANTS:
        raise ConfigError(f"variant '{name}' is not known; known: {', '.join(VARIANTS)}")
    return VARIANTS[name]


def build(config: ModelConfig, classes: int, seed: int) -> PatchViT:
    """A network with weights drawn from `seed`, leaving torch's own generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PatchViT(config, classes)
