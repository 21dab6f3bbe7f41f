"""Who is understood how well, and what is gained by not answering: scores by group of speakers, and by confidence.

    tested folds --by_group------> scores of every group, and how far the first and the last differ
                 --by_confidence-> coverage and accuracy above thresholds on the highest probability

Both read predictions that are kept among the results. Sex and age are what the corpora tell of their speakers; they are
read from a clip's name, so that no recordings are needed. Rows under `paper` and rows that lack folds are left out: the
first measure memory, the second the few speakers that happened to be tested.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from feltone.lab import metrics, paired
from feltone.lab.corpora import CORPORA, Clip
from feltone.lab.metrics import Floats
from feltone.lab.predictions import DECIMALS, Predictions
from feltone.lab.tested import FoldResult, Kept, complete

THRESHOLDS = (0.0, 0.5, 0.7, 0.9, 0.95, 0.99, 0.999)
SUREST = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)  # shares of the clips
AGES = ((31, "under 31"), (46, "31 to 45"))  # years from which on the next band begins
OLDEST = "over 45"


def age_band(clip: Clip) -> str | None:
    """Which band of age a clip's speaker belongs to; None where the corpus does not tell."""
    if clip.age is None:
        return None
    return next((name for limit, name in AGES if clip.age < limit), OLDEST)


GROUPINGS: Mapping[str, tuple[tuple[str, ...], Callable[[Clip], str | None]]] = {
    "sex": (("female", "male"), lambda clip: clip.sex),
    "age": ((*(name for _, name in AGES), OLDEST), age_band),
}
"""Name -> its groups in order, and the group of a clip."""


def evidence(kept: Kept) -> dict[str, Any]:
    """Groups and thresholds of all rows that may tell about them, as plain values."""
    rows = {name: done for name, folds in kept.items() if tells(done := complete(folds))}
    by = [found for name, folds in rows.items() for found in by_group(folds, name)]
    return {"groups": by, "thresholds": [by_confidence(folds, name) for name, folds in rows.items()]}


def tells(folds: Sequence[FoldResult]) -> bool:
    """Whether a row can tell anything: an honest protocol, all folds of every seed that is counted (`complete`)."""
    of = folds[0]
    seeds = {one.predictions.seed for one in folds}
    return of.predictions.protocol != "paper" and len(folds) == of.folds * len(seeds)


def by_group(folds: Sequence[FoldResult], row: str) -> Iterator[dict[str, Any]]:
    """Scores of every group, once per grouping under which the row has several groups."""
    runs = [one.predictions for one in folds]
    for grouping, (order, group_of) in GROUPINGS.items():
        parts = {name: part for name in order if (part := _of_group(runs, group_of, name))}
        if len(parts) < 2:
            continue
        first, *_, last = parts
        yield _about(folds[0], row) | {
            "grouping": grouping,
            "groups": {name: _scores(part) for name, part in parts.items()},
            "difference": {"of": [first, last], **paired.independent(parts[first], parts[last])},
        }


def by_confidence(folds: Sequence[FoldResult], row: str) -> dict[str, Any]:
    """What is answered and how well: above fixed thresholds, and of the surest clips (`above`)."""
    runs = [one.predictions for one in folds]
    confidence = np.concatenate([run.probabilities.max(1) for run in runs])
    limits = np.quantile(confidence, [1 - share for share in SUREST], method="higher")
    found = {"points": above(runs, THRESHOLDS), "surest": above(runs, [float(limit) for limit in limits])}
    return _about(folds[0], row) | found


def above(runs: Sequence[Predictions], thresholds: Sequence[float]) -> list[dict[str, Any]]:
    """Coverage and accuracy of the samples whose highest probability reaches a threshold, with 95 % intervals.

    `wa` is None where nothing is left, and has no interval where a draw of speakers leaves nothing.
    """
    confidence, right = (
        np.concatenate(parts)
        for parts in ([run.probabilities.max(1) for run in runs], [run.truth == run.predicted for run in runs])
    )
    people = [person for run in runs for person in run.people]
    unit = metrics.drawn_unit(people)
    drawn = people if unit == "speaker" else [clip for run in runs for clip in run.clips]
    names, unit_of = np.unique(np.asarray(drawn), return_inverse=True)
    resampled = metrics.multiplicities(np.random.default_rng(0), paired.RESAMPLES, len(names))
    draws = np.vstack([np.ones(len(names)), resampled])  # everybody, then the draws

    def count(samples: ArrayLike) -> Floats:
        return np.asarray(draws @ np.bincount(unit_of, np.asarray(samples, np.float64)))

    points = []
    for threshold in thresholds:
        answered = confidence >= threshold
        shares = {
            "coverage": metrics.ratio(count(answered), count(np.ones(len(answered)))),
            "wa": metrics.ratio(count(answered & right), count(answered)),
        }
        limits = {f"{name}_ci95": np.quantile(values[1:], [0.025, 0.975]) for name, values in shares.items()}
        points.append(
            {"threshold": threshold, "answered": int(answered.sum()), "asked": len(answered)}
            | {name: _or_none(values[0]) for name, values in shares.items()}
            | {name: [_or_none(limit) for limit in pair] for name, pair in limits.items()}
        )
    return points


def _of_group(runs: Sequence[Predictions], group_of: Callable[[Clip], str | None], group: str) -> list[Predictions]:
    """What was said about the samples of a group, of those runs that tested any."""
    chosen = [
        [k for k, key in enumerate(run.clips) if (clip := clip_of(key)) is not None and group_of(clip) == group]
        for run in runs
    ]
    return [run.only(numbers) for run, numbers in zip(runs, chosen, strict=True) if numbers]


def clip_of(key: str) -> Clip | None:
    """The clip of a key, from its name alone; None where no known corpus names it."""
    corpus, _, name = key.partition("/")
    return CORPORA[corpus].parse(Path(f"{name}.wav")) if corpus in CORPORA else None


def _scores(runs: Sequence[Predictions]) -> dict[str, Any]:
    """Of one group: how many, how good, and how often which emotion is heard."""
    table = np.sum([run.confusion for run in runs], 0)
    recall = zip(runs[0].labels, metrics.recall(table), strict=True)
    return {
        "speakers": len({person for run in runs for person in run.people}),
        "clips": len({clip for run in runs for clip in run.clips}),
        **paired.pooled(runs),
        "recall": {label: _or_none(value) for label, value in recall},
    }


def _about(one: FoldResult, row: str) -> dict[str, Any]:
    of = one.predictions
    told = {"corpus": of.corpus, "protocol": of.protocol, "model": of.model}
    return {"row": row} | told | {"recipe": one.recipe["name"], "audio": one.audio}


def _or_none(value: float) -> float | None:
    """Rounded as all that is stored; None for nan, which JSON does not have."""
    return None if np.isnan(value) else round(float(value), DECIMALS)
