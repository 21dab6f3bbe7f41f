"""The test part of a fold, put to an artefact or straight to a network that has just been trained.

An artefact is asked through the path that a user's recognition takes. Whoever trains many networks for their scores
alone asks them directly, in fp32: exporting takes longer than testing, and every export is held to its network anyway.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from feltone.artifact import Artifact
from feltone.features import FeatureConfig
from feltone.lab import crossing, dataset, ledger, protocols
from feltone.lab.metrics import Floats
from feltone.lab.models import Network
from feltone.lab.predictions import Predictions, key_of
from feltone.lab.protocols import Fold, Leakage
from feltone.labels import LabelSet
from feltone.recognizer import Recognizer, softmax

BATCH = 16

Ask = Callable[[NDArray[np.float32]], NDArray[np.floating]]
"""Images (B, mel bands, columns) -> probabilities (B, classes)."""


@dataclass(frozen=True)
class Exam:
    """The test part of a fold, and under whose name the answers go."""

    fold: Fold
    seed: int
    model: str
    corpus: str

    def by_artifact(self, artifact: Artifact) -> Predictions:
        """What an artefact answers, of the labels that the fold lets it choose from."""
        recognize, labels = Recognizer(artifact), crossing.choices(artifact.labels, self.fold)

        def ask(images: NDArray[np.float32]) -> Floats:
            return among(labels, artifact.labels, recognize.images(images).probabilities)

        return self.by(ask, labels, artifact.features)

    def by_network(
        self, network: Network, labels: LabelSet, features: FeatureConfig, device: torch.device
    ) -> Predictions:
        """What a network answers, computed in fp32 on a device."""
        network.to(device).eval()

        def ask(images: NDArray[np.float32]) -> NDArray[np.float32]:
            with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
                return softmax(network(torch.from_numpy(images).to(device)).logits.float().cpu().numpy())

        answers = self.by(ask, labels, features)
        network.cpu()
        return answers

    def by(self, ask: Ask, labels: LabelSet, features: FeatureConfig) -> Predictions:
        """What is answered about every test sample, in batches."""
        data = dataset.load(self.fold.test, labels, features, self.seed, dataset.cache_folder())
        rows = range(0, len(data.images), BATCH)
        return Predictions(
            fold=self.fold.index,
            protocol=self.fold.protocol,
            seed=self.seed,
            model=self.model,
            corpus=self.corpus,
            labels=labels,
            keys=tuple(map(key_of, self.fold.test)),
            truth=data.targets,
            probabilities=np.concatenate([ask(data.images[i : i + BATCH].astype(np.float32)) for i in rows]),
            speakers=tuple(sample.clip.speaker for sample in self.fold.test),
        )


def among(chosen: LabelSet, labels: LabelSet, probabilities: NDArray[np.floating]) -> Floats:
    """Probabilities (n, classes) of `labels` -> those of some of them, made to sum to 1 again."""
    kept = probabilities.astype(np.float64)[:, [labels.index(label) for label in chosen]]
    return np.asarray(kept / kept.sum(1, keepdims=True), np.float64)


def leakage(artifact: Artifact, fold: Fold) -> Leakage:
    """Audit of a test part against the ledger of what the artefact has really seen."""
    seen = tuple(protocols.Sample(clip) for clip in ledger.read(artifact.folder))
    return protocols.audit(replace(fold, train=seen))
