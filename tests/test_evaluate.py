"""From predictions to rows: nothing is lost on the way, and a row says truthfully what it is a row of."""

import doctest
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, recall_score

from feltone.errors import ConfigError, FeltoneError
from feltone.lab import evaluate
from feltone.lab.corpora.clip import Clip
from feltone.lab.evaluate import Predictions, RunFacts, pool, row, row_file, score, warning_of
from feltone.lab.predictions import key_of
from feltone.lab.protocols import PAPER_WARNING, Leakage, Sample
from feltone.labels import LabelSet

LABELS = LabelSet(("anger", "fear", "neutral"))
NO_LEAK = Leakage(0.0, 0.0, 1.0)
FACTS = RunFacts(1_000, 10, 1.5, "a machine", {"numpy": "2"}, "abc", "feltone train …", "2026-01-01")
SCHEMA = {  # DESIGN §5
    "corpus", "audio", "protocol", "model", "recipe", "folds", "seeds", "wa", "uar", "macro_f1", "leakage", "macs",
    "parameters", "train_seconds", "device", "versions", "commit", "command", "date",
}  # fmt: skip


def predictions(
    fold: int = 1, seed: int = 0, *, n: int = 60, skill: float = 2.0, people: int = 6, **other
) -> Predictions:
    """Predictions of a model that is right more often than not; the more so, the higher its skill."""
    rng = np.random.default_rng([fold, seed])
    truth = rng.integers(3, size=n)
    logits = rng.normal(size=(n, 3)) + skill * np.eye(3)[truth]
    speakers = tuple(f"{fold}{k % people}" for k in range(n))
    fields = {
        "fold": fold,
        "protocol": "speaker",
        "seed": seed,
        "model": "student",
        "corpus": "toy",
        "labels": LABELS,
        "keys": tuple(f"toy/fold {fold} clip {k} original" for k in range(n)),
        "truth": truth,
        "probabilities": np.exp(logits) / np.exp(logits).sum(1, keepdims=True),
        "speakers": speakers,
    }
    return Predictions(**fields | other)


def runs(folds=(1, 2, 3), seeds=(0, 1), leakage=NO_LEAK, **other) -> list[tuple[Predictions, Leakage]]:
    return [(predictions(fold, seed, **other), leakage) for seed in seeds for fold in folds]


def test_the_examples_in_the_docstrings_are_true():
    assert doctest.testmod(evaluate) == (0, 2)


def test_predictions_read_back_score_exactly_as_before():
    made = predictions(speakers=("03", None) * 30)
    read = Predictions.from_json(made.to_json())
    for name in ("fold", "protocol", "seed", "model", "corpus", "labels", "keys", "speakers"):
        assert getattr(read, name) == getattr(made, name)
    np.testing.assert_array_equal(read.truth, made.truth)
    np.testing.assert_array_equal(read.probabilities, made.probabilities)
    assert score(read, NO_LEAK) == score(made, NO_LEAK)
    assert read.to_json() == made.to_json()


def test_a_file_of_predictions_has_one_line_per_sample_and_six_decimals():
    made = predictions()
    lines = [line for line in made.to_json().splitlines() if '"key"' in line]
    assert len(lines) == 60
    stored = json.loads(made.to_json())["samples"]
    assert all(value == round(value, 6) for sample in stored for value in sample["probabilities"])
    assert [sample["truth"] for sample in stored] == [LABELS.names[k] for k in made.truth]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"samples": [], "labels": ["a", "b"]}'])
def test_other_text_is_refused(text):
    with pytest.raises(FeltoneError, match="evaluate again"):
        Predictions.from_json(text)


@pytest.mark.parametrize(
    "wrong",
    [
        {"probabilities": np.full((60, 3), 0.5)},
        {"probabilities": np.full((60, 3), np.nan)},
        {"probabilities": np.full((60, 2), 0.5)},
        {"truth": np.full(60, 3)},
        {"truth": np.zeros(59, int)},
        {"speakers": ("a",)},
        {"keys": ()},
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(wrong):
    with pytest.raises(ValueError, match=r"must|keys|samples"):
        predictions(**wrong)


def test_the_key_of_a_sample_gives_back_its_clip():
    clip = Clip("my corpus", "a name with spaces", Path(), "anger")
    key = key_of(Sample(clip, "noise"))
    assert predictions(keys=(key,) * 60).clips[0] == clip.key


def test_scores_of_a_fold_are_those_of_its_predictions():
    made = predictions()
    found = score(made, NO_LEAK)
    assert found.n == 60
    assert found.wa == pytest.approx(accuracy_score(made.truth, made.predicted))
    assert found.uar == pytest.approx(recall_score(made.truth, made.predicted, average="macro"))
    assert found.macro_f1 == pytest.approx(f1_score(made.truth, made.predicted, average="macro"))
    assert found.uar == pytest.approx(np.mean(list(found.recall.values())))
    assert np.sum(found.confusion) == 60
    for name, interval in found.intervals.items():
        assert interval.low <= getattr(found, name) <= interval.high
        assert (interval.unit, interval.units) == ("speaker", 6)


def test_a_class_that_a_fold_does_not_test_has_no_recall_and_no_part_in_uar():
    made = predictions(truth=np.array([0, 2] * 30))
    found = score(made, NO_LEAK)
    assert found.recall["fear"] is None
    assert found.uar == pytest.approx((found.recall["anger"] + found.recall["neutral"]) / 2)


def test_a_fold_of_one_speaker_draws_clips_and_copies_of_a_clip_together():
    alone = score(predictions(people=1), NO_LEAK).intervals["wa"]
    assert (alone.unit, alone.units) == ("clip", 60)
    keys = tuple(f"toy/{k} {copy}" for k in range(15) for copy in ("original", "noise", "shift", "speed"))
    copied = score(predictions(people=1, keys=keys), NO_LEAK).intervals["wa"]
    assert (copied.unit, copied.units) == ("clip", 15)


def test_speakers_of_the_same_name_in_two_corpora_are_two_people():
    keys = tuple(f"{'a' if k % 2 else 'b'}/{k} original" for k in range(60))
    assert score(predictions(keys=keys, speakers=("03", "03", "08", "08") * 15), NO_LEAK).intervals["wa"].units == 4


def test_mean_and_spread_are_those_of_the_runs():
    found = pool(runs())
    for name, spread in found.metrics.items():
        alone = [[getattr(score(predictions(f, s), NO_LEAK), name) for f in (1, 2, 3)] for s in (0, 1)]
        np.testing.assert_allclose(spread.per_run, alone)
        assert spread.mean == pytest.approx(np.mean(alone))
        assert spread.sd == pytest.approx(np.std(alone, ddof=1))
        assert spread.ci95[0] < spread.pooled < spread.ci95[1]
    assert (found.seeds, found.folds_run, found.n_test) == ([0, 1], [1, 2, 3], 360)
    assert found.resampled == ("speaker", 18)


def test_pooled_is_the_metric_of_all_folds_of_a_seed_averaged_over_seeds():
    by_seed = [[predictions(f, s) for f in (1, 2, 3)] for s in (0, 1)]
    wanted = [
        recall_score(*(np.concatenate([getattr(p, k) for p in line]) for k in ("truth", "predicted")), average="macro")
        for line in by_seed
    ]
    assert pool(runs()).metrics["uar"].pooled == pytest.approx(np.mean(wanted))


def test_a_single_run_has_no_spread_and_is_its_own_mean():
    found, alone = pool(runs([1], [0])), score(predictions(), NO_LEAK)
    assert found.metrics["uar"].sd == 0.0
    assert found.metrics["uar"].mean == found.metrics["uar"].pooled == alone.uar
    assert found.metrics["uar"].ci95 == alone.intervals["uar"][:2]
    assert (found.ece, found.recall, found.confusion) == (alone.ece, alone.recall, alone.confusion)


def test_the_order_in_which_runs_and_samples_arrive_does_not_matter():
    def shuffled(p: Predictions) -> Predictions:
        order = np.random.default_rng(9).permutation(len(p.keys))
        names = {k: tuple(getattr(p, k)[i] for i in order) for k in ("keys", "speakers")}
        return replace(p, truth=p.truth[order], probabilities=p.probabilities[order], **names)

    there = row(pool(runs()), recipe="paper", audio="original", folds=3, facts=FACTS)
    back = [(shuffled(p), leak) for p, leak in reversed(runs())]
    assert row(pool(back), recipe="paper", audio="original", folds=3, facts=FACTS) == there


def test_more_seeds_do_not_narrow_the_interval_as_more_speakers_do():
    def width(**kind) -> float:
        low, high = pool(runs(n=120, **kind)).metrics["uar"].ci95
        return high - low

    once = width(seeds=[0], people=12)
    again = [(replace(predictions(f, 0, n=120, people=12), seed=s), NO_LEAK) for f in (1, 2, 3) for s in (0, 1, 2, 3)]
    low, high = pool(again).metrics["uar"].ci95
    assert high - low == pytest.approx(once)  # the same predictions thrice more are no new evidence
    assert width(seeds=[0], folds=range(1, 13), people=12) < 0.8 * once


def test_seeds_that_test_different_people_can_be_pooled():
    found = pool([(predictions(1, s, speakers=(f"{s}a", f"{s}b") * 30), NO_LEAK) for s in (0, 1)])
    assert found.resampled == ("speaker", 4)
    assert all(np.isfinite(spread.ci95).all() for spread in found.metrics.values())


@pytest.mark.parametrize(
    "made",
    [
        [],
        runs() + runs([1], [0]),
        runs() + runs([1], [2]),
        runs() + runs([4], [0, 1], model="teacher"),
        runs() + runs([4], [0, 1], protocol="clean"),
        runs([1], [0]) + runs([2], [0], labels=LabelSet(("a", "b", "c"))),
    ],
)
def test_runs_that_do_not_make_a_row_are_refused(made):
    with pytest.raises(ConfigError):
        pool(made)


def test_leakage_is_averaged_and_unknown_where_one_run_does_not_know():
    leaks = [Leakage(0.0, 1.0, None), Leakage(0.5, 0.0, 1.0)]
    found = pool([(predictions(k), leak) for k, leak in enumerate(leaks, 1)])
    assert found.leakage == Leakage(0.25, 0.5, None)
    assert "25 % of the test clips" in found.warning


def test_warnings():
    assert warning_of("paper", Leakage(1.0, 1.0, 1.0)) == PAPER_WARNING
    assert warning_of("paper", Leakage(0.0, 0.0, 0.0)) == PAPER_WARNING
    assert warning_of("clean", Leakage(0.0, 1.0, 1.0)) is None
    assert score(predictions(protocol="paper"), NO_LEAK).warning == PAPER_WARNING


def test_a_row_is_the_designs_schema_in_plain_json():
    made = row(pool(runs()), recipe="paper", audio="reconstructed", folds=5, facts=FACTS)
    assert set(made) >= SCHEMA
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    assert set(made["uar"]) >= {"mean", "sd", "ci95", "per_run"}
    assert made["leakage"] == {"same_recording": 0.0, "same_speaker": 0.0, "same_sentence": 1.0}
    assert (made["folds"], made["folds_run"], made["seeds"]) == (5, [1, 2, 3], [0, 1])
    assert (made["audio"], made["device"], made["labels"]) == ("reconstructed", "a machine", list(LABELS))
    assert sum(count for count, _, _ in made["reliability"]) == made["n_test"] == np.sum(made["confusion"])


def test_a_fold_is_named_after_its_speaker_where_it_tests_only_one():
    alone = [(predictions(k, speakers=(f"0{k}",) * 60), NO_LEAK) for k in (1, 2)]
    assert pool(alone).fold_names == ["speaker 01", "speaker 02"]
    assert pool(runs()).fold_names == ["fold 1", "fold 2", "fold 3"]


def test_a_row_cannot_have_more_folds_than_its_protocol():
    with pytest.raises(ConfigError, match="fold 3"):
        row(pool(runs()), recipe="paper", audio="original", folds=2, facts=FACTS)


@pytest.mark.parametrize(
    "parts", [("emodb", "../x", "student"), ("a__b", "clean", "student"), ("", "clean", "student")]
)
def test_a_row_file_cannot_leave_its_folder_or_be_ambiguous(parts):
    assert row_file("crema-d", "speaker-sentence", "student") == "crema-d__speaker-sentence__student.json"
    assert row_file("my_corpus", "clean", "teacher", "int8") == "my_corpus__clean__teacher__int8.json"
    with pytest.raises(ConfigError, match="file name"):
        row_file(*parts)


def test_a_corpus_of_crema_ds_size_is_pooled_in_seconds():
    made = runs(n=1_488, folds=(1, 2, 3, 4, 5), people=18)
    began = time.process_time()
    assert pool(made).resampled == ("speaker", 90)
    assert time.process_time() - began < 15  # takes 1
