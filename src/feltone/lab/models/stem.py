"""What only a teacher wears: locality from a convolutional stem, and position from coordinates."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHANNELS = (16, 32, 64, 32, 16, 1)
EPSILON = 1e-5


class _NormalisedGELU(torch.autograd.Function):
    """GELU of the instance-normalised input, with the gradient worked out by hand.

    Three quarters of a teacher's activations pass here. With n the normalised input and g = dy GELU'(n), the gradient
    is (g - mean g - n mean gn) / sigma: two passes over the pixels, where automatic differentiation takes five. Mean
    and scale are outputs for the backward pass alone: `vmap` (`training/ensemble.py`) keeps nothing else.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, H, W, C) -> the same, normalised over H and W; with mean and scale, (B, 1, 1, C)."""
        pixels = x.float()
        mean = _mean(pixels)
        variance = _mean(pixels * pixels) - mean * mean
        scale = torch.rsqrt(variance.clamp_min(0) + EPSILON)
        return F.gelu((pixels - mean) * scale).to(x.dtype), mean, scale

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor, Tensor]) -> None:
        """Keep what the gradient needs."""
        _, mean, scale = output
        ctx.mark_non_differentiable(mean, scale)
        ctx.save_for_backward(*inputs, mean, scale)

    @staticmethod
    def backward(ctx: Any, dy: Tensor, *_: Tensor) -> Tensor:
        """Gradient of the input."""
        x, mean, scale = ctx.saved_tensors
        n = (x.float() - mean) * scale
        density = torch.exp(-0.5 * n * n) * (1 / math.sqrt(2 * math.pi))
        g = dy.float() * (0.5 * (1 + torch.erf(n * math.sqrt(0.5))) + n * density)
        gradient: Tensor = scale * (g - _mean(g) - n * _mean(g * n))
        return gradient.to(x.dtype)


def _mean(pixels: Tensor) -> Tensor:
    """(B, H, W, C) -> (B, 1, 1, C): row by row, which a compiled step does while a row is in the cache."""
    return pixels.mean(2, keepdim=True).mean(1, keepdim=True)


class NormalisedGELU(nn.Module):
    """Instance normalisation (no learned scale) and GELU: equal to `nn.InstanceNorm2d` followed by `nn.GELU`.

    Written over the channels-last layout that the convolutions prefer; the library's own kernel forces two copies of
    the largest tensors of the network.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same."""
        out, _, _ = _NormalisedGELU.apply(x.permute(0, 2, 3, 1))  # type: ignore[no-untyped-call]
        normal: Tensor = out
        return normal.permute(0, 3, 1, 2)


class ConvolutionalStem(nn.Sequential):
    """Six 3x3 convolutions at full size, each with instance normalisation and GELU: (B, 1, H, W) -> the same."""

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        for inputs, outputs in zip((1, *CHANNELS), CHANNELS, strict=False):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), NormalisedGELU()]
        super().__init__(*layers)


class CoordinateChannels(nn.Module):
    """Image coordinate encoding (ICE): every pixel's x and y in [-1, 1], as two more channels."""

    coordinates: Tensor

    def __init__(self, image: tuple[int, int]) -> None:
        super().__init__()
        height, width = image
        y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
        self.register_buffer("coordinates", torch.stack([x, y]), persistent=False)

    def forward(self, picture: Tensor) -> Tensor:
        """(B, 1, H, W) -> (B, 3, H, W): picture, x, y."""
        return torch.cat([picture, self.coordinates.to(picture.dtype).expand(picture.shape[0], -1, -1, -1)], dim=1)


def sinusoidal_positions(tokens: int, width: int) -> Tensor:
    """Sines and cosines of geometric wavelengths (Vaswani et al. 2017), shape (tokens, width)."""
    frequency = torch.exp(-torch.arange(0, width, 2) * (math.log(10_000) / width))
    angle = torch.arange(tokens)[:, None] * frequency
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)
