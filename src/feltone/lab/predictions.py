"""What a model said about the test samples of one fold, in memory and in a file."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from feltone.errors import ConfigError, FeltoneError
from feltone.lab import metrics
from feltone.lab.metrics import Floats
from feltone.lab.protocols import Sample
from feltone.labels import LabelSet

DECIMALS = 6  # of every fraction that is stored


def key_of(sample: Sample) -> str:
    """Identity of a test sample: the clip's key and which copy of it."""
    return f"{sample.clip.key} {sample.copy}"


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model said about the test samples of one fold.

    `probabilities` is (samples, classes) and is kept to six decimals from the start, so that predictions read from
    their file score exactly as they did when they were made.
    """

    fold: int  # 1-based, as in `Fold`
    protocol: str
    seed: int
    model: str
    corpus: str
    labels: LabelSet
    keys: tuple[str, ...]  # `key_of` every sample
    truth: NDArray[np.int64]
    probabilities: Floats
    speakers: tuple[str | None, ...]

    def __post_init__(self) -> None:
        n, classes = len(self.keys), len(self.labels)
        if not n:
            raise ValueError("no test samples")
        if self.truth.shape != (n,) or self.probabilities.shape != (n, classes) or len(self.speakers) != n:
            raise ValueError(f"{n} keys, {classes} labels, but {self.truth.shape} and {self.probabilities.shape}")
        if not (np.abs(self.probabilities.sum(1) - 1) < 1e-3).all() or self.probabilities.min() < 0:
            raise ValueError("probabilities must be non-negative and sum to 1")
        if self.truth.min() < 0 or self.truth.max() >= classes:
            raise ValueError(f"class numbers must lie within 0-{classes - 1}")
        object.__setattr__(self, "probabilities", self.probabilities.astype(np.float64).round(DECIMALS))

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Class numbers of the highest probability, (samples,)."""
        return np.asarray(self.probabilities.argmax(1), np.int64)

    @property
    def clips(self) -> tuple[str, ...]:
        """Recording of every sample: its key without the copy."""
        return tuple(key.rpartition(" ")[0] for key in self.keys)

    @property
    def people(self) -> tuple[str | None, ...]:
        """Speaker of every sample across corpora: "03" of two corpora are two people."""
        corpora = (clip.partition("/")[0] for clip in self.clips)
        return tuple(s if s is None else f"{c}/{s}" for c, s in zip(corpora, self.speakers, strict=True))

    @property
    def confusion(self) -> NDArray[np.int64]:
        """Counts, (classes, classes): rows truth."""
        return metrics.confusion(self.truth, self.predicted, len(self.labels))

    def only(self, chosen: Sequence[int]) -> "Predictions":
        """Those of the samples with these numbers, at least one."""
        numbers = np.asarray(chosen, np.int64)
        keys, speakers = (tuple(column[k] for k in numbers) for column in (self.keys, self.speakers))
        truth, probabilities = self.truth[numbers], self.probabilities[numbers]
        return replace(self, keys=keys, speakers=speakers, truth=truth, probabilities=probabilities)

    def to_json(self) -> str:
        """A JSON document with one line per sample, so that `grep` finds a clip."""
        head = {name: getattr(self, name) for name in ("fold", "protocol", "seed", "model", "corpus")}
        head["labels"] = list(self.labels)
        columns = self.keys, self.speakers, self.truth, self.probabilities.tolist()
        lines = [
            json.dumps({"key": key, "speaker": speaker, "truth": self.labels.names[truth], "probabilities": row})
            for key, speaker, truth, row in zip(*columns, strict=True)
        ]
        return f'{json.dumps(head)[:-1]}, "samples": [\n' + ",\n".join(lines) + "\n]}\n"

    @classmethod
    def from_json(cls, text: str) -> "Predictions":
        """What `to_json` made; raises `FeltoneError` where the text is not that."""
        try:
            stored = json.loads(text)
            samples, labels = stored.pop("samples"), LabelSet(tuple(stored.pop("labels")))
            return cls(
                **stored,
                labels=labels,
                keys=tuple(sample["key"] for sample in samples),
                truth=np.array([labels.index(sample["truth"]) for sample in samples], np.int64),
                probabilities=np.array([sample["probabilities"] for sample in samples], np.float64),
                speakers=tuple(sample["speaker"] for sample in samples),
            )
        except (ValueError, KeyError, TypeError, ConfigError) as error:
            raise FeltoneError(f"predictions cannot be read ({error}); delete their file and evaluate again") from error
