"""Normalizing flows over feature maps: affine couplings that take scale and shift from convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

_GAIN = 0.1  # slope of the soft clamp's argument, so that fresh couplings begin near the identity


class Coupling(nn.Module):
    """One affine coupling of a map (N, C, h, w): half of the channels, drawn once, scale and shift the rest.

    y_a = x_a, y_b = x_b · exp(s(x_a)) + t(x_a), with s softly clamped to ±`clamp` by a hyperbolic tangent.
    The halves are parts of a random order of the channels; the output keeps that order.

    Args:
        channels: C, at least 2.
        kernel: side of both convolutions of the subnet, odd.
        hidden_ratio: width between them, as a share of the conditioning half.
        clamp: largest |s|.
    """

    order: Tensor

    def __init__(self, channels: int, kernel: int, hidden_ratio: float, clamp: float) -> None:
        super().__init__()
        self.clamp = clamp
        self.changed = channels // 2
        self.kept = channels - self.changed
        hidden = max(1, int(self.kept * hidden_ratio))
        self.subnet = nn.Sequential(
            nn.Conv2d(self.kept, hidden, kernel, padding=kernel // 2),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, 2 * self.changed, kernel, padding=kernel // 2),
        )
        self.register_buffer("order", torch.randperm(channels))  # (C,)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, C, h, w) to the same shape, and the log-determinant of the Jacobian (N,)."""
        kept, changed = x.index_select(1, self.order).tensor_split((self.kept,), 1)
        scale, shift = self._affine(kept)
        return torch.cat([kept, changed * scale.exp() + shift], 1), scale.sum((1, 2, 3))

    def inverse(self, y: Tensor) -> Tensor:
        """The x of which `forward` makes `y`."""
        kept, changed = y.tensor_split((self.kept,), 1)
        scale, shift = self._affine(kept)
        return torch.cat([kept, (changed - shift) * (-scale).exp()], 1).index_select(1, self.order.argsort())

    def _affine(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        """s and t (N, C // 2, h, w), in the number format of `kept` whatever the convolutions compute in."""
        raw = self.subnet(kept).to(kept.dtype)
        scale, shift = raw.chunk(2, 1)
        return self.clamp * torch.tanh(_GAIN * scale), shift


class PlaceScaling(nn.Module):
    """A learned scale and shift of every single value of a map; the scale is learned as its logarithm."""

    def __init__(self, channels: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(1, channels, *grid))
        self.shift = nn.Parameter(torch.zeros(1, channels, *grid))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, C, h, w) to the same shape, and the log-determinant of the Jacobian (N,)."""
        return x * self.log_scale.exp() + self.shift, self.log_scale.sum().expand(x.shape[0])

    def inverse(self, y: Tensor) -> Tensor:
        """The x of which `forward` makes `y`."""
        return (y - self.shift) * (-self.log_scale).exp()


class Flow(nn.Module):
    """Scaling of each place, then couplings, from a map to a standard Gaussian.

    Args:
        channels: of the map.
        grid: its height and width.
        kernels: side of each coupling's convolutions, one coupling for each.
        hidden_ratio: see `Coupling`.
        clamp: see `Coupling`.
    """

    def __init__(
        self, channels: int, grid: tuple[int, int], kernels: Sequence[int], hidden_ratio: float, clamp: float
    ) -> None:
        super().__init__()
        self.steps = nn.ModuleList(
            [
                PlaceScaling(channels, grid),
                *(Coupling(channels, kernel, hidden_ratio, clamp) for kernel in kernels),
            ]
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map x (N, C, h, w) to z of the same shape, and log |det dz/dx| (N,)."""
        total = x.new_zeros(x.shape[0])
        for step in self.steps:
            x, log_det = step(x)
            total = total + log_det
        return x, total

    def inverse(self, z: Tensor) -> Tensor:
        """The x of which `forward` makes `z`."""
        steps: list[Any] = list(self.steps)
        for step in reversed(steps):
            z = step.inverse(z)
        return z


def negative_log_likelihood(z: Tensor, log_det: Tensor) -> Tensor:
    """−log p(x) (N,) in nats less the Gaussian's constant: ½‖z‖² − log |det dz/dx|."""
    return 0.5 * z.square().sum((1, 2, 3)) - log_det
