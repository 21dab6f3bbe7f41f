"""Adam (Kingma & Ba 2015) for several networks whose parameters are stacked, any of which may rest for a step.

torch's own optimiser cannot leave a part of a tensor alone. Number by number this one does what it does, with a count
of steps per network; a network that rests keeps its weights, its moments and its count.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

BETAS, EPSILON = (0.9, 0.999), 1e-8

Moments = dict[int, dict[str, Tensor]]
"""What Adam remembers of one network, by torch's names: number of the parameter -> `step`, `exp_avg`, `exp_avg_sq`."""


class StackedAdam:
    """Adam over stacked parameters, (members, ...) each.

    Args:
        parameters: leaves with gradients; one without is passed over, as torch does.
        learning_rate: of all members; lies on the device, where a captured step reads it.
        compiled: one kernel per parameter in place of a dozen.
    """

    def __init__(self, parameters: Sequence[Tensor], learning_rate: float, *, compiled: bool = False) -> None:
        self.parameters = list(parameters)
        self.members, device = len(self.parameters[0]), self.parameters[0].device
        self.rate = torch.tensor(learning_rate, device=device)
        self.count = torch.zeros(self.members, device=device)
        self.moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in self.parameters]
        self.touched: list[int] = []  # numbers of the parameters that have had a gradient
        self._update = torch.compile(_update, dynamic=False) if compiled else _update

    def zero_grad(self) -> None:
        """Drop the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def step(self, active: Tensor) -> None:
        """One step of every member that is `active`, (members,) booleans."""
        with_gradient = [(n, p.detach(), p.grad) for n, p in enumerate(self.parameters) if p.grad is not None]
        self.touched = [number for number, _, _ in with_gradient]
        with torch.no_grad():
            self.count += active
            chosen = [(parameter, gradient, *self.moments[n]) for n, parameter, gradient in with_gradient]
            self._update(chosen, active, self.count, self.rate)

    def moments_of(self, member: int) -> Moments:
        """What is remembered of one member, as torch's Adam would hold it."""
        return {
            number: {
                "step": self.count[member].clone(),  # one each: torch counts every one of them on
                "exp_avg": self.moments[number][0][member].clone(),
                "exp_avg_sq": self.moments[number][1][member].clone(),
            }
            for number in self.touched
        }

    def load(self, remembered: Sequence[Moments]) -> None:
        """Continue from the moments of every member."""
        for member, moments in enumerate(remembered):
            for number, known in moments.items():
                self.count[member] = known["step"]
                for mine, name in zip(self.moments[number], ("exp_avg", "exp_avg_sq"), strict=True):
                    mine[member] = known[name]
        self.touched = sorted(set().union(*remembered))

    def groups(self) -> list[dict[str, Any]]:
        """The settings, as torch's Adam would tell them."""
        settings = torch.optim.Adam(self.parameters, lr=float(self.rate), fused=True).state_dict()["param_groups"]
        return list(settings)


def _update(chosen: list[tuple[Tensor, Tensor, Tensor, Tensor]], active: Tensor, count: Tensor, rate: Tensor) -> None:
    first, second = BETAS
    bias, scale = rate / (1 - first**count), (1 - second**count).sqrt()
    for parameter, gradient, mean, square in chosen:
        shape = (-1, *[1] * (parameter.dim() - 1))
        here = active.view(shape)
        mean.copy_(torch.where(here, torch.lerp(mean, gradient, 1 - first), mean))
        square.copy_(torch.where(here, second * square + (1 - second) * gradient * gradient, square))
        move = bias.view(shape) * mean / (square.sqrt() / scale.view(shape) + EPSILON)
        parameter.sub_(torch.where(here, move, torch.zeros_like(move)))
