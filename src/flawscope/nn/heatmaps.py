"""From a map of patch scores to a smooth heatmap at the input's size, as two small matrix products."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Separable(nn.Module):
    """A linear map of each picture that is one matrix a side, such as an enlargement.

    Args:
        rows: (H, h).
        columns: (W, w).
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, rows: Tensor, columns: Tensor) -> None:
        super().__init__()
        self.register_buffer("rows", rows, persistent=False)  # (H, h)
        self.register_buffer("columns", columns.T.contiguous(), persistent=False)  # (w, W)

    def forward(self, maps: Tensor) -> Tensor:
        """Map (N, h, w) to (N, H, W)."""
        return torch.matmul(self.rows, torch.matmul(maps, self.columns))


class Heatmap(Separable):
    """Bilinear upsampling to the input's size, then a Gaussian: linear and separable, so one matrix a side.

    Args:
        grid: height and width of the patch map.
        size: height and width of the heatmap, in pixels.
        sigma: standard deviation of the Gaussian in pixels; 0 leaves it out. It is cut off at 4σ, and the map
            is mirrored at its border.
        stride: pixels from cell to cell where the first one's centre is pixel 0; None spreads the cells
            evenly over the picture.
    """

    def __init__(
        self, grid: tuple[int, int], size: tuple[int, int], sigma: float, *, stride: float | None = None
    ) -> None:
        super().__init__(*(_enlarge(grid[side], size[side], sigma, stride) for side in (0, 1)))
        self.grid, self.size = grid, size


def finest_grid(network: nn.Module) -> tuple[int, int] | None:
    """Height and width, in cells, of the finest map that a network enlarges; None where it enlarges none."""
    enlarging = (one for one in network.modules() if isinstance(one, Heatmap) and one.grid != one.size)
    return max((one.grid for one in enlarging), key=lambda grid: grid[0] * grid[1], default=None)


def top_mean(maps: Tensor, share: float, *, whole: Callable[[float], int] = int) -> Tensor:
    """Mean (N,) of the largest K of each map's patch scores (N, ...), K = `share` of them, at least one.

    The top-K multiple-instance score: a picture is a bag of patches, and its few worst ones speak for it.
    `whole` makes a number of that share: by default what is begun does not count.
    """
    values = maps.flatten(1)  # (N, P)
    count = max(whole(share * values.shape[1]), 1)
    return values.topk(count, dim=1, sorted=False).values.mean(1)


def interpolation(source: int, places: Tensor) -> Tensor:
    """The (n, source) float64 matrix that reads a signal at `places` (n,), linearly between its samples."""
    places = places.double().clamp(0, source - 1)
    below = places.floor().long().clamp(max=max(source - 2, 0))
    share = places - below
    matrix = torch.zeros(len(places), source, dtype=torch.float64)
    matrix.scatter_add_(1, below[:, None], (1 - share)[:, None])
    return matrix.scatter_add_(1, (below + 1).clamp(max=source - 1)[:, None], share[:, None])


def _enlarge(source: int, target: int, sigma: float, stride: float | None) -> Tensor:
    """The (target, source) float32 matrix of both steps along one side."""
    pixels = torch.arange(target, dtype=torch.float64)
    places = (pixels + 0.5) * source / target - 0.5 if stride is None else pixels / stride
    matrix = interpolation(source, places)
    if sigma > 0:
        matrix = _gaussian(target, sigma) @ matrix
    return matrix.float().contiguous()


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
