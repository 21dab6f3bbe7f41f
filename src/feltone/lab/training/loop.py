"""The only training loop, and the frozen teacher's features.

`fit` is a pure function of its arguments: stage, initial weights, data, seed. The order of the samples is drawn anew
from (seed, stage, epoch), so a checkpoint is weights, optimiser and position; a run that was killed continues to the
same weights, bit for bit on a CPU, as one that was not. `fit_many` does the same for several networks at once.
Of several processes the first one writes, reports and decides; the others take their part of every batch.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from feltone.errors import TrainingError
from feltone.lab.models import Network
from feltone.lab.training import checkpoint as checkpoints
from feltone.lab.training import stopping
from feltone.lab.training.checkpoint import State
from feltone.lab.training.ensemble import REST, make_ensemble, stacks_well
from feltone.lab.training.learner import Learner, Tick
from feltone.lab.training.resident import Taught, TrainingData
from feltone.lab.training.stages import Stage
from feltone.lab.training.step import Step, Totals, make_step

CHECKPOINT_SECONDS = 60.0  # between checkpoints: a stage of many short epochs would spend its time writing them
CHECKPOINT_COST = 2.0  # seconds: one that takes longer to write, of a large network, is written that much less often
TICK_SECONDS = 0.5  # between reports of progress, each of which waits for the device; each epoch ends with one

END = object()  # what `next` says of a course that has run


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
    names: Sequence[str] = (),
) -> float:
    """Train `network` in place to the end of `stage`, continuing from `checkpoint` when it exists.

    Returns the seconds this took, over all sittings.

    Raises:
        TrainingError: a loss that is no number; the message names stage, epoch, step and the samples of the batch.
        Stopped: SIGINT or SIGTERM; a checkpoint of the step reached is written first.
        StorageError: a checkpoint cannot be written; the one before it is unchanged.

    Args:
        stage: what to minimise, how long, how fast.
        network: the learner with its initial weights.
        data: training samples; `feature` where the stage matches a teacher.
        fabric: device, precision and processes.
        seed: of the order of the samples.
        compiled: train by the fastest step there is (see `make_step`), not by the plain one.
        checkpoint: file of the position reached.
        on_tick: told about progress.
        names: of the samples, for messages.
    """
    learner = Learner(network, data, seed, checkpoint, on_tick, names)
    return fit_many(stage, [learner], fabric=fabric, compiled=compiled)[0]


def fit_many(stage: Stage, learners: Sequence[Learner], *, fabric: Fabric, compiled: bool) -> list[float]:
    """`fit` for every learner, all at once: the same weights but for rounding, in far less time on a GPU.

    Networks that stack well make their steps in one (`ensemble.py`); others, and stages beyond the paper, take turns,
    which a CUDA device works on side by side. Those in one step know equally many classes, and their samples are
    equally many or come in full batches (members with fewer rest at the end of an epoch). A checkpoint does not tell
    whether its learner was alone; learners that stopped at different positions are not stacked. Returns the seconds
    that each took over all sittings: its share of the time.
    """
    states = dict(enumerate(_states(learners, fabric)))
    places = list(map(position_of, states.values()))
    if stage.stacks and all(stacks_well(learner.network) for learner in learners):
        groups = [[number for number, at in enumerate(places) if at == place] for place in dict.fromkeys(places)]
    else:
        groups = [[number] for number in range(len(learners))]
    seconds = dict[int, float]()
    begin = partial(_Course.begin, stage, fabric=fabric, compiled=compiled)
    waiting, running = deque(groups), list[tuple[_Course, Iterator[None], list[int]]]()
    with stopping.noticed() as request:
        while waiting or running:
            while waiting and len(running) < side_by_side(fabric):
                numbers = waiting.popleft()
                course = begin([learners[number] for number in numbers], list(map(states.pop, numbers)))
                running.append((course, course.run(), numbers))
            for course, steps, group in list(running):
                course.company = len(running)
                if next(steps, END) is END:
                    running.remove((course, steps, group))
                    seconds |= zip(group, course.seconds, strict=True)
            if request.signal:
                for course, *_ in running:
                    course.leave()
                raise request.stopped(f"in stage {stage.name}, with a checkpoint")
    return [seconds[number] for number in range(len(learners))]


def _states(learners: Sequence[Learner], fabric: Fabric) -> list[State | None]:
    """What the checkpoints hold, as the first process finds it: a damaged one is found damaged once."""
    found = [checkpoints.read(it.checkpoint) for it in learners] if fabric.is_global_zero else []
    return list(fabric.broadcast(found))


def side_by_side(fabric: Fabric) -> int:
    """How many networks that do not stack are worked on at once: on a CUDA device each has a stream of its own."""
    return 16 if fabric.device.type == "cuda" else 1


def said_of(network: Network, images: NDArray[np.float16], fabric: Fabric, batch: int = 32) -> Taught:
    """What a frozen network says of every image, in the precision it trains in: float32, on the CPU."""
    network.to(fabric.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    features = torch.empty(len(images), network.config.token_width)
    logits = torch.empty(len(images), network.classifier.out_features)
    with torch.inference_mode(), fabric.autocast():
        for start in range(0, len(images), batch):
            rows = slice(start, start + batch)
            said = network(torch.from_numpy(images[rows]).to(fabric.device, torch.float32))
            features[rows], logits[rows] = said.embedding, said.logits
    network.cpu()
    return Taught(features, logits)


def position_of(state: State | None) -> tuple[int, int]:
    """Epoch and step that a checkpoint has reached; the beginning where there is none."""
    return (state["position"]["epoch"], state["position"]["step"]) if state else (0, 0)


@dataclass(eq=False)
class _Course:
    """A stage under way: the step that is repeated, and how far it has come with every learner."""

    stage: Stage
    learners: Sequence[Learner]
    advance: Step
    fabric: Fabric
    epoch: int = 0
    step: int = 0  # done in this epoch
    begun: int = 0  # step of this epoch at which the totals were set
    seen: int = 0  # samples of this epoch that were had, of the learner that has most
    seconds: list[float] = field(default_factory=list)  # per learner, of training up to `counted_at`
    counted_at: float = field(default_factory=time.monotonic)
    saved_at: float = field(default_factory=time.monotonic)
    saving: float = 0.0  # seconds that the last checkpoint took
    told_at: float = field(default_factory=time.monotonic)
    company: int = 1  # courses that share the machine, this one included

    @classmethod
    def begin(
        cls,
        stage: Stage,
        learners: Sequence[Learner],
        states: Sequence[State | None],
        *,
        fabric: Fabric,
        compiled: bool,
    ) -> "_Course":
        """At the beginning, or where the checkpoints (all at one position) say."""
        networks, data = [one.network for one in learners], [one.data for one in learners]
        if len(learners) == 1:
            advance = make_step(stage, networks[0], data[0], fabric=fabric, compiled=compiled)
        else:
            advance = make_ensemble(stage, networks, data, fabric=fabric, compiled=compiled)
        course = cls(stage, learners, advance, fabric, seconds=[0.0] * len(learners))
        if there := [state for state in states if state]:
            course.resume(there)
        return course

    def resume(self, states: Sequence[State]) -> None:
        self.advance.load(states)
        positions = [state["position"] for state in states]
        self.advance.totals = [Totals(position["loss"], position["correct"]) for position in positions]
        self.epoch, self.step, self.seen = (positions[0][name] for name in ("epoch", "step", "seen"))
        self.begun, self.seconds = self.step, [position["seconds"] for position in positions]

    def run(self) -> Iterator[None]:
        """Train to the end of the stage, a step at a time."""
        steps = self.steps
        while self.epoch < self.stage.epochs:
            if not self.stage.regimen:  # under one the rate moves with every step
                self.advance.learn_at(self.stage.learning_rate_at(self.epoch))
            if len(self.learners) == 1:  # networks that are stacked leave nothing to chance
                self.advance.deal(self.learners[0].chance(self.stage, self.epoch))
            order = self.order()
            while self.step < steps:
                if self.stage.regimen:
                    self.advance.learn_at(self.stage.learning_rate_at(self.epoch + (self.step + 0.5) / steps))
                self.learn(order[..., self.step * self.stage.batch : (self.step + 1) * self.stage.batch])
                yield
                if self.step == steps or time.monotonic() - self.told_at > TICK_SECONDS:
                    self.report()
                if self.is_due() and self.step < steps:
                    self.save()
            self.epoch, self.step, self.begun, self.seen = self.epoch + 1, 0, 0, 0
            self.advance.totals = [Totals(0.0, 0)] * len(self.learners)
            self.count()
            if self.is_due() or self.epoch == self.stage.epochs:
                self.save()
        self.advance.finish()

    @property
    def steps(self) -> int:
        """Steps of an epoch, of the learner that has most."""
        return max(learner.steps(self.stage) for learner in self.learners)

    def order(self) -> Tensor:
        """Numbers of the samples in the order of this epoch, on the device: (samples,), or (learners, most samples)."""
        orders = [learner.order(self.stage, self.epoch) for learner in self.learners]
        most = max(map(len, orders))
        padded = [np.pad(own, (0, most - len(own)), constant_values=REST) for own in orders]
        return torch.from_numpy(np.stack(padded)).to(self.fabric.device).squeeze(0)

    def learn(self, rows: Tensor) -> None:
        if self.stage.regimen:  # the paper's networks draw nothing; dropout does, from torch's own generator
            torch.manual_seed(self.learners[0].dice(self.stage, self.epoch, self.step))
        try:
            self.advance(rows)
        except RuntimeError as fault:
            if not stopping.is_forsaken(fault):
                raise
            remedy = "the same command continues from the last checkpoint"
            raise TrainingError(f"one of {self.fabric.world_size} processes has ended; {remedy}") from fault
        self.step += 1
        self.seen += rows.shape[-1]

    def report(self) -> None:
        stage, self.told_at = self.stage, time.monotonic()
        if not self.fabric.is_global_zero:
            return
        for learner, (loss, correct) in zip(self.learners, self.sound_totals(), strict=True):
            steps = learner.steps(stage)
            done, seen = min(self.step, steps), min(self.seen, len(learner.data.targets))
            learner.on_tick(Tick(stage.name, self.epoch + 1, stage.epochs, done, steps, loss / done, correct / seen))

    def sound_totals(self) -> list[Totals]:
        """The totals, which waits for the device; raises `TrainingError` where a loss was no number."""
        totals = self.advance.totals
        for learner, total, sound in zip(self.learners, totals, self.advance.sound_steps, strict=True):
            if not math.isfinite(total.loss):
                place = (self.epoch, self.begun + sound)
                raise learner.unsound(self.stage, place, f"the loss is no number ({total.loss})")
        return totals

    def sound_states(self) -> list[State]:
        """Networks and optimisers; raises `TrainingError` where weights are no numbers, whatever the loss was."""
        states = self.advance.states()
        for learner, state in zip(self.learners, states, strict=True):
            if not all(bool(weights.isfinite().all()) for weights in state["network"].values()):
                steps = learner.steps(self.stage)
                last = (self.epoch, min(self.step, steps) - 1) if self.step else (self.epoch - 1, steps - 1)
                raise learner.unsound(self.stage, last, "weights are no numbers any more, after learning")
        return states

    def is_due(self) -> bool:
        """Whether it is time for a checkpoint."""
        return time.monotonic() - self.saved_at > CHECKPOINT_SECONDS * max(1.0, self.saving / CHECKPOINT_COST)

    def count(self) -> None:
        """Bring the seconds up to date: a learner's share of the time that has passed."""
        now = time.monotonic()
        share = (now - self.counted_at) / len(self.learners) / self.company
        self.seconds, self.counted_at = [before + share for before in self.seconds], now

    def leave(self) -> None:
        """Keep what was reached, if anything, in the middle of an epoch or at its end."""
        if self.step == self.steps:
            self.report()
        if self.epoch or self.step:
            self.save()

    def save(self) -> None:
        """Write a checkpoint per learner, all of them sound."""
        self.saved_at = time.monotonic()
        if not self.fabric.is_global_zero:
            return
        totals, states = self.sound_totals(), self.sound_states()  # first, since they wait for the device
        self.count()
        reached = {"epoch": self.epoch, "step": self.step, "seen": self.seen}
        for learner, total, seconds, state in zip(self.learners, totals, self.seconds, states, strict=True):
            position = reached | total._asdict() | {"seconds": seconds}
            checkpoints.write(learner.checkpoint, {"position": position} | state)
        self.saving = time.monotonic() - self.saved_at
