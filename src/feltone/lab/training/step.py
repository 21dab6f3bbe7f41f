"""One optimisation step: what `fit` repeats, and what a benchmark measures.

`Single` is the specification, plain PyTorch for one network. Two faster ways are held to it by tests: the same step
captured as a CUDA graph (`graphs.py`) and several networks in one step (`ensemble.py`). Images and the teacher's
features lie on the device, and so do the totals: nothing is fetched from there during a step. What several processes
share is a batch: each takes its part, and gradients and totals are those of the whole.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn

from feltone.lab.models import Network, Output
from feltone.lab.training.graphs import Captured, can_capture
from feltone.lab.training.losses import LOSSES, Expected
from feltone.lab.training.resident import Resident, TrainingData
from feltone.lab.training.stages import Stage

Rows = TypeVar("Rows", Tensor, NDArray[np.int64])


class Totals(NamedTuple):
    """What the steps of one network add up."""

    loss: float
    correct: int  # samples recognised


class Step(ABC):
    """One optimisation step of one or several networks, with its totals.

    A `capturable` one is captured as a CUDA graph and replayed.
    """

    def __init__(self, stage: Stage, fabric: Fabric, members: tuple[int, ...], capturable: bool) -> None:
        self.stage, self.fabric, self.device = stage, fabric, fabric.device
        self.whole = False  # what normalises over batches is given whole ones, alike in every process
        self.captured = Captured(stage.batch) if capturable else None
        # Sums in float64 are those that Python would make of the same numbers; Apple's devices have none.
        exact = torch.float32 if self.device.type == "mps" else torch.float64
        self.loss = torch.zeros(members, dtype=exact, device=self.device)
        self.correct = torch.zeros(members, dtype=torch.int64, device=self.device)
        # Steps up to the first whose loss was no number, from which on the sum is none: found without looking.
        self.sound = torch.zeros(members, dtype=torch.int64, device=self.device)

    def __call__(self, rows: Tensor | NDArray[np.int64]) -> None:
        """Learn from these samples: numbers, (B,) for one network, (members, B) for several.

        Nothing is waited for (`join` does); rows that are on the device already are not moved.
        """
        rows = torch.as_tensor(rows).to(self.device, non_blocking=True)
        if self.captured:
            self.captured(self.plainly, rows)
        else:
            self.plainly(rows)

    def join(self) -> None:
        """Let what is asked of the device from here on see what the steps have done."""
        if self.captured:
            self.captured.join()

    def plainly(self, rows: Tensor) -> None:
        """The step itself."""
        loss, correct = self.judge(self.part(rows))
        self.forget()
        self.fabric.backward(loss.sum())
        self.learn(rows)
        loss, correct = self.of_all(rows, loss.detach(), correct)
        self.loss += loss
        self.correct += correct
        self.sound += self.loss.isfinite()

    def part(self, rows: Tensor) -> Tensor:
        """This process' part of a batch."""
        return rows if self.whole else share(rows, self.fabric)

    def of_all(self, rows: Tensor, loss: Tensor, correct: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """Loss and number of samples recognised of a whole batch, from those of this process' part."""
        return loss, correct

    @abstractmethod
    def judge(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and number of samples recognised, of every network: () or (members,)."""

    @abstractmethod
    def forget(self) -> None:
        """Drop the last gradient."""

    @abstractmethod
    def learn(self, rows: Tensor) -> None:
        """Move the weights by the gradient of these samples."""

    @abstractmethod
    def learn_at(self, rate: float) -> None:
        """Set the learning rate."""

    @abstractmethod
    def states(self) -> list[dict[str, Any]]:
        """Per network, its weights and optimiser as a checkpoint holds them: alike however it is trained."""

    @abstractmethod
    def load(self, states: Sequence[dict[str, Any]]) -> None:
        """Continue from `states`; before the first step."""

    def deal(self, rng: np.random.Generator) -> None:  # noqa: B027 - most stages leave nothing to chance
        """Deal the chance of an epoch."""

    def finish(self) -> None:  # noqa: B027 - most steps have nothing to do
        """Leave what was learnt in the networks."""

    @property
    def totals(self) -> list[Totals]:
        """Sums of every network since they were set; waits for the device."""
        self.join()
        return list(map(Totals, self.loss.view(-1).tolist(), self.correct.view(-1).tolist()))

    @totals.setter
    def totals(self, totals: Sequence[Totals]) -> None:
        self.join()
        loss, correct = zip(*totals, strict=True)
        self.loss.copy_(torch.tensor(loss, dtype=self.loss.dtype).view_as(self.loss))
        self.correct.copy_(torch.tensor(correct).view_as(self.correct))
        self.sound.zero_()

    @property
    def sound_steps(self) -> list[int]:
        """Steps of every network since its totals were set, up to the first whose loss was no number."""
        self.join()
        return list(map(int, self.sound.view(-1).tolist()))


class Single(Step):
    """The step of one network, eager or compiled, on one process or on several that share a batch."""

    def __init__(
        self,
        stage: Stage,
        network: Network,
        data: TrainingData,
        *,
        fabric: Fabric,
        compiled: bool = False,
        capturable: bool = False,
    ) -> None:
        network.to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        runnable = torch.compile(network, dynamic=False) if compiled else network
        super().__init__(stage, fabric, (), capturable)
        self.whole = any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
        self.network, self.data = network, Resident(data, fabric.device, stage.regimen)
        # A graph reads the learning rate from the device.
        rate = torch.tensor(stage.learning_rate, device=self.device) if capturable else stage.learning_rate
        self.adam = _adam(network, stage.regimen.decay if stage.regimen else 0.0, rate, capturable)
        self.model, self.optimizer = fabric.setup(runnable, self.adam)
        self.model.train()

    def judge(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """As `Step.judge`: two scalars."""
        images, expected = self.data.batch(rows)
        return verdict(self.stage, self.model(images), expected)

    def of_all(self, rows: Tensor, loss: Tensor, correct: Tensor) -> tuple[Tensor, Tensor]:
        """As `Step.of_all`: the parts are equally large, so that means are means of means."""
        if self.fabric.world_size == 1:
            return loss, correct
        told = torch.stack([loss.double(), correct / len(self.part(rows))])
        mean = self.fabric.all_reduce(told, reduce_op="mean")
        return mean[0], (mean[1] * len(rows)).round().long()

    def deal(self, rng: np.random.Generator) -> None:
        """As `Step.deal`, once the steps before are done."""
        self.join()
        self.data.deal(rng)

    def forget(self) -> None:
        """As `Step.forget`."""
        self.optimizer.zero_grad()

    def learn(self, rows: Tensor) -> None:  # noqa: ARG002
        """As `Step.learn`."""
        self.optimizer.step()

    def learn_at(self, rate: float) -> None:
        """As `Step.learn_at`."""
        self.join()
        for group in self.adam.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)  # where it lies: a captured step reads it there
            else:
                group["lr"] = rate

    def states(self) -> list[dict[str, Any]]:
        """As `Step.states`; the learning rate as a number, wherever it lies here."""
        self.join()
        optimizer = self.optimizer.state_dict()
        groups = [group | {"lr": float(group["lr"]), "capturable": False} for group in optimizer["param_groups"]]
        return [{"network": self.network.state_dict(), "optimizer": optimizer | {"param_groups": groups}}]

    def load(self, states: Sequence[dict[str, Any]]) -> None:
        """As `Step.load`: what Adam remembers of every parameter, with the settings it has here."""
        (state,) = states
        self.network.load_state_dict(state["network"])
        here = self.adam.state_dict()["param_groups"]
        self.adam.load_state_dict({"state": state["optimizer"]["state"], "param_groups": here})


def _adam(network: Network, decay: float, rate: Tensor | float, capturable: bool) -> torch.optim.Adam:
    """Adam; with decay, which normalisations, biases and the class token are spared, AdamW."""
    how: dict[str, Any] = {"lr": rate, "fused": True, "capturable": capturable}
    if not decay:
        return torch.optim.Adam(network.parameters(), **how)
    matrices = [value for value in network.parameters() if value.squeeze().dim() > 1]
    others = [value for value in network.parameters() if value.squeeze().dim() <= 1]
    groups = [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, **how)


def share(rows: Rows, fabric: Fabric) -> Rows:
    """This process' part of a batch; a batch that does not divide evenly is done whole by every process."""
    return rows if rows.shape[-1] % fabric.world_size else rows[..., fabric.global_rank :: fabric.world_size]


def make_step(stage: Stage, network: Network, data: TrainingData, *, fabric: Fabric, compiled: bool) -> Step:
    """The fastest step of one network on this machine; without `compiled`, the plain one.

    Args:
        stage: what to minimise.
        network: the learner with its initial weights; trained in place.
        data: training samples; `feature` where the stage matches a teacher.
        fabric: device, precision and processes.
        compiled: run the network through `torch.compile` and, on a CUDA device, the whole step as a CUDA graph (other
            rounding than eager, several times faster).
    """
    capturable = compiled and can_capture(fabric)
    return Single(stage, network, data, fabric=fabric, compiled=compiled, capturable=capturable)


def verdict(stage: Stage, output: Output, expected: Expected) -> tuple[Tensor, Tensor]:
    """The loss of a stage, and how many samples were recognised."""
    terms = (weight * LOSSES[name](output, expected) for name, weight in stage.losses.items())
    return sum(terms, torch.zeros(())), (output.logits.argmax(-1) == expected.targets).sum()
