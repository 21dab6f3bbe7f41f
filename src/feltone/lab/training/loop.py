"""The only training loop, and the frozen teacher's features.

`fit` is a pure function of its arguments: stage, initial weights, data, seed. The order of the samples is drawn anew
from (seed, stage, epoch), so a checkpoint is weights, optimiser and position; a run that was killed continues to the
same weights, bit for bit on a CPU, as one that was not. `fit_many` does the same for several networks at once.
"""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from feltone.files import write_atomically
from feltone.lab.models import Network
from feltone.lab.training.ensemble import REST, make_ensemble, stacks_well
from feltone.lab.training.stages import Stage
from feltone.lab.training.step import Step, Totals, TrainingData, make_step

CHECKPOINT_SECONDS = 60.0  # between checkpoints: a stage of many short epochs would spend its time writing them
TICK_SECONDS = 0.5  # between reports of progress, each of which waits for the device; each epoch ends with one

END = object()  # what `next` says of a course that has run

Rows = TypeVar("Rows", Tensor, NDArray[np.int64])


class Tick(NamedTuple):
    """Progress of a stage."""

    stage: str
    epoch: int  # running epoch, from 1
    epochs: int
    step: int  # done in this epoch
    steps: int
    loss: float  # mean over the epoch so far
    accuracy: float  # on the training samples of the epoch so far (WA)


@dataclass(frozen=True)
class Learner:
    """A network on its way through a stage."""

    network: Network  # with its initial weights; trained in place
    data: TrainingData
    seed: int  # of the order of the samples
    checkpoint: Path  # file of the position reached; continued when it exists
    on_tick: Callable[[Tick], None] = lambda tick: None  # told about progress


def fit(
    stage: Stage,
    network: Network,
    data: TrainingData,
    *,
    fabric: Fabric,
    seed: int,
    compiled: bool,
    checkpoint: Path,
    on_tick: Callable[[Tick], None] = lambda tick: None,
) -> float:
    """Train `network` in place to the end of `stage`, continuing from `checkpoint` when it exists.

    Returns the seconds this took, over all sittings.

    Args:
        stage: what to minimise, how long, how fast.
        network: the learner with its initial weights.
        data: training samples; `feature` where the stage matches a teacher.
        fabric: device, precision and processes.
        seed: of the order of the samples.
        compiled: train by the fastest step there is (see `make_step`), not by the plain one.
        checkpoint: file of the position reached.
        on_tick: told about progress.
    """
    return fit_many(stage, [Learner(network, data, seed, checkpoint, on_tick)], fabric=fabric, compiled=compiled)[0]


def fit_many(stage: Stage, learners: Sequence[Learner], *, fabric: Fabric, compiled: bool) -> list[float]:
    """`fit` for every learner, all at once: the same weights but for rounding, in far less time on a GPU.

    Networks that stack well make their steps in one (`ensemble.py`), others take turns, which a CUDA device works on
    side by side. Those in one step know equally many classes, and their samples are equally many or come in full
    batches (members with fewer rest at the end of an epoch). A checkpoint does not tell whether its learner was alone;
    learners that stopped at different positions are not stacked. Returns the seconds that each took over all sittings:
    its share of the time.
    """
    places = [position_of(learner.checkpoint) for learner in learners]
    if all(stacks_well(learner.network) for learner in learners):
        groups = [[number for number, at in enumerate(places) if at == place] for place in dict.fromkeys(places)]
    else:
        groups = [[number] for number in range(len(learners))]
    seconds = dict[int, float]()
    begin = partial(_Course.begin, stage, fabric=fabric, compiled=compiled)
    waiting, running = deque(groups), list[tuple[_Course, Iterator[None], list[int]]]()
    while waiting or running:
        while waiting and len(running) < side_by_side(fabric):
            course = begin([learners[number] for number in waiting[0]])
            running.append((course, course.run(), waiting.popleft()))
        for course, steps, group in list(running):
            course.company = len(running)
            if next(steps, END) is END:
                running.remove((course, steps, group))
                seconds |= zip(group, course.seconds, strict=True)
    return [seconds[number] for number in range(len(learners))]


def side_by_side(fabric: Fabric) -> int:
    """How many networks that do not stack are worked on at once: on a CUDA device each has a stream of its own."""
    return 16 if fabric.device.type == "cuda" else 1


def epoch_order(samples: int, seed: int, stage: str, epoch: int) -> NDArray[np.int64]:
    """Permutation of the samples for one epoch: a function of its arguments alone."""
    entropy = int.from_bytes(hashlib.sha256(stage.encode()).digest()[:8])
    return np.random.default_rng([seed, entropy, epoch]).permutation(samples)


def features_of(network: Network, images: NDArray[np.float16], fabric: Fabric, batch: int = 32) -> Tensor:
    """Feature of every image by a frozen network, in the precision it trains in: float32, (samples, D), on the CPU."""
    network.to(fabric.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    features = torch.empty(len(images), network.config.token_width)
    with torch.inference_mode(), fabric.autocast():
        for start in range(0, len(images), batch):
            chunk = torch.from_numpy(images[start : start + batch]).to(fabric.device, torch.float32)
            features[start : start + batch] = network(chunk).embedding
    network.cpu()
    return features


def position_of(checkpoint: Path) -> tuple[int, int]:
    """Epoch and step that a checkpoint has reached; the beginning where there is none."""
    if not checkpoint.is_file():
        return 0, 0
    position = _read(checkpoint)["position"]
    return position["epoch"], position["step"]


def _read(checkpoint: Path) -> dict[str, Any]:
    return dict(torch.load(checkpoint, map_location="cpu", weights_only=True))


def _write(checkpoint: Path, state: dict[str, Any]) -> None:
    write_atomically(checkpoint, lambda handle: torch.save(state, handle))


def _share(rows: Rows, fabric: Fabric) -> Rows:
    """This process' part of a batch; a batch that does not divide evenly is done whole by every process."""
    return rows if rows.shape[-1] % fabric.world_size else rows[..., fabric.global_rank :: fabric.world_size]


@dataclass(eq=False)
class _Course:
    """A stage under way: the step that is repeated, and how far it has come with every learner."""

    stage: Stage
    learners: Sequence[Learner]
    advance: Step
    fabric: Fabric
    epoch: int = 0
    step: int = 0  # done in this epoch
    seen: int = 0  # samples of this epoch that this process has had, of the learner that has most
    seconds: list[float] = field(default_factory=list)  # per learner, of training up to `counted_at`
    counted_at: float = field(default_factory=time.monotonic)
    saved_at: float = field(default_factory=time.monotonic)
    told_at: float = field(default_factory=time.monotonic)
    company: int = 1  # courses that share the machine, this one included

    @classmethod
    def begin(cls, stage: Stage, learners: Sequence[Learner], *, fabric: Fabric, compiled: bool) -> "_Course":
        """At the beginning, or where the checkpoints (all at one position) say."""
        networks, data = [one.network for one in learners], [one.data for one in learners]
        if len(learners) == 1:
            advance = make_step(stage, networks[0], data[0], fabric=fabric, compiled=compiled)
        else:
            advance = make_ensemble(stage, networks, data, fabric=fabric, compiled=compiled)
        course = cls(stage, learners, advance, fabric, seconds=[0.0] * len(learners))
        if learners[0].checkpoint.is_file():
            course.resume([_read(learner.checkpoint) for learner in learners])
        return course

    def resume(self, states: Sequence[dict[str, Any]]) -> None:
        self.advance.load(states)
        positions = [state["position"] for state in states]
        self.advance.totals = [Totals(position["loss"], position["correct"]) for position in positions]
        self.epoch, self.step, self.seen = (positions[0][name] for name in ("epoch", "step", "seen"))
        self.seconds = [position["seconds"] for position in positions]

    def run(self) -> Iterator[None]:
        """Train to the end of the stage, a step at a time."""
        steps = max(map(self.steps_of, self.learners))
        while self.epoch < self.stage.epochs:
            self.advance.learn_at(self.stage.learning_rate_at(self.epoch))
            order = self.order()
            while self.step < steps:
                batch = order[..., self.step * self.stage.batch : (self.step + 1) * self.stage.batch]
                self.learn(_share(batch, self.fabric))
                yield
                if self.step == steps or time.monotonic() - self.told_at > TICK_SECONDS:
                    self.report()
                if self.is_due() and self.step < steps:
                    self.save()
            self.epoch, self.step, self.seen = self.epoch + 1, 0, 0
            self.advance.totals = [Totals(0.0, 0)] * len(self.learners)
            self.count()
            if self.is_due() or self.epoch == self.stage.epochs:
                self.save()
        self.advance.finish()

    def steps_of(self, learner: Learner) -> int:
        """Steps of an epoch."""
        return -(-len(learner.data.targets) // self.stage.batch)

    def order(self) -> Tensor:
        """Numbers of the samples in the order of this epoch, on the device: (samples,), or (learners, most samples)."""
        orders = [epoch_order(len(it.data.targets), it.seed, self.stage.name, self.epoch) for it in self.learners]
        most = max(map(len, orders))
        padded = [np.pad(own, (0, most - len(own)), constant_values=REST) for own in orders]
        return torch.from_numpy(np.stack(padded)).to(self.fabric.device).squeeze(0)

    def learn(self, rows: Tensor) -> None:
        self.advance(rows)
        self.step += 1
        self.seen += rows.shape[-1]

    def report(self) -> None:
        stage, self.told_at = self.stage, time.monotonic()
        for learner, (loss, correct) in zip(self.learners, self.advance.totals, strict=True):
            steps = self.steps_of(learner)
            done, seen = min(self.step, steps), min(self.seen, len(learner.data.targets))
            learner.on_tick(Tick(stage.name, self.epoch + 1, stage.epochs, done, steps, loss / done, correct / seen))

    def is_due(self) -> bool:
        """Whether it is time for a checkpoint."""
        return time.monotonic() - self.saved_at > CHECKPOINT_SECONDS

    def count(self) -> None:
        """Bring the seconds up to date: a learner's share of the time that has passed."""
        now = time.monotonic()
        share = (now - self.counted_at) / len(self.learners) / self.company
        self.seconds, self.counted_at = [before + share for before in self.seconds], now

    def save(self) -> None:
        """Write a checkpoint per learner."""
        totals = self.advance.totals  # first, since they wait for the device
        self.count()
        self.saved_at = time.monotonic()
        if self.fabric.global_rank:
            return
        reached = {"epoch": self.epoch, "step": self.step, "seen": self.seen}
        each = zip(self.learners, totals, self.seconds, self.advance.states(), strict=True)
        for learner, total, seconds, state in each:
            position = reached | total._asdict() | {"seconds": seconds}
            _write(learner.checkpoint, {"position": position} | state)
