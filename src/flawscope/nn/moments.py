"""Means and spreads of channels over more values than memory holds, and one scale for several signals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

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


Mode = Literal["quantiles", "moments"]


class Levels(nn.Module):
    """Shifts and scales K signals, each by what it was on the tuning pictures: (N, K, ...) to the same.

    - `quantiles`: the quantiles of `between` become 0 and `top`; at (0, 1) they are minimum and maximum.
    - `moments`: values between those two quantiles, all of them at (0, 1), have mean 0 and standard deviation
      `top`. Where fewer than two lie between, as with three pictures, all values count.

    A signal that never varies is only shifted. Before `learn` nothing is changed.

    Args:
        count: K.
        mode: what is levelled.
        between: lower and upper quantile, 0 to 1.
        top: see above.
        least: deviation that is added to each signal's own, as that of independent noise would be; one for
            all, or K of them, in mode `moments`. A signal that hardly varies is then not raised to noise.

    Attributes:
        zero: (K,) what becomes 0.
        gain: (K,) by what the rest is multiplied.
    """

    zero: Tensor
    gain: Tensor

    def __init__(
        self,
        count: int,
        mode: Mode,
        *,
        between: tuple[float, float] = (0.0, 1.0),
        top: float = 1.0,
        least: float | Sequence[float] = 0.0,
    ) -> None:
        super().__init__()
        self.mode, self.between, self.top = mode, between, top
        self.least = tuple(least) if isinstance(least, Sequence) else (least,) * count
        self.register_buffer("zero", torch.zeros(count))
        self.register_buffer("gain", torch.ones(count))

    def learn(self, signals: Sequence[Tensor]) -> None:
        """Take the levels from all values of each signal on the tuning pictures, K tensors of any shape."""
        for index, signal in enumerate(signals):
            values = signal.detach().double().flatten().cpu().numpy()
            zero, high = (float(end) for end in np.quantile(values, self.between))
            spread = high - zero
            if self.mode == "moments":
                moments, inner = Moments(), values[(values >= zero) & (values <= high)]
                moments.add(torch.from_numpy(inner if len(inner) > 1 else values).unsqueeze(1))
                zero, spread = float(moments.mean), self._spread(moments, self.least[index])
            self.zero[index] = zero
            self.gain[index] = self.top / spread if spread else 1.0

    @staticmethod
    def _spread(moments: Moments, least: float) -> float:
        return math.hypot(math.sqrt(float(moments.variance)), least) if least else float(moments.std)

    def take(self, moments: Moments) -> None:
        """Take the levels from moments of the K signals, gathered batch by batch: mode `moments` alone."""
        self.zero.copy_(moments.mean)
        self.gain.copy_(self.top / moments.std)

    def forward(self, signals: Tensor) -> Tensor:
        """Level signals (N, K, ...)."""
        shape = (-1, *[1] * (signals.dim() - 2))
        return (signals - self.zero.view(shape)) * self.gain.view(shape)
