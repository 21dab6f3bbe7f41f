"""Predictions of test samples -> scores of a fold -> one row over folds and seeds, as `results/accuracy/` keeps it.

    Predictions (one fold, one seed) --score--> Scores
    [(Predictions, Leakage)]         --pool---> Row --row--> {...}, one JSON file per published row

Whatever carries a number carries the audit of the split it was made under, and the warning where there is one.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from feltone.errors import ConfigError
from feltone.lab import metrics
from feltone.lab.metrics import Floats, Interval
from feltone.lab.predictions import DECIMALS
from feltone.lab.predictions import Predictions as Predictions
from feltone.lab.protocols import Fold, Leakage
from feltone.labels import LabelSet

Metric = Callable[[ArrayLike], Floats]

METRICS: Mapping[str, Metric] = {
    "wa": metrics.accuracy,
    "uar": metrics.uar,
    "macro_f1": metrics.macro_f1,
}
"""The headline metrics, each a function of (stacked) confusion matrices."""


@dataclass(frozen=True)
class Scores:
    """How good the predictions of one fold are; fractions between 0 and 1."""

    n: int
    wa: float
    uar: float
    macro_f1: float
    ece: float
    recall: Mapping[str, float | None]  # None where the class does not occur in the fold
    confusion: list[list[int]]  # rows truth
    intervals: Mapping[str, Interval]  # of wa, uar and macro_f1
    leakage: Leakage
    warning: str | None


@dataclass(frozen=True)
class Spread:
    """One metric over runs."""

    mean: float  # over runs, that is folds and seeds
    sd: float  # over runs, ddof 1; 0 for a single run
    ci95: tuple[float, float]  # of `pooled`
    pooled: float  # of all folds of a seed taken together, averaged over seeds
    per_run: list[list[float]]  # seeds x folds


@dataclass(frozen=True)
class Row:
    """One model under one protocol, over all folds and seeds that were run."""

    corpus: str
    protocol: str
    model: str
    labels: LabelSet
    seeds: list[int]
    folds_run: list[int]
    fold_names: list[str]  # "speaker 03" where a fold tests only one, else "fold 1"
    metrics: Mapping[str, Spread]
    ece: float  # of all folds of a seed taken together, averaged over seeds
    recall: Mapping[str, float | None]  # from `confusion`
    confusion: list[list[int]]  # sum over runs
    reliability: list[list[float]]  # count, confidence, accuracy per bin, over all runs
    resampled: tuple[str, int]  # unit of the intervals, "speaker" or "clip", and how many there are
    n_test: int  # samples judged, over all runs
    leakage: Leakage
    warning: str | None


@dataclass(frozen=True)
class RunFacts:
    """What a row says about how it came to be; the caller knows it."""

    macs: int | None  # of a clip; None where not all of the work is multiply-adds that can be counted
    parameters: int
    train_seconds: float
    device: str
    versions: Mapping[str, str]
    commit: str
    command: str
    date: str
    weights: str = "random"  # what training began from: random ones, or a checkpoint's name


def warning_of(protocol: str, leakage: Leakage) -> str | None:
    """What must stand beside every number: the protocol's own warning, or what the audit found in spite of it."""
    if leakage.same_recording and protocol != "paper":
        return (
            f"{100 * leakage.same_recording:.0f} % of the test clips are also in training; the scores flatter the model"
        )
    return Fold(protocol, 1, (), ()).warning


def score(predictions: Predictions, leakage: Leakage) -> Scores:
    """Scores of one fold."""
    table = predictions.confusion
    return Scores(
        n=len(predictions.keys),
        **{name: float(metric(table)) for name, metric in METRICS.items()},
        ece=metrics.calibration_error(predictions.truth, predictions.probabilities),
        recall=_recall(table, predictions.labels),
        confusion=table.tolist(),
        intervals=_intervals([predictions]),
        leakage=leakage,
        warning=warning_of(predictions.protocol, leakage),
    )


def pool(runs: Sequence[tuple[Predictions, Leakage]]) -> Row:
    """Scores over folds and seeds, every seed with the same folds.

    The 95 % interval is that of the pooled metric: speakers are drawn with replacement, the same ones in every seed,
    the metric is taken of each seed's pooled predictions and averaged over seeds.

    Raises:
        ConfigError: the runs are of different models, corpora, protocols or labels, or a seed lacks a fold.
    """
    grid = _grid([predictions for predictions, _ in runs])
    first, everything = grid[0][0], [predictions for line in grid for predictions in line]
    leakage = _mean_leakage([found for _, found in runs])
    table = np.sum([predictions.confusion for predictions in everything], 0)
    intervals = _intervals(everything)
    unit = intervals["wa"]
    return Row(
        corpus=first.corpus,
        protocol=first.protocol,
        model=first.model,
        labels=first.labels,
        seeds=[line[0].seed for line in grid],
        folds_run=[predictions.fold for predictions in grid[0]],
        fold_names=[_fold_name([line[k] for line in grid]) for k in range(len(grid[0]))],
        metrics={name: _spread(metric, grid, intervals[name]) for name, metric in METRICS.items()},
        ece=float(np.mean([metrics.calibration_error(*_stacked(line)) for line in grid])),
        recall=_recall(table, first.labels),
        confusion=table.tolist(),
        reliability=metrics.reliability(*_stacked(everything)).tolist(),
        resampled=(unit.unit, unit.units),
        n_test=int(table.sum()),
        leakage=leakage,
        warning=warning_of(first.protocol, leakage),
    )


def row(pooled: Row, *, recipe: str, audio: str, folds: int, facts: RunFacts) -> dict[str, Any]:
    """A row of `results/accuracy/`, as plain values; fractions to six decimals.

    Args:
        pooled: the scores.
        recipe: name of the recipe, as `feltone train` knows it.
        audio: `original`, or what was done to the recordings.
        folds: how many folds the protocol has; `folds_run` says which of them were run.
        facts: cost and origin.
    """
    if max(pooled.folds_run) > folds:
        raise ConfigError(f"fold {max(pooled.folds_run)} was run, but the protocol is said to have {folds} folds")
    values = asdict(pooled)
    spreads, labels = values.pop("metrics"), values.pop("labels")["names"]
    plain = {"audio": audio, "recipe": recipe, "folds": folds, **values, **spreads, "labels": labels, **asdict(facts)}
    order = ("corpus", "audio", "protocol", "model", "recipe", "folds", "folds_run", "seeds", *METRICS, "leakage")
    rounded: dict[str, Any] = _rounded({key: plain[key] for key in dict.fromkeys((*order, *plain))})
    return rounded


def name_of(model: str, recipe: str | None) -> str:
    """What a model is called beside others: with its recipe, where its own name does not tell that.

    >>> name_of("student", "paper"), name_of("student", "paper-12"), name_of("septr", "septr")
    ('student', 'student (paper-12)', 'septr')
    """
    return model if recipe in (None, "paper", model) else f"{model} ({recipe})"


def row_file(corpus: str, protocol: str, model: str, variant: str | None = None) -> str:
    """Name of a row's file.

    >>> row_file("emodb", "emobox", "student", "int8")
    'emodb__emobox__student__int8.json'
    """
    parts = [corpus, protocol, model, *([variant] if variant else [])]
    bad = [part for part in parts if not re.fullmatch(r"[A-Za-z0-9.+@-]+(_[A-Za-z0-9.+@-]+)*", part)]
    if bad:
        raise ConfigError(
            f"'{bad[0]}' cannot stand in a file name: letters, digits, '.', '+', '-', '@' and single '_' can"
        )
    return "__".join(parts) + ".json"


def _grid(runs: Sequence[Predictions]) -> list[list[Predictions]]:
    """Seeds x folds, both ascending."""
    if not runs:
        raise ConfigError("no runs to pool: evaluate at least one fold")
    for what in ("model", "corpus", "protocol", "labels"):
        different = {getattr(run, what) for run in runs}
        if len(different) > 1:
            raise ConfigError(f"runs of different {what} cannot be pooled: {', '.join(sorted(map(str, different)))}")
    by_run = {(run.seed, run.fold): run for run in runs}
    seeds, folds = (sorted({run[axis] for run in by_run}) for axis in (0, 1))
    absent = [f"fold {fold} of seed {seed}" for seed in seeds for fold in folds if (seed, fold) not in by_run]
    if absent or len(by_run) < len(runs):
        raise ConfigError(
            f"every seed needs the same folds, each once: {absent[0] if absent else 'one is given twice'}"
        )
    return [[by_run[seed, fold] for fold in folds] for seed in seeds]


def _spread(metric: Metric, grid: list[list[Predictions]], interval: Interval) -> Spread:
    tables = np.array([[predictions.confusion for predictions in line] for line in grid], np.float64)
    per_run = metric(tables)
    return Spread(
        mean=float(per_run.mean()),
        sd=float(per_run.std(ddof=1)) if per_run.size > 1 else 0.0,
        ci95=(interval.low, interval.high),
        pooled=float(metric(tables.sum(1)).mean()),
        per_run=per_run.tolist(),
    )


def _intervals(runs: Sequence[Predictions]) -> dict[str, Interval]:
    """Interval of every metric: of the pooled predictions of each seed, averaged over seeds."""
    classes, seed_of = len(runs[0].labels), np.concatenate([np.full(len(run.keys), run.seed) for run in runs])
    truth, predicted = (np.concatenate([getattr(run, what) for run in runs]) for what in ("truth", "predicted"))
    clips = [clip for run in runs for clip in run.clips]
    people = [person for run in runs for person in run.people]
    parts = [seed_of == seed for seed in np.unique(seed_of)]

    def averaged(metric: Metric) -> Callable[[Floats], Floats]:
        def of(weights: Floats) -> Floats:
            tables = (metrics.weighted_confusions(truth[p], predicted[p], classes, weights[:, p]) for p in parts)
            return np.asarray(np.nanmean([metric(table) for table in tables], 0))

        return of

    return {
        name: metrics.clustered_bootstrap(averaged(metric), people, clips=clips) for name, metric in METRICS.items()
    }


def _stacked(runs: Sequence[Predictions]) -> tuple[NDArray[np.int64], Floats]:
    return np.concatenate([run.truth for run in runs]), np.concatenate([run.probabilities for run in runs])


def _recall(table: NDArray[Any], labels: LabelSet) -> dict[str, float | None]:
    return {
        label: None if np.isnan(value) else float(value)
        for label, value in zip(labels, metrics.recall(table), strict=True)
    }


def _mean_leakage(found: Sequence[Leakage]) -> Leakage:
    """Mean over runs; None where a run does not know."""

    def mean(values: Iterable[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if len(known) == len(found) else None

    recording = float(np.mean([leakage.same_recording for leakage in found]))
    return Leakage(recording, mean(one.same_speaker for one in found), mean(one.same_sentence for one in found))


def _fold_name(runs: Sequence[Predictions]) -> str:
    speakers = {speaker for run in runs for speaker in run.speakers}
    speaker = speakers.pop() if len(speakers) == 1 else None
    return f"fold {runs[0].fold}" if speaker is None else f"speaker {speaker}"


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return round(value, DECIMALS) if isinstance(value, float) else value
