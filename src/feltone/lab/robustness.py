"""How well a model hears what no studio made: every condition of `conditions.py` beside the clean clips, paired.

    (Subject, Fold) x condition --ask--> {condition: FoldResult} --document--> results/robustness/<row>.json

The clips are those of a fold's test part, so a model is only asked about what it has not been trained on; that is
checked, and refused otherwise. Talkers of babble come from the training part, never the speaker's own voice.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feltone import audio, features
from feltone.artifact import Artifact
from feltone.errors import CorpusError, ProtocolError
from feltone.features import FeatureConfig, Waveform
from feltone.lab import crossing, dataset, judging, paired, protocols, provenance
from feltone.lab.conditions import CLEAN, CONDITIONS, Condition
from feltone.lab.corpora.clip import Clip
from feltone.lab.evaluate import RunFacts
from feltone.lab.judging import BATCH, Ask
from feltone.lab.metrics import Floats
from feltone.lab.models.cost import multiply_adds, parameters
from feltone.lab.predictions import Predictions, key_of
from feltone.lab.protocols import Fold, Leakage
from feltone.lab.tested import FoldResult, row_of
from feltone.lab.trained import Trained
from feltone.lab.training.folder import seconds_of
from feltone.labels import LabelSet
from feltone.recognizer import Recognizer, softmax

VOICES = 60  # training clips that babble is drawn from, of a fold
SHOWN = ("wa", "uar")


@dataclass(frozen=True)
class Subject:
    """A model that is asked, and how to make sure that a test part is new to it."""

    name: str  # as rows of results call it
    recipe: dict[str, Any]
    labels: LabelSet
    features: FeatureConfig
    ask: Ask
    audit: Callable[[Fold], Leakage]  # raises `ProtocolError` where test clips were trained on
    facts: RunFacts

    @classmethod
    def of_artifact(cls, artifact: Artifact) -> "Subject":
        """An artefact, asked through the path that a user's recognition takes and audited by its own ledger."""
        recognize, told = Recognizer(artifact), artifact.description

        def audit(fold: Fold) -> Leakage:
            found = judging.leakage(artifact, fold)
            if found.same_recording:
                where = f"{artifact.name}: was trained on {found.same_recording:.0%} of the test clips"
                raise ProtocolError(f"{where}; test it on another corpus, with --protocol cross and --test-corpus")
            return found

        facts = _facts(told["macs"], told["parameters"], told["origin"]["train_seconds"])
        of = artifact.name, told["origin"]["recipe"], artifact.labels, artifact.features
        return cls(*of, lambda images: recognize.images(images).probabilities, audit, facts)

    @classmethod
    def of_run(cls, found: Trained, folder: Path) -> "Subject":
        """A network of the run of one fold, `folder`; only that fold's test part is new to it."""
        network = found.network

        def ask(images: NDArray[np.float32]) -> NDArray[np.float32]:
            return softmax(np.concatenate([output.logits.numpy() for output in found.outputs(images)]))

        def audit(fold: Fold) -> Leakage:
            if not found.is_of(fold):
                where = (
                    f"{folder}: was trained on other clips than those of fold {fold.index}, protocol {fold.protocol}"
                )
                raise ProtocolError(f"{where}; name the corpus and protocol of the run")
            return protocols.audit(fold)

        seconds = round(sum(seconds_of(folder).values()), 1)
        facts = _facts(multiply_adds(network, network.config.image), parameters(network), seconds)
        return cls(found.stage, {"name": found.recipe}, found.labels, found.features, ask, audit, facts)


def judged(
    subject: Subject,
    corpus: str,
    fold: Fold,
    folds: int,
    *,
    seed: int,
    on_clip: Callable[[], object] = lambda: None,
) -> dict[str, FoldResult]:
    """What a model says about a test part under every condition, by the condition's name.

    Args:
        subject: the model.
        corpus: name of what was divided; under `cross`, of what was trained on.
        fold: one of a protocol's.
        folds: how many that has.
        seed: of split and conditions.
        on_clip: told after every clip.

    Raises:
        ProtocolError: the model has seen test clips, the fold tests perturbed copies, or nobody else talks in it.
        CorpusError: test clips have labels that the model does not know.
    """
    if any(sample.copy != "original" for sample in fold.test):
        raise ProtocolError(f"protocol {fold.protocol}: tests perturbed copies; choose one that tests recordings")
    unknown = sorted({sample.clip.label for sample in fold.test} - set(subject.labels))
    if unknown:
        raise CorpusError(f"{subject.name}: does not know {', '.join(unknown)}; --protocol cross leaves those out")
    leakage, labels = subject.audit(fold), crossing.choices(subject.labels, fold)
    clips = [sample.clip for sample in fold.test]
    truth = np.array([labels.index(clip.label) for clip in clips], np.int64)
    keys, speakers = tuple(map(key_of, fold.test)), tuple(clip.speaker for clip in clips)
    about = folds, subject.recipe, crossing.audio_of(fold), subject.facts, crossing.classes_of(fold)

    def result(probabilities: Floats) -> FoldResult:
        of = crossing.corpus_of(fold, corpus)
        head = fold.index, fold.protocol, seed, subject.name, of, labels
        return FoldResult(Predictions(*head, keys, truth, probabilities, speakers), leakage, *about)

    return {name: result(found) for name, found in _said(subject, labels, fold, seed, on_clip).items()}


def document(tested: Sequence[Mapping[str, FoldResult]]) -> dict[str, Any]:
    """Scores under every condition and how they differ from the clean ones, as plain values.

    Args:
        tested: `judged` of every fold and seed.

    Raises:
        ConfigError: a seed lacks a fold, or folds were trained in different ways.
    """
    rows = {name: [one[name] for one in tested] for name in CONDITIONS}
    head = row_of(rows[CLEAN])
    kept = "corpus audio protocol model recipe folds folds_run seeds labels classes resampled n_test leakage warning"
    facts = asdict(tested[0][CLEAN].facts)
    conditions = [_condition(CONDITIONS[name], rows[name], rows[CLEAN]) for name in CONDITIONS]
    return {key: head[key] for key in (*kept.split(), *facts) if key in head} | {"conditions": conditions}


def _condition(condition: Condition, rows: Sequence[FoldResult], clean: Sequence[FoldResult]) -> dict[str, Any]:
    found, against = row_of(rows), paired.compare(rows, clean)
    return {
        "name": condition.name,
        "group": condition.group,
        "setting": condition.setting,
        **{
            name: {
                "pooled": found[name]["pooled"],
                "ci95": found[name]["ci95"],
                "difference": against[name]["difference"],
                "difference_ci95": against[name]["ci95"],
            }
            for name in SHOWN
        },
        "mcnemar": against["mcnemar"],
    }


def _said(
    subject: Subject, labels: LabelSet, fold: Fold, seed: int, on_clip: Callable[[], object]
) -> dict[str, Floats]:
    """Probabilities by condition: a batch of clips is read once and goes through all of them."""
    config = subject.features
    features.load_fast_transform()
    voices = _Voices.of(fold, seed, config.sample_rate)
    found: dict[str, list[Floats]] = {name: [] for name in CONDITIONS}
    clips = [sample.clip for sample in fold.test]
    for start in range(0, len(clips), BATCH):
        batch = clips[start : start + BATCH]
        heard = [audio.load(clip.path, config.sample_rate, start=clip.start, end=clip.end) for clip in batch]
        for condition in CONDITIONS.values():
            pairs = zip(batch, heard, strict=True)
            images = [_image(condition, waveform, clip, voices, config, seed) for clip, waveform in pairs]
            found[condition.name].append(judging.among(labels, subject.labels, subject.ask(np.stack(images))))
        for _ in batch:
            on_clip()
    return {name: np.concatenate(answers) for name, answers in found.items()}


def _image(
    condition: Condition, waveform: Waveform, clip: Clip, voices: "_Voices", config: FeatureConfig, seed: int
) -> features.Image:
    others = voices.beside(clip) if condition.needs_voices else ()
    perturb, rng = condition.make(others, config.sample_rate), dataset.generator_of(clip, condition.name, seed)
    image = features.log_mel_image(perturb(waveform, rng, config.clip_samples, 1.0), config)
    return image.astype(np.float16).astype(np.float32)  # as all images of the laboratory are kept


@dataclass(frozen=True)
class _Voices:
    """Training clips that babble is made of, each with who speaks."""

    spoken: tuple[tuple[Clip, Waveform], ...]

    @classmethod
    def of(cls, fold: Fold, seed: int, rate: int) -> "_Voices":
        clips = sorted({sample.clip for sample in fold.train}, key=lambda clip: clip.key)
        chosen = np.random.default_rng(seed).permutation(len(clips))[:VOICES]
        some = [clips[number] for number in chosen]
        return cls(tuple((clip, audio.load(clip.path, rate, start=clip.start, end=clip.end)) for clip in some))

    def beside(self, clip: Clip) -> list[Waveform]:
        """Those of other speakers; of other clips, where a speaker is not known."""
        people = [(other, waveform) for other, waveform in self.spoken if not _same_person(clip, other)]
        if not people:
            raise ProtocolError(
                f"babble: no training clip is of another speaker than {clip.name}'s; choose other folds"
            )
        return [waveform for _, waveform in people]


def _same_person(one: Clip, other: Clip) -> bool:
    known = one.speaker is not None and (one.corpus, one.speaker) == (other.corpus, other.speaker)
    return known or one.key == other.key


def _facts(macs: int, learned: int, seconds: float) -> RunFacts:
    """Of a model, as it was measured here and now."""
    return RunFacts(
        macs=macs,
        parameters=learned,
        train_seconds=seconds,
        device=provenance.device(),
        versions=provenance.versions(),
        **provenance.origin(),
    )
