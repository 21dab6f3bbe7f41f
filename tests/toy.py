"""A training small enough for a test: a tiny network on two classes told apart by where their energy lies."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from feltone.lab import models, recipes
from feltone.lab.models import NetworkConfig, build
from feltone.lab.recipes import Recipe
from feltone.lab.training import loop
from feltone.lab.training.learner import Tick
from feltone.lab.training.loop import fit
from feltone.lab.training.machine import Machine
from feltone.lab.training.resident import TrainingData
from feltone.lab.training.stages import Stage
from feltone_benchmarks import tiny
from feltone_benchmarks.tiny import TINY

PLAIN = Machine(precision="32-true", compiled=False, threads=1)
QUICKLY = ["--accelerator", "cpu", "--no-compile", "--precision", "32", "--threads", "1"]
"""The same, asked of a command."""


def know_tiny(
    patch: pytest.MonkeyPatch,
    networks: Mapping[str, NetworkConfig] | None = None,
    made: Mapping[str, Callable[[], Recipe]] | None = None,
) -> None:
    """Let this process know the tiny networks and recipes of `feltone_benchmarks.tiny`, and some more."""
    patch.setattr(models, "VARIANTS", dict(models.VARIANTS) | tiny.NETWORKS | dict(networks or {}))
    patch.setattr(recipes, "RECIPES", dict(recipes.RECIPES) | tiny.RECIPES | dict(made or {}))


def know_small(patch: pytest.MonkeyPatch, cache: Path) -> None:
    """And recipe `small`, which can learn from other corpora first, and where to keep what comes of it."""
    know_tiny(patch, made={"small": lambda: replace(tiny.tiny_teacher(), name="small")})
    patch.setattr(recipes, "LEARNS_FIRST", {"small": "tiny-teacher"})
    patch.setenv("FELTONE_CACHE", str(cache))


def toy_data(count: int = 24, feature: int | None = None) -> TrainingData:
    """Two classes told apart by where their energy lies."""
    rng = np.random.default_rng(0)
    targets = np.arange(count) % 2
    images = rng.random((count, 128, 128)) * 0.2
    images[targets == 0, :40] += 0.6
    images[targets == 1, 80:] += 0.6
    taught = None if feature is None else torch.randn(count, feature, generator=torch.Generator().manual_seed(0))
    return TrainingData(images.astype(np.float16), targets.astype(np.int64), taught)


def run_fit(
    stage: Stage, checkpoint: Path, data: TrainingData | None = None, config: NetworkConfig = TINY, **options
) -> torch.nn.Module:
    network = build(config, 2, seed=0)
    fabric = PLAIN.fabric()
    settings = {"fabric": fabric, "seed": 0, "compiled": False, "checkpoint": checkpoint} | options
    fit(stage, network, data or toy_data(), **settings)
    return network


def same_weights(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


CLASSIFY = Stage("toy", "student", {"cross_entropy": 1.0}, epochs=4, learning_rate=1e-3)


class StoppedError(Exception):
    """A run that its observer ended."""


def stopped_and_continued(
    stage: Stage, folder: Path, stop_after: int, monkeypatch: pytest.MonkeyPatch, config: NetworkConfig = TINY
) -> torch.nn.Module:
    """The network of a run that was stopped after so many steps, each with its checkpoint, and begun again."""
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(loop, "TICK_SECONDS", 0.0)
    seen = []

    def stop(tick: Tick) -> None:
        seen.append(tick)
        if len(seen) == stop_after:
            raise StoppedError

    with pytest.raises(StoppedError):
        run_fit(stage, folder, config=config, on_tick=stop)
    return run_fit(stage, folder, config=config, on_tick=seen.append)
