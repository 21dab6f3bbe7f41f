"""Several networks in one step: one leaves a GPU almost idle, and folds and seeds are many.

The parameters of the members are stacked and the network is mapped over the stack (`torch.func`), so that every
operation does the work of all; a convolutional stem, which fills a device by itself and whose mapped convolutions are
slow, goes member by member. A member's loss depends on its own slice alone, the gradient of the summed losses is
therefore every member's own, and Adam works number by number: the members are trained as if each were alone, up to
rounding, from initial weights, samples and orders of their own.

Members with fewer samples rest at the end of an epoch: their rows say `REST`.
"""

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F

from feltone.lab.models import PatchViT
from feltone.lab.training.graphs import can_capture
from feltone.lab.training.losses import Expected
from feltone.lab.training.stacked_adam import StackedAdam
from feltone.lab.training.stages import Stage
from feltone.lab.training.step import Step, TrainingData, verdict

REST = -1  # number of no sample: a member whose rows say so does nothing in this step
STEM = "stem"  # of a network, if it has one


class Ensemble(Step):
    """The step of networks of one architecture, on one process.

    The networks hold what was learnt after `finish`, not before.
    """

    def __init__(
        self,
        stage: Stage,
        networks: Sequence[PatchViT],
        data: Sequence[TrainingData],
        *,
        fabric: Fabric,
        compiled: bool = False,
        capturable: bool = False,
    ) -> None:
        super().__init__(stage, fabric, (len(networks),), capturable)
        self.networks = [network.to(fabric.device).train() for network in networks]
        self.parameters, self.buffers = stack_module_state(self.networks)
        self.images = _stacked([torch.from_numpy(own.images) for own in data], fabric)
        self.targets = _stacked([torch.from_numpy(own.targets) for own in data], fabric)
        features = [own.feature for own in data if own.feature is not None]
        self.feature = _stacked(features, fabric) if features else None
        self.member = torch.arange(len(networks), device=fabric.device)[:, None]
        self.adam = StackedAdam(list(self.parameters.values()), stage.learning_rate, compiled=compiled)
        stem, rest = _parted(self.networks[0])
        many = vmap(partial(_judge_one, rest, stage, fabric), in_dims=(0, 0, 0, 0, 0 if features else None))
        self.judge_all = torch.compile(many, dynamic=False) if compiled else many
        see = partial(_see, stem, fabric) if stem else None
        self.see_one = torch.compile(see, dynamic=False) if see and compiled else see

    def judge(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """As `Step.judge`: two vectors, one entry per member."""
        there = rows.clamp_min(0)
        images = self.images[self.member, there].float()
        feature = None if self.feature is None else self.feature[self.member, there]
        own = {name: value for name, value in self.parameters.items() if not name.startswith(f"{STEM}.")}
        loss, correct = self.judge_all(own, self.buffers, self.seen(images), self.targets[self.member, there], feature)
        active = rows[:, 0] != REST
        return loss * active, correct * active

    def seen(self, images: Tensor) -> Tensor:
        """Images (members, B, H, W) through every member's own stem, where there is one."""
        if self.see_one is None:
            return images
        stems = {name: value for name, value in self.parameters.items() if name.startswith(f"{STEM}.")}
        names = [name.removeprefix(f"{STEM}.") for name in stems]
        members = zip(*(value.unbind() for value in stems.values()), strict=True)
        pictures = [
            self.see_one(dict(zip(names, own, strict=True)), image) for own, image in zip(members, images, strict=True)
        ]
        return torch.stack(pictures)

    def forget(self) -> None:
        """As `Step.forget`."""
        self.adam.zero_grad()

    def learn(self, rows: Tensor) -> None:
        """As `Step.learn`."""
        self.adam.step(rows[:, 0] != REST)

    def learn_at(self, rate: float) -> None:
        """As `Step.learn_at`."""
        self.adam.rate.fill_(rate)

    def states(self) -> list[dict[str, Any]]:
        """As `Step.states`."""
        groups = self.adam.groups()
        return [
            {
                "network": {name: value.detach()[member].clone() for name, value in self.parameters.items()},
                "optimizer": {"state": self.adam.moments_of(member), "param_groups": groups},
            }
            for member in range(len(self.networks))
        ]

    def load(self, states: Sequence[dict[str, Any]]) -> None:
        """As `Step.load`."""
        with torch.no_grad():
            for name, value in self.parameters.items():
                value.copy_(torch.stack([state["network"][name] for state in states]))
            self.adam.load([state["optimizer"]["state"] for state in states])

    def finish(self) -> None:
        """As `Step.finish`: write what was learnt into the networks."""
        for member, network in enumerate(self.networks):
            network.load_state_dict({name: value.detach()[member] for name, value in self.parameters.items()})


def make_ensemble(
    stage: Stage, networks: Sequence[PatchViT], data: Sequence[TrainingData], *, fabric: Fabric, compiled: bool
) -> Step:
    """The fastest step of several networks on this machine, as `make_step` is of one."""
    capturable = compiled and can_capture(fabric)
    return Ensemble(stage, networks, data, fabric=fabric, compiled=compiled, capturable=capturable)


def _parted(network: PatchViT) -> tuple[nn.Module | None, nn.Module]:
    """A network's stem, if it has one that learns, and the network without it."""
    stem = dict(network.named_children()).get(STEM)
    if stem is None or not list(stem.parameters()):
        return None, network
    rest = copy.deepcopy(network)
    setattr(rest, STEM, nn.Identity())
    return stem, rest


def _see(stem: nn.Module, fabric: Fabric, parameters: Mapping[str, Tensor], image: Tensor) -> Tensor:
    """Images (B, H, W) of one member through its stem, which works in the layout that convolutions prefer."""
    own = {
        name: value.contiguous(memory_format=torch.channels_last) if value.dim() == 4 else value
        for name, value in parameters.items()
    }
    with fabric.autocast():
        picture: Tensor = functional_call(stem, own, (image.unsqueeze(1),))
    return picture.squeeze(1)


def _judge_one(
    network: nn.Module,
    stage: Stage,
    fabric: Fabric,
    parameters: dict[str, Tensor],
    buffers: dict[str, Tensor],
    images: Tensor,
    targets: Tensor,
    feature: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Verdict on one member: `network` with these parameters."""
    with fabric.autocast():
        output = functional_call(network, (parameters, buffers), (images,))
    return verdict(stage, output, Expected(targets, feature))


def _stacked(samples: Sequence[Tensor], fabric: Fabric) -> Tensor:
    """Samples of all members on the device, (members, most samples, ...); what a member lacks is never asked for."""
    most = max(map(len, samples))
    padded = [F.pad(own, (0, 0) * (own.dim() - 1) + (0, most - len(own))) for own in samples]
    return torch.stack(padded).to(fabric.device)
