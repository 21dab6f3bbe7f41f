"""What is to be beaten: functionals with a support vector machine, and frozen speech models with a linear head.

    recording -> vector, cached by content -> linear classifier on the training part -> Predictions -> FoldResult

so that a baseline's rows come about as a network's do (`tested.py`), audit and intervals included. Baselines hear
whole recordings as they are, not cut to four seconds. They learn from perturbed copies only under a protocol that tests
them, which is `paper`: from all that its training part has, those of tested clips included.

`compare-svm`: the 6,373 functionals ComParE_2016 of openSMILE and a linear support vector machine with C = 0.01,
standardised on the training part and class-balanced. `probe`: hidden states of any audio encoder on the Hugging Face
hub, averaged over time, and a logistic regression, set likewise. Nothing is tuned, so nothing can be tuned on a test.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from feltone import audio
from feltone.errors import ConfigError, MissingExtraError
from feltone.features import DEFAULT, Waveform
from feltone.lab import cache as caching
from feltone.lab import crossing, dataset, protocols, provenance
from feltone.lab.evaluate import RunFacts
from feltone.lab.metrics import Floats
from feltone.lab.predictions import Predictions, key_of
from feltone.lab.protocols import Fold, Sample
from feltone.lab.tested import FoldResult
from feltone.labels import LabelSet

C = 0.01
SAMPLE_RATE = DEFAULT.sample_rate
CACHE_VERSION = 1  # raise it when the reading of audio changes what vectors are made of
FUNCTIONALS = "ComParE_2016"

Vector = NDArray[np.float32]


@dataclass(frozen=True)
class Hearing:
    """A way of turning a recording into a vector, however long it is."""

    name: str  # of the model, as results call it
    settings: dict[str, Any]  # all that its vectors depend on but the recording
    vector: Callable[[Waveform], Vector]  # of mono samples at `SAMPLE_RATE`
    parameters: int = 0  # learned numbers before the classifier
    macs: int | None = None  # of four seconds, before the classifier; None where it is not made of multiply-adds
    weights: str = "none"  # what it was trained on beforehand


@dataclass(frozen=True)
class Baseline:
    """A hearing and what classifies its vectors."""

    recipe: str
    hearing: Hearing
    classifier: Callable[[int], Any]  # of scikit-learn, for a seed

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON: what a network's recipe is to it."""
        return {"name": self.recipe, "hearing": self.hearing.settings, "classifier": repr(self.classifier(0))}


def compare_svm() -> Baseline:
    """ComParE_2016 and a linear support vector machine; raises `MissingExtraError` without openSMILE."""
    return Baseline("compare-svm", replace(functionals(), name="compare-svm"), support_vectors)


def functionals(kind: str = FUNCTIONALS) -> Hearing:
    """A set of openSMILE's functionals.

    Raises:
        ConfigError: it knows no such set.
        MissingExtraError: openSMILE is not installed.
    """
    try:
        import opensmile
    except ImportError:
        raise MissingExtraError(f"hearing openSMILE's {kind}", "rivals") from None
    known = [each.name for each in opensmile.FeatureSet]
    if kind not in known:
        raise ConfigError(f"openSMILE has no functionals '{kind}'; it has {', '.join(known)}")
    smile = opensmile.Smile(opensmile.FeatureSet[kind], opensmile.FeatureLevel.Functionals)

    def vector(waveform: Waveform) -> Vector:
        found = smile.process_signal(waveform, SAMPLE_RATE).to_numpy(np.float32)[0]
        return np.asarray(np.nan_to_num(found), np.float32)  # a recording without voice has no value for some

    settings = {"functionals": kind, "opensmile": metadata.version("opensmile")}
    return Hearing(kind, settings, vector)


def support_vectors(seed: int) -> SVC:
    """One against one, its ties broken by confidence: its decision is the largest value of `decision_function`."""
    return SVC(kernel="linear", C=C, class_weight="balanced", break_ties=True, random_state=seed)


def regression(seed: int) -> LogisticRegression:
    """Multinomial logistic regression."""
    return LogisticRegression(C=C, class_weight="balanced", max_iter=5_000, random_state=seed)


def probabilities(fitted: Pipeline, vectors: NDArray[np.float32]) -> Floats:
    """Probabilities of classes, (n, classes), whose largest is the classifier's own decision.

    A support vector machine has none. The softmax of its decision values keeps its order and is nothing more: the
    calibration of such a row means nothing. Platt's scaling would say otherwise than the machine now and then.
    """
    if hasattr(fitted, "predict_proba"):
        return np.asarray(fitted.predict_proba(vectors), np.float64)
    values = np.asarray(fitted.decision_function(vectors), np.float64)
    if values.ndim == 1:  # of two classes, the second one's
        values = np.stack([-values, values], axis=1)
    return np.asarray(softmax(values, axis=1), np.float64)


def result_of(
    baseline: Baseline,
    corpus: str,
    fold: Fold,
    folds: int,
    *,
    seed: int,
    cache: Path,
    on_clip: Callable[[], object] = lambda: None,
) -> FoldResult:
    """Fit a baseline on the training part of a fold, and keep what it says about the test part.

    Args:
        baseline: which one.
        corpus: name of what was divided; under `cross`, of what is trained on.
        fold: one of a protocol's.
        folds: how many that has.
        seed: of the split, and of the classifier where it draws.
        cache: folder of cached vectors.
        on_clip: told after every recording.
    """
    train = learnt_from(fold)
    labels = LabelSet.of(sample.clip.label for sample in train)
    known, heard = (vectors_of(some, baseline.hearing, seed, cache, on_clip) for some in (train, fold.test))
    targets = np.array([labels.index(sample.clip.label) for sample in train], np.int64)
    begun = time.monotonic()  # what training took; a vector is made once, for all folds and classifiers
    fitted = make_pipeline(StandardScaler(), baseline.classifier(seed)).fit(known, targets)
    seconds = time.monotonic() - begun
    head = fitted[-1].coef_.size + fitted[-1].intercept_.size
    said = Predictions(
        fold=fold.index,
        protocol=fold.protocol,
        seed=seed,
        model=baseline.hearing.name,
        corpus=crossing.corpus_of(fold, corpus),
        labels=labels,
        keys=tuple(map(key_of, fold.test)),
        truth=np.array([labels.index(sample.clip.label) for sample in fold.test], np.int64),
        probabilities=probabilities(fitted, heard),
        speakers=tuple(sample.clip.speaker for sample in fold.test),
    )
    facts = facts_of(baseline.hearing, head, seconds)
    audio, classes = crossing.audio_of(fold), crossing.classes_of(fold)
    return FoldResult(said, protocols.audit(fold), folds, baseline.to_dict(), audio, facts, classes)


def learnt_from(fold: Fold) -> list[Sample]:
    """What a baseline learns from: recordings as they are, and their copies only where copies are tested."""
    perturbed = any(sample.copy != "original" for sample in fold.test)
    return [sample for sample in fold.train if perturbed or sample.copy == "original"]


def facts_of(hearing: Hearing, head: int, seconds: float) -> RunFacts:
    """What a row says of a baseline: its cost and origin; `head` are the classifier's parameters."""
    return RunFacts(
        macs=None if hearing.macs is None else hearing.macs + head,
        parameters=hearing.parameters + head,
        train_seconds=round(seconds, 1),
        device=provenance.device(),
        versions=provenance.versions(),
        **provenance.origin(),
        weights=hearing.weights,
    )


def vectors_of(
    samples: Sequence[Sample], hearing: Hearing, seed: int, cache: Path, on_clip: Callable[[], object] = lambda: None
) -> NDArray[np.float32]:
    """Vectors of recordings or their copies, from the cache or computed now: (samples, size)."""
    found = []
    for sample in samples:
        found.append(vector_of(sample, hearing, seed, cache))
        on_clip()
    return np.stack(found)


def vector_of(sample: Sample, hearing: Hearing, seed: int, cache: Path) -> Vector:
    """Vector of one recording or of a copy, perturbed as a network hears it; from the cache or computed now."""
    clip, copy = sample.clip, sample.copy
    made_from = [CACHE_VERSION, dataset.CACHE_VERSION, hearing.settings, clip.start, clip.end]
    made_from += [] if copy == "original" else [copy, seed, clip.key]

    def compute() -> Vector:
        waveform = audio.load(clip.path, SAMPLE_RATE, start=clip.start, end=clip.end)
        return hearing.vector(dataset.waveform_of_copy(waveform, clip, copy, DEFAULT, seed))

    return caching.kept(caching.file_of(cache / "vectors", made_from, clip.path.read_bytes()), compute)
