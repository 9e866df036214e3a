"""From a map of patch scores to a smooth heatmap at the input's size, as two small matrix products."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Heatmap(nn.Module):
    """Bilinear upsampling to the input's size, then a Gaussian: linear and separable, so one matrix a side.

    Args:
        grid: height and width of the patch map.
        size: height and width of the heatmap, in pixels.
        sigma: standard deviation of the Gaussian in pixels; 0 leaves it out. It is cut off at 4σ, and the map
            is mirrored at its border.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, grid: tuple[int, int], size: tuple[int, int], sigma: float) -> None:
        super().__init__()
        self.register_buffer("rows", _enlarge(grid[0], size[0], sigma), persistent=False)  # (H, h)
        self.register_buffer(
            "columns", _enlarge(grid[1], size[1], sigma).T.contiguous(), persistent=False
        )  # (w, W)

    def forward(self, maps: Tensor) -> Tensor:
        """Map (N, h, w) to (N, H, W)."""
        return torch.matmul(self.rows, torch.matmul(maps, self.columns))


def _enlarge(source: int, target: int, sigma: float) -> Tensor:
    """The (target, source) float32 matrix of both steps along one side."""
    units = torch.eye(source, dtype=torch.float64).unsqueeze(0)  # (1, source, source): a unit impulse a row
    signals = F.interpolate(units, size=target, mode="linear")[0]  # (source, target)
    if sigma > 0:
        signals = signals @ _gaussian(target, sigma).T
    return signals.T.float().contiguous()


def _gaussian(length: int, sigma: float) -> Tensor:
    """The (length, length) matrix of a Gaussian; the signal is mirrored at its ends."""
    positions = torch.arange(length)
    reach = int(4 * sigma + 0.5)
    offsets = torch.arange(-reach, reach + 1)
    weights = torch.exp(-0.5 * (offsets / sigma).double() ** 2)
    seen = (positions.unsqueeze(1) + offsets) % (2 * length)  # (length, 2 reach + 1) in the mirrored signal
    seen = torch.where(seen < length, seen, 2 * length - 1 - seen)
    matrix = torch.zeros(length, length, dtype=torch.float64)
    return matrix.scatter_add_(1, seen, (weights / weights.sum()).expand(length, -1))
