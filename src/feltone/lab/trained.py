"""A trained network, to look into or to go on from: that of a run, with what the run says of itself, or a model's.

RUN/seed-0/fold-1/settings.json, RUN/seed-0/fold-1/<stage>.safetensors (`training/run.py`)
MODEL/artifact.json, MODEL/model.safetensors
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray

from feltone.artifact import WEIGHTS, Artifact
from feltone.errors import ArtifactError, ConfigError
from feltone.features import FeatureConfig
from feltone.lab.corpora.clip import manifest_digest
from feltone.lab.models import Network, NetworkConfig, Output, PatchViT, build, config_from, empty, variant
from feltone.lab.protocols import Fold
from feltone.labels import LabelSet

BATCH = 16
SETTINGS = "settings.json"  # by which the run of one fold is known


@dataclass(frozen=True, eq=False)
class Trained:
    """A network and how it came to be."""

    network: Network
    stage: str
    variant: str
    recipe: str
    labels: LabelSet
    features: FeatureConfig
    protocol: str
    fold: int
    seed: int
    manifest: str  # digest of the clips it was trained on

    @property
    def vit(self) -> PatchViT:
        """The network, where it was asked for as one of patches."""
        assert isinstance(self.network, PatchViT), "read with `of_patches`"
        return self.network

    def is_of(self, fold: Fold) -> bool:
        """Whether a fold's training part is what the network was trained on."""
        return self.manifest == manifest_digest({sample.clip for sample in fold.train})

    @torch.inference_mode()
    def outputs(self, images: NDArray[np.floating]) -> Iterator[Output]:
        """What the network says about images (n, mel, columns), a batch at a time."""
        for start in range(0, len(images), BATCH):
            yield self.network(torch.from_numpy(np.asarray(images[start : start + BATCH], np.float32)))


def read(run: Path, stage: str, *, initial: bool = False, of_patches: bool = True) -> Trained:
    """The network of one stage of a run.

    Args:
        run: folder of one fold, RUN/seed-S/fold-F.
        stage: its name, as the recipe has it.
        initial: the weights that stage would begin from, had it no other stage to begin from.
        of_patches: whether its class token is to be looked at, which other networks have not.

    Raises:
        ConfigError: no such run or stage, a stage that is not done, or another network than was asked for.
    """
    told = _settings(run)
    stages = {one["name"]: one for one in told["recipe"]["stages"]}
    if stage not in stages:
        raise ConfigError(f"{run}: has no stage '{stage}'; its stages: {', '.join(stages)}")
    learner = stages[stage]["learner"]
    network = build(variant(learner), len(told["labels"]), told["seed"])
    if of_patches and not isinstance(network, PatchViT):
        raise ConfigError(f"{run}: '{learner}' has no class token that attends to patches; choose a run of ours")
    if not initial:
        weights = run / f"{stage}.safetensors"
        if not weights.is_file():
            raise ConfigError(f"{weights}: is not there yet; finish that stage with feltone train")
        network.load_state_dict(safetensors.torch.load_file(weights))
    return Trained(
        network.eval(),
        stage=stage,
        variant=learner,
        recipe=told["recipe"]["name"],
        labels=LabelSet(tuple(told["labels"])),
        features=FeatureConfig.from_dict(told["recipe"]["features"]),
        protocol=told["protocol"],
        fold=told["fold"],
        seed=told["seed"],
        manifest=told["manifest"],
    )


def sizes(sealed: Artifact) -> NetworkConfig:
    """Sizes of an artefact's network."""
    told = dict(sealed.description["model"])
    for name in ("variant", "patches"):  # said for those who read only, and no sizes of their own
        told.pop(name, None)
    return config_from(told)


def network_of(sealed: Artifact) -> Network:
    """The PyTorch network of an artefact, with its weights, ready to be asked."""
    network, file = empty(sizes(sealed), len(sealed.labels)), sealed.folder / WEIGHTS
    try:
        network.load_state_dict(safetensors.torch.load_file(file))
    except (safetensors.SafetensorError, RuntimeError) as fault:
        reason = str(fault).splitlines()[-1].strip()
        raise ArtifactError(f"{file}: not the weights of this network ({reason}); obtain the model again") from None
    return network.eval()


def last_stage(run: Path) -> str:
    """Name of the last stage of a run's recipe: its student."""
    return str(_settings(run)["recipe"]["stages"][-1]["name"])


def _settings(run: Path) -> dict[str, Any]:
    file = run / SETTINGS
    if not file.is_file():
        raise ConfigError(f"{run}: is not the run of one fold; name a folder such as RUN/seed-0/fold-1")
    told: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return told
