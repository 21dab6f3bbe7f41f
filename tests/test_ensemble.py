"""Networks trained together, and a captured step: what comes out is what the plain step alone would make."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from feltone.lab.models import ModelConfig, PatchViT, build
from feltone.lab.protocols import Fold, Sample
from feltone.lab.training import checkpoint, graphs, loop
from feltone.lab.training.ensemble import Ensemble
from feltone.lab.training.learner import Learner, Tick
from feltone.lab.training.loop import fit, fit_many, position_of
from feltone.lab.training.machine import MOST_TOGETHER, Machine
from feltone.lab.training.resident import TrainingData
from feltone.lab.training.schedule import Job, groups
from feltone.lab.training.stacked_adam import StackedAdam
from feltone.lab.training.stages import Stage
from feltone.lab.training.step import Single, Step

SMALL = {"image": (32, 32), "patch": (32, 1), "token_width": 32, "head_width": 8, "mlp_width": 32}
STUDENT = ModelConfig(depth=2, heads=2, **SMALL)
TEACHER = replace(STUDENT, depth=1, stem=True, position="coordinates")
MATCHING = Stage("matching", "student", {"feature_l1": 1.0}, teacher="t", epochs=2, learning_rate=1e-3, halve_every=1)
STUDYING = replace(MATCHING, name="student", losses={"cross_entropy": 1.0, "feature_l1": 10.0})
TEACHING = replace(MATCHING, name="teacher", losses={"cross_entropy": 1.0}, teacher=None)
WAYS = {"teacher": (TEACHER, TEACHING), "matching": (STUDENT, MATCHING), "student": (STUDENT, STUDYING)}
SEEDS = (0, 1, 2)
FABRIC = Machine(precision="32-true", compiled=False, threads=1).fabric()


def noise(seed: int, count: int = 10) -> TrainingData:
    """Samples that differ with the seed; the last batch of four is short."""
    rng = np.random.default_rng(seed)
    images = rng.random((count, 32, 32)).astype(np.float16)
    feature = torch.from_numpy(rng.standard_normal((count, 32), np.float32))
    return TrainingData(images, rng.integers(0, 2, count), feature)


def learners(
    config: ModelConfig, folder: Path, seeds: Sequence[int] = SEEDS, on_tick: Callable[[Tick], None] = lambda tick: None
) -> list[Learner]:
    folder.mkdir(exist_ok=True)
    return [Learner(build(config, 2, seed), noise(seed), seed, folder / str(seed), on_tick) for seed in seeds]


def alone(stage: Stage, members: Sequence[Learner]) -> list[PatchViT]:
    for it in members:
        own = {"seed": it.seed, "checkpoint": it.checkpoint, "on_tick": it.on_tick}
        fit(stage, it.network, it.data, fabric=FABRIC, compiled=False, **own)
    return [it.network for it in members]


def together(stage: Stage, members: Sequence[Learner]) -> list[PatchViT]:
    fit_many(stage, members, fabric=FABRIC, compiled=False)
    return [it.network for it in members]


def assert_close(one: PatchViT, other: PatchViT) -> None:
    """Weights apart by rounding: 1e-4, where six steps of Adam move them by 4e-3.

    All but the stem's biases: normalisation cancels them, and Adam makes steps of the rounding of a gradient of zero.
    """
    pairs = zip(one.named_parameters(), other.parameters(), strict=True)
    assert max((a - b).abs().max().item() for (name, a), b in pairs if not cancelled(name)) < 1e-4


def cancelled(name: str) -> bool:
    return name.startswith("stem.") and name.endswith(".bias")


def equal(one: PatchViT, other: PatchViT) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("way", WAYS)
def test_networks_learn_together_what_each_learns_alone(tmp_path: Path, way: str) -> None:
    config, stage = WAYS[way]
    apart, joined = (learners(config, tmp_path / name) for name in ("apart", "joined"))
    for one, other in zip(alone(stage, apart), together(stage, joined), strict=True):
        assert_close(one, other)


def test_the_first_gradient_is_each_networks_own_also_in_bf16() -> None:
    fabric = Machine(precision="bf16-mixed", compiled=False, threads=1).fabric()
    rows = torch.tensor([[0, 1, 2, 3], [4, 5, 6, 7], [9, 8, 1, 0]])
    networks, data = [build(TEACHER, 2, seed) for seed in SEEDS], [noise(seed) for seed in SEEDS]
    ensemble = Ensemble(TEACHING, networks, data, fabric=fabric)
    ensemble.judge(rows)[0].sum().backward()
    for member, (network, samples) in enumerate(zip(networks, data, strict=True)):
        single = Single(TEACHING, network, samples, fabric=fabric)
        fabric.backward(single.judge(rows[member])[0])
        names = [name for name, _ in network.named_parameters() if not cancelled(name)]
        own = torch.cat([network.get_parameter(name).grad.flatten() for name in names])
        stacked = torch.cat([ensemble.parameters[name].grad[member].flatten() for name in names])
        assert (own - stacked).norm() < 0.05 * own.norm()  # eight bits of mantissa


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch of itself, in tracing
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # likewise
def test_the_step_of_several_networks_can_be_compiled_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    tracing = partial(torch.compile, backend="aot_eager", fullgraph=True)  # all of it but the making of kernels
    monkeypatch.setattr(torch, "compile", tracing)
    networks, data = [build(TEACHER, 2, seed) for seed in SEEDS], [noise(seed) for seed in SEEDS]
    rows = torch.tensor([[0, 1, 2, 3], [4, 5, 6, 7], [9, 8, 1, 0]])
    plain, compiled = (Ensemble(TEACHING, networks, data, fabric=FABRIC, compiled=way) for way in (False, True))
    assert torch.allclose(plain.judge(rows)[0], compiled.judge(rows)[0], rtol=1e-5)


def test_networks_that_do_not_stack_take_turns_and_learn_what_each_learns_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = []
    monkeypatch.setattr(Single, "learn", lambda self, rows, real=Single.learn: turns.append(self) or real(self, rows))
    monkeypatch.setattr(loop, "side_by_side", lambda fabric: 2)
    monkeypatch.setattr(loop, "TICK_SECONDS", 0.0)

    def ragged(name: str) -> list[Learner]:
        made = learners(TEACHER, tmp_path / name)
        return [replace(one, data=noise(one.seed, 4 + one.seed)) for one in made]

    apart = alone(TEACHING, ragged("apart"))
    turns.clear()
    joined = together(TEACHING, ragged("joined"))
    assert turns[0] is not turns[1] and turns[0] is turns[2]  # two at a time, then the third
    assert len(set(map(id, turns))) == 3
    assert all(equal(one, other) for one, other in zip(apart, joined, strict=True))


def test_a_networks_samples_do_not_concern_the_others(tmp_path: Path) -> None:
    before = learners(STUDENT, tmp_path / "before")
    after = learners(STUDENT, tmp_path / "after")
    after[1] = replace(after[1], data=noise(7))
    (a, b, c), (x, y, z) = together(STUDYING, before), together(STUDYING, after)
    assert equal(a, x) and equal(c, z) and not equal(b, y)


def test_reports_of_every_network_are_its_own(tmp_path: Path) -> None:
    def ticks_of(train: Callable, name: str) -> list[Tick]:
        ticks: list[Tick] = []
        train(STUDYING, learners(STUDENT, tmp_path / name, on_tick=ticks.append))
        return sorted(ticks, key=lambda tick: (tick.epoch, tick.accuracy, tick.loss))

    apart, joined = ticks_of(alone, "apart"), ticks_of(together, "joined")
    assert len(apart) == len(joined) == 6
    assert [tick._replace(loss=0) for tick in apart] == [tick._replace(loss=0) for tick in joined]
    assert np.allclose([tick.loss for tick in apart], [tick.loss for tick in joined], rtol=1e-4)


@pytest.mark.parametrize(("first", "then"), [(alone, together), (together, alone)])
def test_a_checkpoint_does_not_tell_whether_its_network_was_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: Callable, then: Callable
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(loop, "TICK_SECONDS", 0.0)
    ticks = []

    def stop(tick: Tick) -> None:
        ticks.append(tick)
        if (tick.epoch, tick.step) == (2, 2):
            raise InterruptedError

    for part in [SEEDS] if first is together else [[seed] for seed in SEEDS]:
        with pytest.raises(InterruptedError):
            first(STUDYING, learners(STUDENT, tmp_path, part, stop))
    continued = learners(STUDENT, tmp_path)
    assert [position_of(checkpoint.read(it.checkpoint)) for it in continued] == [(1, 1)] * 3
    straight = alone(STUDYING, learners(STUDENT, tmp_path / "straight"))
    for one, other in zip(then(STUDYING, continued), straight, strict=True):
        assert_close(one, other)


def test_networks_that_stopped_at_different_places_still_end_well(tmp_path: Path) -> None:
    alone(replace(STUDYING, epochs=1), learners(STUDENT, tmp_path, [1]))
    straight = alone(STUDYING, learners(STUDENT, tmp_path / "straight"))
    for one, other in zip(together(STUDYING, learners(STUDENT, tmp_path)), straight, strict=True):
        assert_close(one, other)


class Device:
    """What `graphs` asks of `torch.cuda`, on a CPU: a graph that runs the step it was shown, and a count of calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fault: RuntimeError | None = None) -> None:
        self.recording, self.fault, self.captures, self.replays = False, fault, 0, 0
        stream = SimpleNamespace(wait_stream=lambda other: None)
        monkeypatch.setattr(torch.cuda, "Stream", lambda: stream)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda: stream)
        monkeypatch.setattr(torch.cuda, "set_stream", lambda stream: None)
        monkeypatch.setattr(torch.cuda, "stream", contextmanager(lambda stream: (yield)))
        monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(replay=self.replay))
        monkeypatch.setattr(torch.cuda, "graph", contextmanager(self.capture))

    def capture(self, graph: object, stream: object) -> Iterator[None]:  # noqa: ARG002
        self.captures, self.recording = self.captures + 1, True
        yield
        self.recording = False
        if self.fault:
            raise self.fault

    def replay(self) -> None:
        self.replays += 1
        self.step(self.rows)

    def seen_by(self, step: Step) -> Step:
        """The same step, of which a capture keeps the arguments and computes nothing."""
        self.step, step.captured = step.plainly, graphs.Captured(step.stage.batch)

        def plainly(rows: torch.Tensor) -> None:
            if self.recording:
                self.rows = rows
            else:
                self.step(rows)

        step.plainly = plainly
        return step


@pytest.mark.parametrize("members", [1, 3])
def test_a_captured_step_learns_what_the_plain_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: int
) -> None:
    plain = learners(STUDENT, tmp_path / "plain", SEEDS[:members])
    fit_many(STUDYING, plain, fabric=FABRIC, compiled=False)
    device = Device(monkeypatch)
    for name in ("make_step", "make_ensemble"):
        make = getattr(loop, name)
        monkeypatch.setattr(loop, name, lambda *args, make=make, **options: device.seen_by(make(*args, **options)))
    captured = learners(STUDENT, tmp_path / "captured", SEEDS[:members])
    fit_many(STUDYING, captured, fabric=FABRIC, compiled=False)
    assert (device.captures, device.replays) == (1, 4 - graphs.WARM_UPS)  # two full batches in each of two epochs
    assert all(equal(one.network, other.network) for one, other in zip(plain, captured, strict=True))


def test_a_step_that_cannot_be_captured_goes_on_without(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch, fault=RuntimeError("operation not permitted"))
    plain, step = (Single(STUDYING, build(STUDENT, 2, 0), noise(0), fabric=FABRIC) for _ in range(2))
    device.seen_by(step)
    rows = [np.array([0, 1, 2, 3]), np.array([4, 5, 6, 7])] * 3
    for batch in rows[: graphs.WARM_UPS]:
        step(batch)
    with pytest.warns(UserWarning, match=r"uncaptured.*operation not permitted"):
        step(rows[graphs.WARM_UPS])
    for batch in rows[graphs.WARM_UPS + 1 :]:
        step(batch)
    for batch in rows:
        plain(batch)
    assert device.captures == 1 and equal(plain.network, step.network)


def test_a_short_batch_is_not_worth_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    Device(monkeypatch)
    compiled: list[int] = []

    def backend(module: torch.fx.GraphModule, examples: list[torch.Tensor]) -> Callable:
        compiled.append(len(examples[0]))
        return module.forward

    doubled = torch.compile(lambda rows: 2 * rows, dynamic=False, backend=backend)
    captured, seen = graphs.Captured(batch=4), list[int]()
    for length in (4, 3, 4, 1):
        captured(lambda rows: seen.append(int(doubled(rows).sum())), torch.arange(length))
    assert seen == [12, 6, 12, 0] and compiled == [4]


def test_a_graph_reads_the_learning_rate_where_it_lies() -> None:
    rate = torch.tensor(1e-3)
    step = Single(STUDYING, build(STUDENT, 2, 0), noise(0), fabric=FABRIC)
    step.adam.param_groups[0]["lr"] = rate
    step.learn_at(5e-4)
    assert step.adam.param_groups[0]["lr"] is rate and rate.item() == pytest.approx(5e-4)
    assert step.states()[0]["optimizer"]["param_groups"][0]["lr"] == pytest.approx(5e-4)


@pytest.mark.parametrize("way", WAYS)
def test_a_network_with_fewer_samples_rests_while_the_others_go_on(tmp_path: Path, way: str) -> None:
    config, stage = WAYS[way]

    def ragged(name: str) -> list[Learner]:
        made = learners(config, tmp_path / name)
        return [replace(one, data=noise(one.seed, 4 * (2 + one.seed))) for one in made]

    for one, other in zip(alone(stage, ragged("apart")), together(stage, ragged("joined")), strict=True):
        assert_close(one, other)


def test_reports_of_networks_with_unequal_samples_are_those_of_each_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "TICK_SECONDS", 1e9)  # on a busy machine there are others than an epoch's last

    def last_of_epoch(train: Callable, name: str) -> set[tuple]:
        ticks: list[Tick] = []
        made = learners(STUDENT, tmp_path / name, on_tick=ticks.append)
        train(STUDYING, [replace(one, data=noise(one.seed, 4 * (2 + one.seed))) for one in made])
        return {(t.epoch, t.step, t.steps, round(t.loss, 4), round(t.accuracy, 4)) for t in ticks}

    assert last_of_epoch(alone, "apart") == last_of_epoch(together, "joined")


def test_stacked_adam_moves_every_member_as_torch_moves_it_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    initial = torch.randn(3, 5, 4, generator=generator)
    stacked = initial.clone().requires_grad_()
    apart = [member.clone().requires_grad_() for member in initial]
    ours, theirs = StackedAdam([stacked], 1e-2), [torch.optim.Adam([member], lr=1e-2) for member in apart]
    for step in range(6):
        active = torch.tensor([True, step % 2 == 0, step < 3])
        stacked.grad = torch.randn(3, 5, 4, generator=generator)
        for member, (own, adam) in enumerate(zip(apart, theirs, strict=True)):
            if active[member]:
                own.grad = stacked.grad[member].clone()
                adam.step()
        ours.step(active)
    assert torch.allclose(stacked, torch.stack(apart), atol=1e-6)
    for member, adam in enumerate(theirs):
        own = adam.state_dict()["state"][0]
        assert all(torch.allclose(own[name], value) for name, value in ours.moments_of(member)[0].items())


def jobs(*sizes: int) -> list[Job]:
    two = [Sample(SimpleNamespace(label=label)) for label in ("anger", "fear")]
    trains = [tuple(two[i % 2] for i in range(size)) for size in sizes]
    return [Job(Fold("clean", k, train, ()), len(sizes), seed=0) for k, train in enumerate(trains, start=1)]


def numbers(sizes: Sequence[int], at_most: int) -> list[list[int]]:
    return [[job.fold.index for job in group] for group in groups(jobs(*sizes), at_most, batch=4)]


def test_runs_of_one_size_are_trained_together_up_to_a_number() -> None:
    sizes = (5, 6, 5, 5, 6)
    assert numbers(sizes, 1) == [[1], [2], [3], [4], [5]]
    assert numbers(sizes, 2) == [[1, 3], [2, 5], [4]]
    assert numbers(sizes, 8) == [[1, 3, 4], [2, 5]]


def test_runs_of_full_batches_are_trained_together_with_those_of_about_their_size() -> None:
    sizes = (8, 80, 12, 84, 9)
    assert numbers(sizes, 1) == [[1], [2], [3], [4], [5]]
    assert numbers(sizes, 2) == [[1, 3], [2, 4], [5]]
    assert numbers(sizes, 8) == [[1, 2, 3, 4], [5]]


def test_seeds_are_trained_together_on_a_gpu_and_one_by_one_elsewhere() -> None:
    assert Machine("cpu").runs_at_once(5) == 1
    assert Machine("cuda").runs_at_once(5) == 5
    assert Machine("cuda").runs_at_once(50) == MOST_TOGETHER
    assert Machine("cuda", devices=2).runs_at_once(5) == 1
    assert Machine("cpu", together=3).runs_at_once(1) == 3
