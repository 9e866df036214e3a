"""One scale for several signals, such as anomaly maps that are to be compared or added up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from flawscope.nn.moments import Moments

Mode = Literal["quantiles", "moments"]


class Levels(nn.Module):
    """Shifts and scales K signals, each by what it was on the tuning pictures: (N, K, ...) to the same.

    - `quantiles`: the quantiles of `between` become 0 and `top`; at (0, 1) they are minimum and maximum.
    - `moments`: values between those two quantiles, all of them at (0, 1), have mean 0 and standard deviation
      `top`.

    A signal that never varies is only shifted. Before `learn` nothing is changed.

    Args:
        count: K.
        mode: what is levelled.
        between: lower and upper quantile, 0 to 1.
        top: see above.

    Attributes:
        zero: (K,) what becomes 0.
        gain: (K,) by what the rest is multiplied.
    """

    zero: Tensor
    gain: Tensor

    def __init__(
        self, count: int, mode: Mode, *, between: tuple[float, float] = (0.0, 1.0), top: float = 1.0
    ) -> None:
        super().__init__()
        self.mode, self.between, self.top = mode, between, top
        self.register_buffer("zero", torch.zeros(count))
        self.register_buffer("gain", torch.ones(count))

    def learn(self, signals: Sequence[Tensor]) -> None:
        """Take the levels from all values of each signal on the tuning pictures, K tensors of any shape."""
        for index, signal in enumerate(signals):
            values = signal.detach().double().flatten().cpu().numpy()
            zero, high = (float(end) for end in np.quantile(values, self.between))
            spread = high - zero
            if self.mode == "moments":
                moments = Moments()
                moments.add(torch.from_numpy(values[(values >= zero) & (values <= high)]).unsqueeze(1))
                zero, spread = float(moments.mean), float(moments.std)
            self.zero[index] = zero
            self.gain[index] = self.top / spread if spread else 1.0

    def take(self, moments: Moments) -> None:
        """Take the levels from moments of the K signals, gathered batch by batch: mode `moments` alone."""
        self.zero.copy_(moments.mean)
        self.gain.copy_(self.top / moments.std)

    def forward(self, signals: Tensor) -> Tensor:
        """Level signals (N, K, ...)."""
        shape = (-1, *[1] * (signals.dim() - 2))
        return (signals - self.zero.view(shape)) * self.gain.view(shape)
