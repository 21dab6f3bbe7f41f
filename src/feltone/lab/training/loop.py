"""The only training loop, and the frozen teacher's features.

`fit` is a pure function of its arguments: stage, initial weights, data, seed. The order of the samples is drawn anew
from (seed, stage, epoch), so a checkpoint is weights, optimiser and position; a run that was killed continues to the
same weights, bit for bit on a CPU, as one that was not.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from feltone.files import write_atomically
from feltone.lab.models import Output, PatchViT
from feltone.lab.training.losses import LOSSES, Expected
from feltone.lab.training.stages import Stage

CHECKPOINT_SECONDS = 60.0  # between checkpoints within an epoch; each epoch ends with one
TICK_STEPS = 20  # between two reports of progress


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
class TrainingData:
    """What `fit` may see; there is no way from here to a test sample."""

    images: NDArray[np.float16]  # (samples, mel bands, columns)
    targets: NDArray[np.int64]  # (samples,)
    feature: Tensor | None = None  # (samples, D): the frozen teacher's


def fit(
    stage: Stage,
    network: PatchViT,
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
        compiled: run the network through `torch.compile` (other rounding than eager, several times faster).
        checkpoint: file of the position reached.
        on_tick: told about progress.
    """
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    runnable = torch.compile(network, dynamic=False) if compiled else network
    adam = torch.optim.Adam(network.parameters(), lr=stage.learning_rate, fused=True)
    model, optimizer = fabric.setup(runnable, adam)
    position = _Position.resume(checkpoint, network, optimizer)
    model.train()
    steps = -(-len(data.targets) // stage.batch)
    while position.epoch < stage.epochs:
        for group in adam.param_groups:
            group["lr"] = stage.learning_rate_at(position.epoch)
        order = epoch_order(len(data.targets), seed, stage.name, position.epoch)
        while position.step < steps:
            rows = order[position.step * stage.batch : (position.step + 1) * stage.batch]
            images, expected = _batch(data, _share(rows, fabric), fabric.device)
            output = model(images)
            loss = sum(
                (weight * LOSSES[name](output, expected) for name, weight in stage.losses.items()),
                torch.zeros(()),
            )
            optimizer.zero_grad()
            fabric.backward(loss)
            optimizer.step()
            position.advance(loss, output, expected)
            if position.step % TICK_STEPS == 0 or position.step == steps:
                on_tick(position.tick(stage, steps))
            if time.monotonic() - position.saved_at > CHECKPOINT_SECONDS and position.step < steps:
                position.save(checkpoint, network, optimizer, fabric)
        position.next_epoch()
        position.save(checkpoint, network, optimizer, fabric)
    return position.seconds


def epoch_order(samples: int, seed: int, stage: str, epoch: int) -> NDArray[np.int64]:
    """Permutation of the samples for one epoch: a function of its arguments alone."""
    entropy = int.from_bytes(hashlib.sha256(stage.encode()).digest()[:8])
    return np.random.default_rng([seed, entropy, epoch]).permutation(samples)


def features_of(network: PatchViT, images: NDArray[np.float16], fabric: Fabric, batch: int = 32) -> Tensor:
    """Feature of every image by a frozen network, in the precision it trains in: float32, (samples, D)."""
    network.to(fabric.device).eval()
    parts = []
    with torch.inference_mode(), fabric.autocast():
        for start in range(0, len(images), batch):
            chunk = torch.from_numpy(images[start : start + batch]).to(fabric.device, torch.float32)
            parts.append(network(chunk).embedding.float().cpu())
    return torch.cat(parts).clone()


def _share(rows: NDArray[np.int64], fabric: Fabric) -> NDArray[np.int64]:
    """This process' part of a batch; a batch that does not divide evenly is done whole by every process."""
    return rows if len(rows) % fabric.world_size else rows[fabric.global_rank :: fabric.world_size]


def _batch(data: TrainingData, rows: NDArray[np.int64], device: torch.device) -> tuple[Tensor, Expected]:
    images = torch.from_numpy(data.images[rows]).to(device, torch.float32)
    feature = None if data.feature is None else data.feature[torch.from_numpy(rows)].to(device)
    return images, Expected(torch.from_numpy(data.targets[rows]).to(device), feature)


@dataclass
class _Position:
    """How far a stage has come, with the sums its reports are made of."""

    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    correct: int = 0
    seen: int = 0
    seconds: float = 0.0  # of training up to `saved_at`
    saved_at: float = 0.0

    @classmethod
    def resume(cls, checkpoint: Path, network: PatchViT, optimizer: Any) -> "_Position":
        if not checkpoint.is_file():
            return cls(saved_at=time.monotonic())
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        return cls(**state["position"], saved_at=time.monotonic())

    def advance(self, loss: Tensor, output: Output, expected: Expected) -> None:
        self.step += 1
        self.loss += float(loss.detach())
        self.correct += int((output.logits.argmax(-1) == expected.targets).sum())
        self.seen += len(expected.targets)

    def next_epoch(self) -> None:
        self.epoch, self.step, self.loss, self.correct, self.seen = self.epoch + 1, 0, 0.0, 0, 0

    def tick(self, stage: Stage, steps: int) -> Tick:
        return Tick(
            stage.name,
            self.epoch + 1,
            stage.epochs,
            self.step,
            steps,
            self.loss / self.step,
            self.correct / self.seen,
        )

    def save(self, checkpoint: Path, network: PatchViT, optimizer: Any, fabric: Fabric) -> None:
        now = time.monotonic()
        self.seconds, self.saved_at = self.seconds + now - self.saved_at, now
        if fabric.global_rank:
            return
        counters = {name: getattr(self, name) for name in ("epoch", "step", "loss", "correct", "seen", "seconds")}
        state = {"position": counters, "network": network.state_dict(), "optimizer": optimizer.state_dict()}
        write_atomically(checkpoint, lambda handle: torch.save(state, handle))
