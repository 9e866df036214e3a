"""Means and standard deviations of channels over more values than fit into memory at once."""

from __future__ import annotations

import torch
from torch import Tensor

_STILL = 1e-6  # share of its mean below which a channel's deviation is rounding


class Moments:
    """Mean and spread of C channels over all values added, in float64 on the values' device.

    Each batch is centred on its own mean and joined to what came before (Chan, Golub, LeVeque, 1979), so that
    a mean that is large against the spread cancels nothing.

    Attributes:
        count: values of each channel so far.
        mean: (C,) float64; a scalar 0 before the first batch, as `squares`.
        squares: (C,) float64, sum of the squared distances from the mean.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros((), dtype=torch.float64)
        self.squares = torch.zeros((), dtype=torch.float64)

    def add(self, values: Tensor) -> None:
        """Take in values (N, C, ...), channels second."""
        count = values.numel() // max(values.shape[1], 1)
        if not count:
            return
        others = (0, *range(2, values.dim()))
        variance, mean = torch.var_mean(values.detach().double(), others, correction=0)  # (C,) each
        away, total = mean - self.mean, self.count + count
        self.squares = self.squares + count * variance + away.square() * (self.count * (count / total))
        self.mean = self.mean + away * (count / total)
        self.count = total

    @property
    def variance(self) -> Tensor:
        """(C,) float64, the mean squared distance from the mean."""
        return self.squares / self.count

    @property
    def std(self) -> Tensor:
        """(C,) float64, what to divide by: the standard deviation, but 1 for a channel that never varies.

        Such a channel's deviation is at most a millionth of its mean: no more than float32 rounds away.
        """
        std = self.variance.sqrt()
        return torch.where(std > _STILL * self.mean.abs(), std, 1.0)
