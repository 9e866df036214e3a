"""Maps of several banks in one: each measured by what it is on good pictures left out of the banks."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

_CELLS_COUNT = 3  # how many pictures' peaks the spread of cells counts as, beside the peaks that were seen


class Joined(nn.Module):
    """The larger of two maps: fine and middle added in their own deviations, or coarse.

    The sum and the coarse map are moved by the mean and divided by the deviation of the peaks that their
    smoothed maps have on good pictures, so that both are as likely to raise a good picture's peak.

    Args:
        weight: of the middle map.
        shift: added to the coarse map.

    Attributes:
        zero: (4,) what becomes 0 in the fine map, the middle one, their sum and the coarse one.
        gain: (4,) by what the rest is multiplied.
    """

    zero: Tensor
    gain: Tensor

    def __init__(self, weight: float, shift: float) -> None:
        super().__init__()
        self.weight, self.shift = weight, shift
        self.register_buffer("zero", torch.zeros(4))
        self.register_buffer("gain", torch.ones(4))

    def forward(self, fine: Tensor, middle: Tensor, coarse: Tensor) -> Tensor:
        """Join maps (N, h, w) to one."""
        near = self._level(2, self._near(fine, middle))
        return torch.maximum(near, self._level(3, coarse) + self.shift)

    def learn(self, fine: Tensor, middle: Tensor, coarse: Tensor, smooth: Callable[[Tensor], Tensor]) -> None:
        """Take the levels from maps (n, h, w) of good pictures; `smooth` makes heatmaps (n, H, W) of them."""
        for index, values in enumerate((fine, middle)):
            self._take(index, values.mean(), values.var(correction=0))
        for index, values in ((2, self._near(fine, middle)), (3, coarse)):
            peaks = torch.cat([smooth(one).flatten(1).amax(1) for one in torch.split(values, 8)])  # (n,)
            among = peaks.var(correction=1) * (len(peaks) - 1) if len(peaks) > 1 else 0.0
            cells = values.var(correction=0)
            self._take(index, peaks.mean(), (among + _CELLS_COUNT * cells) / (len(peaks) - 1 + _CELLS_COUNT))

    def _near(self, fine: Tensor, middle: Tensor) -> Tensor:
        return self._level(0, fine) + self.weight * self._level(1, middle)

    def _level(self, index: int, values: Tensor) -> Tensor:
        return (values - self.zero[index]) * self.gain[index]

    def _take(self, index: int, zero: Tensor, variance: Tensor) -> None:
        self.zero[index], self.gain[index] = zero, variance.rsqrt()
