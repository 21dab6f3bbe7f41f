"""Several networks in one step: one leaves a GPU almost idle, and folds and seeds are many.

The parameters of the members are stacked and the network is mapped over the stack (`torch.func`), so that every
operation does the work of all. A member's loss depends on its own slice alone, the gradient of the summed losses is
therefore every member's own, and Adam works number by number: the members are trained as if each were alone, up to
rounding, from initial weights, samples and orders of their own.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from feltone.lab.models import Network
from feltone.lab.training.graphs import can_capture
from feltone.lab.training.losses import Expected
from feltone.lab.training.stages import Stage
from feltone.lab.training.step import Resident, Step, TrainingData, load_moments, plain_groups, verdict


class Ensemble(Step):
    """The step of networks of one architecture, on one process.

    The networks hold what was learnt after `finish`, not before.
    """

    def __init__(
        self,
        stage: Stage,
        networks: Sequence[Network],
        data: Sequence[TrainingData],
        *,
        fabric: Fabric,
        compiled: bool = False,
        capturable: bool = False,
    ) -> None:
        self.networks = [network.to(fabric.device).train() for network in networks]
        self.data = [Resident(samples, fabric.device) for samples in data]
        self.parameters, self.buffers = stack_module_state(self.networks)
        super().__init__(stage, self.parameters.values(), fabric, (len(networks),), capturable)
        self.optimizer = fabric.setup_optimizers(self.adam)
        one = partial(_judge_one, self.networks[0], stage, fabric)
        many = vmap(one, in_dims=(0, 0, 0, 0, None if data[0].feature is None else 0))
        self.judge_all = torch.compile(many, dynamic=False) if compiled else many

    def judge(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """As `Step.judge`: two vectors, one entry per member."""
        images, expected = zip(*(data.batch(own) for data, own in zip(self.data, rows, strict=True)), strict=True)
        targets, features = zip(*expected, strict=True)
        feature = None if features[0] is None else torch.stack(features)
        stacked = torch.stack(images), torch.stack(targets), feature
        result: tuple[Tensor, Tensor] = self.judge_all(self.parameters, self.buffers, *stacked)
        return result

    def states(self) -> list[dict[str, Any]]:
        """As `Step.states`."""
        stacked = plain_groups(self.optimizer.state_dict())
        return [
            {
                "network": {name: value.detach()[member].clone() for name, value in self.parameters.items()},
                "optimizer": stacked | {"state": _slice(stacked["state"], member)},
            }
            for member in range(len(self.networks))
        ]

    def load(self, states: Sequence[dict[str, Any]]) -> None:
        """As `Step.load`; the states are at one position."""
        with torch.no_grad():
            for name, value in self.parameters.items():
                value.copy_(torch.stack([state["network"][name] for state in states]))
        load_moments(self.adam, _stack([state["optimizer"]["state"] for state in states]))

    def finish(self) -> None:
        """As `Step.finish`: write what was learnt into the networks."""
        for network, state in zip(self.networks, self.states(), strict=True):
            network.load_state_dict(state["network"])


def make_ensemble(
    stage: Stage, networks: Sequence[Network], data: Sequence[TrainingData], *, fabric: Fabric, compiled: bool
) -> Step:
    """The fastest step of several networks on this machine, as `make_step` is of one."""
    capturable = compiled and can_capture(fabric)
    return Ensemble(stage, networks, data, fabric=fabric, compiled=compiled, capturable=capturable)


def _judge_one(
    network: Network,
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


Moments = dict[int, dict[str, Tensor]]
"""What Adam remembers: number of the parameter -> its two moments, and `step`, a scalar."""


def _slice(stacked: Moments, member: int) -> Moments:
    """The moments of one member."""
    return {
        number: {name: (value[member] if value.dim() else value).clone() for name, value in moments.items()}
        for number, moments in stacked.items()
    }


def _stack(members: Sequence[Moments]) -> Moments:
    """The moments of all members; the count of steps, which is one for all, stays a scalar."""
    first = members[0]
    return {
        number: {
            name: torch.stack([member[number][name] for member in members]) if value.dim() else value
            for name, value in moments.items()
        }
        for number, moments in first.items()
    }
