"""Training: the loop learns, repeats, resumes to the same weights, and never sees the test part."""

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from feltone.doors import cli
from feltone.errors import ConfigError
from feltone.features import DEFAULT
from feltone.lab import corpora, dataset, protocols
from feltone.lab.augment import COPIES
from feltone.lab.experiment import is_trained
from feltone.lab.models import Output, build
from feltone.lab.protocols import Sample
from feltone.lab.recipes import RECIPES, Recipe, recipe
from feltone.lab.training import checkpoint, loop, losses
from feltone.lab.training.learner import Tick, epoch_order
from feltone.lab.training.loop import said_of
from feltone.lab.training.losses import Expected
from feltone.lab.training.machine import Machine
from feltone.lab.training.run import Run, train, train_many
from feltone.lab.training.schedule import Job
from feltone.lab.training.stages import Stage, three_stages
from feltone.lab.training.step import share
from feltone.labels import LabelSet
from toy import CLASSIFY, PLAIN, TINY, run_fit, same_weights, stopped_and_continued, toy_data


def test_the_loop_learns_what_can_be_learnt(tmp_path: Path) -> None:
    ticks = []
    run_fit(CLASSIFY, tmp_path / "c", on_tick=ticks.append)
    assert ticks[-1].accuracy == 1.0 and ticks[-1].loss < 0.1 * ticks[0].loss


def test_matching_brings_the_feature_to_the_teachers(tmp_path: Path) -> None:
    data = toy_data(feature=32)
    data.feature[:] = data.feature[:1]  # a teacher whose feature is one point, which any student can reach
    ticks = []
    stage = Stage("m", "student", {"feature_l1": 1.0}, teacher="t", epochs=6, learning_rate=3e-3)
    network = run_fit(stage, tmp_path / "c", data, on_tick=ticks.append)
    assert ticks[-1].loss < 0.3 * ticks[0].loss
    fresh = build(TINY, 2, seed=0)
    assert torch.equal(network.classifier.weight, fresh.classifier.weight)  # matching does not train the classifier


def test_a_run_repeats_bit_for_bit_and_another_seed_differs(tmp_path: Path) -> None:
    first, again = run_fit(CLASSIFY, tmp_path / "a"), run_fit(CLASSIFY, tmp_path / "b")
    other = run_fit(CLASSIFY, tmp_path / "c", seed=1)
    assert same_weights(first, again) and not same_weights(first, other)


@pytest.mark.parametrize("stop_after", [1, 5, 6, 7, 13])
def test_stopped_after_any_step_it_continues_to_the_same_weights(
    tmp_path: Path, stop_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    continued = stopped_and_continued(CLASSIFY, tmp_path / "interrupted", stop_after, monkeypatch)
    assert same_weights(continued, run_fit(CLASSIFY, tmp_path / "straight"))


def test_resumed_reports_are_those_of_an_uninterrupted_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(loop, "TICK_SECONDS", 1e9)  # on a busy machine there are others than an epoch's last
    straight, halves = [], []
    run_fit(CLASSIFY, tmp_path / "a", on_tick=straight.append)
    run_fit(replace(CLASSIFY, epochs=2), tmp_path / "b", on_tick=halves.append)
    run_fit(CLASSIFY, tmp_path / "b", on_tick=halves.append)
    assert [tick._replace(epochs=4) for tick in halves] == straight


def test_a_checkpoint_that_takes_long_to_write_is_written_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 1e-6)
    monkeypatch.setattr(loop, "TICK_SECONDS", 0.0)

    def written(affordable: float) -> int:
        monkeypatch.setattr(loop, "CHECKPOINT_COST", affordable)
        file, found = tmp_path / f"{affordable}", set[int]()

        def look(tick: Tick) -> None:
            if state := checkpoint.read(file):
                found.add(state["position"]["epoch"] * tick.steps + state["position"]["step"])

        run_fit(CLASSIFY, file, on_tick=look)
        return len(found)

    assert written(1e9) == 4 * 6 - 1  # one after every step; the last step's, nothing of the stage looks at
    assert written(1e-12) == 1


def test_every_sample_is_seen_once_per_epoch_in_an_order_of_its_own() -> None:
    orders = [epoch_order(50, 0, "s", epoch) for epoch in range(3)] + [epoch_order(50, 0, "other", 0)]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4


def test_two_processes_share_a_batch_as_one_would_do_it() -> None:
    rows = np.arange(4)
    parts = [share(rows, _Rank(rank, 2)) for rank in (0, 1)]
    assert sorted(np.concatenate(parts)) == [0, 1, 2, 3]
    assert all(list(share(rows[:3], _Rank(rank, 2))) == [0, 1, 2] for rank in (0, 1))  # odd: each does all


class _Rank:
    def __init__(self, global_rank: int, world_size: int) -> None:
        self.global_rank, self.world_size = global_rank, world_size


def test_features_do_not_depend_on_how_images_are_batched() -> None:
    network, data = build(TINY, 2, seed=0), toy_data()
    fabric = Fabric(accelerator="cpu", devices=1)
    one, many = (said_of(network, data.images, fabric, batch=size) for size in (1, 7))
    assert torch.allclose(one.feature, many.feature, atol=1e-5)
    assert torch.allclose(one.logits, many.logits, atol=1e-5)


def test_losses_equal_their_formulas() -> None:
    logits, feature = torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([[1.0, 3.0], [0.0, 0.0]])
    output = Output(logits, feature, torch.zeros(0))
    expected = Expected(torch.tensor([0, 1]), torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    by_hand = (-np.log(np.exp(2) / (np.exp(2) + 1)) - np.log(0.5)) / 2
    assert losses.cross_entropy(output, expected).item() == pytest.approx(by_hand)
    assert losses.feature_l1(output, expected).item() == pytest.approx((1 + 2 + 1 + 0) / 4)


def test_the_three_stages_are_the_papers() -> None:
    teacher, matching, student = three_stages("teacher", "student")
    assert [s.epochs for s in (teacher, matching, student)] == [50, 50, 50]
    assert (teacher.batch, teacher.learning_rate, teacher.halve_every) == (4, 1e-4, 10)
    assert dict(teacher.losses) == {"cross_entropy": 1} and teacher.teacher is None
    assert dict(matching.losses) == {"feature_l1": 1} and (matching.teacher, matching.start) == ("teacher", None)
    assert dict(student.losses) == {"cross_entropy": 1, "feature_l1": 10}
    assert (student.teacher, student.start) == ("teacher", "matching")
    assert [teacher.learning_rate_at(epoch) for epoch in (0, 9, 10, 49)] == [1e-4, 1e-4, 5e-5, 1e-4 / 16]


def test_stages_that_cannot_be_are_refused_with_the_remedy() -> None:
    with pytest.raises(ConfigError, match=r"hinge.*cross_entropy, feature_l1"):
        Stage("s", "student", {"hinge": 1.0})
    with pytest.raises(ConfigError, match="needs a teacher"):
        Stage("s", "student", {"feature_l1": 1.0})
    with pytest.raises(ConfigError, match="at least 1"):
        Stage("s", "student", {"cross_entropy": 1.0}, epochs=0)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_builds_and_says_how_it_is_run(name: str) -> None:
    assert recipe(name).name == name
    assert f"feltone train {name}" in (RECIPES[name].__doc__ or "") and "Cost:" in (RECIPES[name].__doc__ or "")


def test_an_unknown_recipe_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'papper'.*paper"):
        recipe("papper")


def test_a_folder_with_other_settings_is_not_continued(synthetic_emodb: Path, tmp_path: Path) -> None:
    clips = corpora.read("emodb", synthetic_emodb)
    fold, labels = protocols.clean(clips, 0)[0], LabelSet.of(clip.label for clip in clips)
    short = Recipe("short", (replace(recipe("smoke").stages[0], batch=64),))
    common = {"labels": labels, "out": tmp_path / "run", "machine": PLAIN, "cache": tmp_path / "cache"}
    train(short, fold, seed=0, **common)
    with pytest.raises(ConfigError, match=r"another seed.*another --out"):
        train(short, fold, seed=1, **common)


@pytest.mark.parametrize(("options", "wanted"), [((), [[3], [4]]), (("--together", "2"), [[3, 4]])])
def test_seeds_are_asked_for_in_one_command(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], wanted: list[list[int]]
) -> None:
    groups = []

    def train_jobs(recipe: Recipe, material: object, group: list[Job], out: Path, **_: object) -> list[dict]:
        groups.append([job.seed for job in group])
        assert {job.fold.index for job in group} == {1} and not is_trained(group[0], recipe, out)
        return [{"student": SimpleNamespace(folder=out)} for _ in group]

    monkeypatch.setattr("feltone.lab.experiment.train_jobs", train_jobs)
    monkeypatch.setattr("feltone.lab.experiment.judge_fold", lambda *_, **__: None)
    monkeypatch.setattr("feltone.doors.train.evaluate_run", lambda *_, **__: None)
    command = ["train", "smoke", "--corpus", "manifest", "--data", str(table), "--protocol", "clean"]
    command += ["--out", str(tmp_path / "run"), "--seed", "3", "--seeds", "2", "--no-compile", "--accelerator", "cpu"]
    assert cli.run([*command, *options]) == 0
    assert groups == wanted


def test_runs_trained_together_lie_and_continue_where_each_alone_would(synthetic_emodb: Path, tmp_path: Path) -> None:
    clips = [clip for clip in corpora.read("emodb", synthetic_emodb) if clip.label in ("anger", "boredom")]
    folds = [protocols.clean(clips, seed)[0] for seed in (0, 1)]
    labels, cache = LabelSet.of(clip.label for clip in clips), tmp_path / "cache"
    short = Recipe("short", (replace(recipe("smoke").stages[0], batch=64),))
    company = replace(PLAIN, together=2)
    runs = [Run(fold, labels, seed, tmp_path / "both" / str(seed)) for seed, fold in enumerate(folds)]
    together = train_many(short, runs, machine=company, cache=cache)
    for run, networks in zip(runs, together, strict=True):
        lonely = tmp_path / "alone" / str(run.seed)
        alone = train(short, run.fold, labels, lonely, seed=run.seed, machine=PLAIN, cache=cache)
        assert sorted(path.name for path in run.out.iterdir()) == sorted(path.name for path in lonely.iterdir())
        assert (run.out / "settings.json").read_text() == (lonely / "settings.json").read_text()
        again = train(short, run.fold, labels, run.out, seed=run.seed, machine=PLAIN, cache=cache)  # nothing to do
        assert same_weights(again["teacher"], networks["teacher"])
        apart = torch.cat([(a - b).flatten() for a, b in zip(*weights_of(alone, networks), strict=True)])
        assert apart.abs().mean() < 0.01 * short.stages[0].learning_rate  # of a single step of Adam each
    seconds = [json.loads((run.out / "seconds.json").read_text())["teacher"] for run in runs]
    assert seconds[0] == seconds[1]  # their shares of the time


def weights_of(*trained: dict[str, torch.nn.Module]) -> list[list[torch.Tensor]]:
    return [list(networks["teacher"].state_dict().values()) for networks in trained]


def test_training_together_excludes_several_processes() -> None:
    with pytest.raises(ConfigError, match="together 2"):
        Machine.of("cpu", 2, "32", compiled=False, threads=None, together=2)


def test_loading_holds_little_more_than_the_images_it_returns(synthetic_emodb: Path, tmp_path: Path) -> None:
    clips = corpora.read("emodb", synthetic_emodb)
    labels, some = LabelSet.of(clip.label for clip in clips), protocols.clean(clips, 0)[0].train
    for samples in (some, some[::4]):  # every copy of a clip, or one of four
        dataset.load(samples, labels, DEFAULT, 0, tmp_path)
        tracemalloc.start()
        loaded = dataset.load(samples, labels, DEFAULT, 0, tmp_path)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert loaded.images.nbytes <= peak <= 1.2 * loaded.images.nbytes


def test_loading_keeps_the_order_asked_for(synthetic_emodb: Path, tmp_path: Path) -> None:
    clips = corpora.read("emodb", synthetic_emodb)[:5]
    labels = LabelSet.of(clip.label for clip in clips)
    samples = [Sample(clip, copy) for copy in ("speed", "original") for clip in reversed(clips)]
    told = []
    loaded = dataset.load(samples, labels, DEFAULT, 0, tmp_path, lambda *progress: told.append(progress))
    copies = list(COPIES)
    for image, target, sample in zip(loaded.images, loaded.targets, samples, strict=True):
        assert np.array_equal(image, dataset.copies_of(sample.clip, DEFAULT, 0, tmp_path)[copies.index(sample.copy)])
        assert labels.names[target] == sample.clip.label
    assert told == [(done, 5) for done in range(1, 6)]
