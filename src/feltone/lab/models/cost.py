"""What a network costs: multiply-adds and parameters, counted on the network itself.

The paper's convention (SepTr's 175.81 G confirms it): one multiply-add per product of a matrix product or
convolution, and five operations per element that is normalised. Activations and softmax are not counted.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from feltone.errors import MissingExtraError
from feltone.lab.models import VARIANTS, Network, empty, variant
from feltone.lab.models.stem import NormalisedGELU

OPERATIONS_PER_NORMALISED_ELEMENT = 5
NORMALISATIONS = (nn.LayerNorm, nn.GroupNorm, nn.BatchNorm2d, NormalisedGELU)

PAPER_MACS = {"student": 0.32e9, "teacher": 1.43e9, "teacher-12": 3.58e9, "septr": 175.81e9, "ast": 3.32e9}
"""Published costs (Tables 2 and 3), of the rows the paper has; why AST needs more is said in `ast.py`."""


@dataclass(frozen=True)
class Cost:
    """Cost of one image through a network."""

    variant: str
    macs: int  # of every token through every block, as the paper counts
    executed_macs: int  # without what nobody reads in the last block: what recognition and training really compute
    parameters: int
    paper_macs: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def cost(name: str, classes: int = 7) -> Cost:
    """Cost of a variant.

    Raises:
        ConfigError: the name is not known.
        MissingExtraError: the network is of a library that is not installed.
    """
    config = variant(name)
    with torch.device("meta"):  # sizes without numbers
        network = empty(config, classes)
    every, executed = (multiply_adds(network, config.image, every_token=every) for every in (True, False))
    return Cost(name, every, executed, parameters(network), PAPER_MACS.get(name))


def costs() -> list[Cost]:
    """Cost of every variant that can be built here, in the order of the table."""
    found = []
    for name in VARIANTS:
        with suppress(MissingExtraError):
            found.append(cost(name))
    return found


def parameters(network: nn.Module) -> int:
    """Learned numbers of a network."""
    return sum(parameter.numel() for parameter in network.parameters())


def multiply_adds(network: Network, image: tuple[int, int], *, every_token: bool = True) -> int:
    """Multiply-adds of one image of that size, in the paper's convention; see `Network` for `every_token`.

    Nothing is computed: shapes alone go through the network, so a SepTr costs no more to count than a student.
    """
    tensors = (*network.named_parameters(), *network.named_buffers())
    shapes = {name: tensor.detach().to("meta") for name, tensor in tensors}
    given = torch.zeros(1, *image, device="meta")
    return products(network, lambda: functional_call(network, shapes, (given,), {"every_token": every_token}))


def products(network: nn.Module, work: Callable[[], object]) -> int:
    """Multiply-adds of what a network does in `work`, in the paper's convention."""
    normalised = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:  # noqa: ARG001
        nonlocal normalised
        normalised += output.numel()

    hooks = [m.register_forward_hook(count) for m in network.modules() if isinstance(m, NORMALISATIONS)]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        work()
    for hook in hooks:
        hook.remove()
    return int(counter.get_total_flops()) // 2 + OPERATIONS_PER_NORMALISED_ELEMENT * normalised
