"""How two sets of tested folds differ, and how far that is luck: paired on the same clips, or each by itself.

Scores are those of all folds of a seed taken together, averaged over seeds, as in a row of results. What is resampled
is speakers, where they are known, by their confusion matrices: thousands of resamples cost milliseconds.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from feltone.errors import ConfigError
from feltone.lab import metrics
from feltone.lab.evaluate import METRICS, Metric, name_of
from feltone.lab.metrics import Floats
from feltone.lab.predictions import DECIMALS, Predictions
from feltone.lab.protocols import TEST_SHARE
from feltone.lab.tested import FoldResult, complete

RESAMPLES = 2000
COMPARED = ("wa", "uar")


def compare(first: Sequence[FoldResult], second: Sequence[FoldResult], *, of_audio: bool = False) -> dict[str, Any]:
    """Two models on the same test samples, as plain values; differences are first minus second, of pooled folds.

    Args:
        first: tested folds of one model, of any number of seeds.
        second: those of the other, on the same folds with the same seeds.
        of_audio: whether what was done to the recordings is what is compared; else it must be the same.

    Raises:
        ConfigError: they were not tested on the same samples, so that nothing can be paired.
    """
    pairs = _paired(first, second, of_audio)
    one, two = ([pair[side].predictions for pair in pairs] for side in (0, 1))
    of, head = pairs[0][0], one[0]
    tables = _by_unit(one), _by_unit(two)
    draws = _draws(tables[0].tables.shape[1], seed=0)  # the same speakers for both
    ratio = ratio_tested_to_trained(head.protocol, of.folds)
    return {
        "corpus": head.corpus,
        "protocol": head.protocol,
        "audio": of.audio,
        "first": _name(of),
        "second": _name(pairs[0][1]),
        "weights": [side.facts.weights for side in pairs[0]],  # that the training of each began from
        "folds": of.folds,
        "folds_run": sorted({run.fold for run in one}),
        "seeds": sorted({run.seed for run in one}),
        "n_test": sum(len(run.keys) for run in one),
        "resampled": [tables[0].unit, tables[0].tables.shape[1]],
        **{name: _difference(METRICS[name], one, two, tables, draws, ratio) for name in COMPARED},
        "mcnemar": _mcnemar(one, two),
    }


def leak(paper: Sequence[FoldResult], clean: Sequence[FoldResult]) -> dict[str, Any]:
    """`paper` minus `clean` of one model, as plain values.

    The two have other test sets, so nothing is paired: each side's speakers are resampled by themselves, and the
    interval is that of the difference of two independent scores.
    """
    sides = [[one.predictions for one in side] for side in (paper, clean)]
    of = paper[0]
    apart = independent(*sides)
    seeds = {name: sorted({run.seed for run in side}) for name, side in zip(("paper", "clean"), sides, strict=True)}
    found: dict[str, Any] = {
        "corpus": of.predictions.corpus,
        "audio": of.audio,
        "model": of.predictions.model,
        "recipe": of.recipe["name"],
        "seeds": seeds,
        "resampled": apart["resampled"],
    }
    for name in COMPARED:
        told = apart[name]
        found[name] = {"paper": told["first"], "clean": told["second"]} | {k: told[k] for k in ("difference", "ci95")}
    return found


def independent(first: Sequence[Predictions], second: Sequence[Predictions]) -> dict[str, Any]:
    """First minus second of predictions that share no speakers or clips, as plain values.

    Nothing is paired: each side's speakers are resampled by themselves, and the interval is that of the difference of
    two independent scores.
    """
    judged = [_by_unit(side) for side in (first, second)]
    draws = [_draws(side.tables.shape[1], seed) for seed, side in enumerate(judged)]  # each by itself
    found: dict[str, Any] = {"resampled": [[side.unit, side.tables.shape[1]] for side in judged]}
    for name in COMPARED:
        values = [_values(METRICS[name], side.tables, drawn) for side, drawn in zip(judged, draws, strict=True)]
        one, two = (_pooled(METRICS[name], side.tables) for side in judged)
        found[name] = {
            "first": round(one, DECIMALS),
            "second": round(two, DECIMALS),
            "difference": round(one - two, DECIMALS),
            "ci95": _limits(values[0] - values[1]),
        }
    return found


def pooled(runs: Sequence[Predictions]) -> dict[str, Any]:
    """Scores of all folds of a seed taken together, averaged over seeds, each with its 95 % interval."""
    judged = _by_unit(runs)
    draws = _draws(judged.tables.shape[1], seed=0)
    scores = {
        name: {
            "value": round(_pooled(METRICS[name], judged.tables), DECIMALS),
            "ci95": _limits(_values(METRICS[name], judged.tables, draws)),
        }
        for name in COMPARED
    }
    return {"resampled": [judged.unit, judged.tables.shape[1]], **scores}


def common(first: Sequence[FoldResult], second: Sequence[FoldResult]) -> tuple[list[FoldResult], list[FoldResult]]:
    """What both were tested on: rows grow fold by fold, and not at the same pace."""
    both = {_run(one) for one in first} & {_run(one) for one in second}
    one, two = ([fold for fold in side if _run(fold) in both] for side in (first, second))
    return (complete(one), complete(two)) if both else ([], [])


def ratio_tested_to_trained(protocol: str, folds: int) -> float | None:
    """n_test / n_train of a protocol, for the corrected t test; None where its name does not tell.

    Folds that share a corpus out train on k - 1 parts and test on one. With both speakers and sentences disjoint, one
    cell of a k x k board is tested and (k - 1)^2 are trained on.

    >>> [ratio_tested_to_trained(name, 5) for name in ("clean", "speaker", "speaker-sentence")]
    [0.25, 0.25, 0.0625]
    """
    if protocol in ("paper", "clean"):
        return TEST_SHARE / (1 - TEST_SHARE)
    if protocol == "speaker-sentence":
        return 1 / (folds - 1) ** 2
    if protocol in ("speaker", "sentence", "emobox"):
        return 1 / (folds - 1) if folds > 1 else 1 / 3  # EmoBox's one fold of CREMA-D is 75:25
    return None


class _Judged(NamedTuple):
    """Confusion of every unit that is drawn as a whole: (seeds, units, classes, classes)."""

    tables: Floats
    unit: str  # "speaker", or "clip" where speakers are not known


def _name(one: FoldResult) -> str:
    return name_of(one.predictions.model, one.recipe["name"])


def _run(one: FoldResult) -> tuple[int, int]:
    return one.predictions.seed, one.predictions.fold


def _paired(
    first: Sequence[FoldResult], second: Sequence[FoldResult], of_audio: bool
) -> list[tuple[FoldResult, FoldResult]]:
    """Seed by seed and fold by fold, after making sure that both heard the same."""
    one, two = (sorted(side, key=_run) for side in (first, second))
    if not one or [_run(fold) for fold in one] != [_run(fold) for fold in two]:
        runs = [
            "; ".join(f"seed {seed} fold {fold}" for seed, fold in map(_run, side)) or "none" for side in (one, two)
        ]
        raise ConfigError(f"only models tested on the same folds and seeds can be paired, not {runs[0]} with {runs[1]}")
    for a, b in zip(one, two, strict=True):
        for what in ("corpus", "protocol", "labels", "keys"):
            if getattr(a.predictions, what) != getattr(b.predictions, what):
                where = f"{_name(a)} and {_name(b)}, seed {a.predictions.seed} fold {a.predictions.fold}"
                raise ConfigError(f"{where}: differ in their {what}, so nothing can be paired; test both on the same")
        if a.audio != b.audio and not of_audio:
            raise ConfigError(f"{_name(a)} heard {a.audio} audio and {_name(b)} {b.audio}; test both on the same")
    return list(zip(one, two, strict=True))


def _by_unit(runs: Sequence[Predictions]) -> _Judged:
    """What may be drawn with replacement, as `metrics.clustered_bootstrap` decides it, and the confusion of each."""
    people = [person for run in runs for person in run.people]
    unit = metrics.drawn_unit(people)
    drawn = people if unit == "speaker" else [clip for run in runs for clip in run.clips]
    names, unit_of = np.unique(np.asarray(drawn), return_inverse=True)
    seeds = sorted({run.seed for run in runs})
    seed_of = np.concatenate([np.full(len(run.keys), seeds.index(run.seed)) for run in runs])
    truth, predicted = (np.concatenate([getattr(run, what) for run in runs]) for what in ("truth", "predicted"))
    classes = len(runs[0].labels)
    tables = np.zeros((len(seeds), len(names), classes, classes))
    np.add.at(tables, (seed_of, unit_of, truth, predicted), 1)
    return _Judged(tables, unit)


def _draws(units: int, seed: int) -> Floats:
    """How often each unit was drawn, (resamples, units)."""
    return metrics.multiplicities(np.random.default_rng(seed), RESAMPLES, units)


def _values(metric: Metric, tables: Floats, weights: Floats) -> Floats:
    """The metric of all folds of a seed taken together, averaged over seeds, per line of weights."""
    return np.asarray(np.nanmean([metric(np.tensordot(weights, of_seed, 1)) for of_seed in tables], 0))


def _pooled(metric: Metric, tables: Floats) -> float:
    return float(_values(metric, tables, np.ones((1, tables.shape[1])))[0])


def _limits(values: Floats) -> list[float]:
    return [round(float(limit), DECIMALS) for limit in np.quantile(values, [0.025, 0.975])]


def _difference(
    metric: Metric,
    one: Sequence[Predictions],
    two: Sequence[Predictions],
    judged: tuple[_Judged, _Judged],
    draws: Floats,
    ratio: float | None,
) -> dict[str, Any]:
    first, second = (_pooled(metric, side.tables) for side in judged)
    resampled = [_values(metric, side.tables, draws) for side in judged]
    per_run = [float(metric(a.confusion) - metric(b.confusion)) for a, b in zip(one, two, strict=True)]
    return {
        "first": round(first, DECIMALS),
        "second": round(second, DECIMALS),
        "difference": round(first - second, DECIMALS),
        "ci95": _limits(resampled[0] - resampled[1]),
        "per_run": [round(value, DECIMALS) for value in per_run],
        "t_test": _t_test(per_run, ratio),
    }


def _t_test(differences: Sequence[float], ratio: float | None) -> dict[str, float | None] | None:
    """None where there is a single run, or where the protocol does not say how much was trained on."""
    if len(differences) < 2 or ratio is None:
        return None
    test = metrics.corrected_t_test(differences, ratio)
    t = _significant(test.t) if np.isfinite(test.t) else None  # JSON has no infinity
    return {"mean": round(test.mean, DECIMALS), "t": t, "p": _significant(test.p), "tested_to_trained": round(ratio, 4)}


def _mcnemar(one: Sequence[Predictions], two: Sequence[Predictions]) -> list[dict[str, Any]]:
    """One test per seed, over its folds together: within a seed every sample is tested once."""
    tests = []
    for seed in sorted({run.seed for run in one}):
        right = [
            np.concatenate([run.predicted == run.truth for run in side if run.seed == seed]) for side in (one, two)
        ]
        test = metrics.mcnemar(*right)
        tests.append({"seed": seed, **test._asdict(), "p": _significant(test.p)})
    return tests


def _significant(value: float) -> float:
    return float(f"{value:.4g}")
