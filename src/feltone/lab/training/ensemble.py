"""Several networks in one step: one leaves a GPU almost idle, and folds and seeds are many.

The parameters of the members are stacked and the network is mapped over the stack (`torch.func`), so that every
operation does the work of all. A member's loss depends on its own slice alone, the gradient of the summed losses is
therefore every member's own, and Adam works number by number: the members are trained as if each were alone, up to
rounding, from initial weights, samples and orders of their own.

Members with fewer samples rest at the end of an epoch: their rows say `REST`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F

from feltone.lab.models import Network, Output
from feltone.lab.training.graphs import can_capture
from feltone.lab.training.losses import Expected
from feltone.lab.training.resident import TrainingData
from feltone.lab.training.stacked_adam import StackedAdam
from feltone.lab.training.stages import Stage
from feltone.lab.training.step import Step, verdict

REST = -1  # number of no sample: a member whose rows say so does nothing in this step

Mapped = Callable[[dict[str, Tensor], dict[str, Tensor], Tensor], Output]
"""(stacked parameters, stacked buffers, images (members, B, H, W)) -> stacked outputs."""


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
        super().__init__(stage, fabric, (len(networks),), capturable)
        self.networks = [network.to(fabric.device).train() for network in networks]
        self.parameters, self.buffers = stack_module_state(self.networks)
        self.images = _stacked([torch.from_numpy(own.images) for own in data], fabric)
        self.targets = _stacked([torch.from_numpy(own.targets) for own in data], fabric)
        features = [own.feature for own in data if own.feature is not None]
        self.feature = _stacked(features, fabric) if features else None
        self.member = torch.arange(len(networks), device=fabric.device)[:, None]
        self.adam = StackedAdam(list(self.parameters.values()), stage.learning_rate, compiled=compiled)
        self.outputs = _mapped(self.networks[0], fabric.device, compiled)

    def judge(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """As `Step.judge`: two vectors, one entry per member."""
        there = rows.clamp_min(0)
        with self.fabric.autocast():
            output = self.outputs(self.parameters, self.buffers, self.images[self.member, there].float())
        feature = None if self.feature is None else self.feature[self.member, there]
        # The losses of a stage stay out of what is compiled, so that all stages of a network share it.
        in_dims: Any = (0, Expected(*(0, None if feature is None else 0)))  # type: ignore[arg-type]
        judged = vmap(partial(verdict, self.stage), in_dims=in_dims)
        loss, correct = judged(output, Expected(self.targets[self.member, there], feature))
        active = rows[:, 0] != REST
        return loss * active, correct * active

    def forget(self) -> None:
        """As `Step.forget`."""
        self.adam.zero_grad()

    def learn(self, rows: Tensor) -> None:
        """As `Step.learn`."""
        self.adam.step(rows[:, 0] != REST)

    def learn_at(self, rate: float) -> None:
        """As `Step.learn_at`."""
        self.join()
        self.adam.rate.fill_(rate)

    def states(self) -> list[dict[str, Any]]:
        """As `Step.states`."""
        self.join()
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
        self.join()
        for member, network in enumerate(self.networks):
            network.load_state_dict({name: value.detach()[member] for name, value in self.parameters.items()})


def make_ensemble(
    stage: Stage, networks: Sequence[Network], data: Sequence[TrainingData], *, fabric: Fabric, compiled: bool
) -> Step:
    """The fastest step of several networks on this machine, as `make_step` is of one."""
    capturable = compiled and can_capture(fabric)
    return Ensemble(stage, networks, data, fabric=fabric, compiled=compiled, capturable=capturable)


_compiled: dict[tuple[Any, ...], Mapped] = {}  # of this process: making kernels takes half a minute


def _mapped(network: Network, device: torch.device, compiled: bool) -> Mapped:
    """A network's architecture, mapped over stacked parameters; what is compiled is kept for the next stage."""

    def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], images: Tensor) -> Output:
        output: Output = functional_call(network, (parameters, buffers), (images,))
        return output

    mapped: Mapped = vmap(one)
    if not compiled:
        return mapped
    key = (network.config, *(parameter.shape for parameter in network.parameters()), str(device))
    return _compiled.setdefault(key, torch.compile(mapped, dynamic=False))


def stacks_well(network: nn.Module) -> bool:
    """Whether networks like this gain by being stacked: mapped convolutions are slow, and fill a GPU by themselves."""
    return not any(isinstance(module, nn.Conv2d) for module in network.modules())


def _stacked(samples: Sequence[Tensor], fabric: Fabric) -> Tensor:
    """Samples of all members on the device, (members, most samples, ...); what a member lacks is never asked for."""
    most = max(map(len, samples))
    padded = [F.pad(own, (0, 0) * (own.dim() - 1) + (0, most - len(own))) for own in samples]
    return torch.stack(padded).to(fabric.device)
