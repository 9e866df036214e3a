"""Grids of cells over a label map, the share of each class in each cell, and which grid suits a product."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Grid = tuple[int, int]

WHOLE: Grid = (1, 1)
QUARTERS: Grid = (2, 2)
REFERENCE = 256  # pixels a side to which the paper's cell sizes refer
STEADY = 0.95
FINEST = 6  # rows and columns that `choose_grids` tries
_ENTRIES = 2  # of a grid's vector for each good picture, at most, where the grid is chosen


def grid_of(cell: int | Grid) -> Grid:
    """Rows and columns of cells of so many pixels a side in a picture of 256×256; a grid is one already.

    >>> [grid_of(cell) for cell in (256, 128, 85, 64, (3, 4))]
    [(1, 1), (2, 2), (3, 3), (4, 4), (3, 4)]
    """
    if isinstance(cell, int):
        side = round(REFERENCE / cell)
        return side, side
    return cell


def borders(length: int, cells: int) -> list[int]:
    """Where `cells` cells begin and end along a side of `length` pixels, as even as whole pixels allow.

    >>> borders(256, 3)
    [0, 85, 170, 256]
    """
    return [index * length // cells for index in range(cells + 1)]


class CellShares(nn.Module):
    """Class histograms of the cells of several grids (section 3.3): exact counts of pixels, as shares.

    Args:
        classes: labels that count, K' of them.
        size: height and width of the label maps.
        grids: rows and columns of each.
    """

    labels: Tensor
    columns: Tensor

    def __init__(self, classes: Sequence[int], size: tuple[int, int], grids: Sequence[Grid]) -> None:
        super().__init__()
        self.classes, self.grids = tuple(classes), tuple(grids)
        self.register_buffer("labels", torch.tensor(self.classes).view(-1, 1, 1), persistent=False)
        across = [members(size[1], columns) for _, columns in grids]
        self.register_buffer("columns", torch.cat(across).T.contiguous(), persistent=False)  # (W, ΣC)
        for index, (rows, _) in enumerate(grids):
            down = members(size[0], rows)  # (R, H)
            area = down.sum(1)[:, None] * across[index].sum(1)  # (R, C)
            self.register_buffer(f"rows{index}", down, persistent=False)
            self.register_buffer(f"area{index}", area, persistent=False)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Entries of each grid's vector."""
        return tuple(rows * columns * len(self.classes) for rows, columns in self.grids)

    def forward(self, labels: Tensor) -> tuple[Tensor, ...]:
        """For each grid the shares (N, R * C * K') in label maps (N, H, W), cell by cell, class by class."""
        return self.of(self.masks(labels))

    def masks(self, labels: Tensor) -> Tensor:
        """(N, K', H, W) 1 where a label map (N, H, W) shows a class that counts."""
        return (labels.unsqueeze(1) == self.labels).float()

    def of(self, masks: Tensor) -> tuple[Tensor, ...]:
        """The same of masks (N, K', H, W), which may count pixels in part."""
        strips = torch.matmul(masks, self.columns)  # (N, K', H, ΣC)
        found, first = [], 0
        for index, (_, columns) in enumerate(self.grids):
            part = strips[..., first : first + columns]
            counts = torch.matmul(self.get_buffer(f"rows{index}"), part)  # (N, K', R, C)
            shares = counts / self.get_buffer(f"area{index}")
            found.append(shares.permute(0, 2, 3, 1).flatten(1))  # (N, R * C * K')
            first += columns
        return tuple(found)


def entry_names(grids: Sequence[Grid], classes: Sequence[int]) -> tuple[str, ...]:
    """What the entries of all grids' vectors are, `ROWSxCOLUMNS/CELL/CLASS`, cells counted from 0 by lines.

    >>> entry_names([(1, 1), (1, 2)], [1, 2])
    ('1x1/0/1', '1x1/0/2', '1x2/0/1', '1x2/0/2', '1x2/1/1', '1x2/1/2')
    """
    return tuple(
        f"{rows}x{columns}/{cell}/{label}"
        for rows, columns in grids
        for cell in range(rows * columns)
        for label in classes
    )


def choose_grids(
    labels: NDArray[np.integer], classes: Sequence[int], members: NDArray[np.intp] | None = None
) -> tuple[Grid, Grid]:
    """The whole picture, and the finest grid in whose cells good pictures stay the same.

    Of all grids of up to 6×6 cells it takes the one of most cells where, for every class, the mean over the
    pictures explains at least 95 % of the mean square of a cell's share. A part that may lie anywhere is in a
    cell or not, which its mean explains badly; a part with a place of its own is explained well by a grid
    that does not cut the place. Without such a grid it takes the quarters, the paper's default. A grid's
    vector has at most two entries for each picture.

    Args:
        labels: (n, H, W) label maps of good pictures.
        classes: labels that count; those that no picture shows are left out.
        members: (n,) which variant of the product each picture shows, where there are several: the means are
            then those of the variants.
    """
    members = np.zeros(len(labels), np.intp) if members is None else members
    few = _ENTRIES * len(labels) / max(len(classes), 1)
    steady = {
        (rows, columns): 1.0
        for rows in range(1, FINEST + 1)
        for columns in range(1, FINEST + 1)
        if 1 < rows * columns <= few
    }
    for label in classes:
        sums = _sums(labels == label)
        if sums[:, -1, -1].any():
            steady = {grid: min(share, _steadiness(sums, grid, members)) for grid, share in steady.items()}
    fit = [grid for grid, share in steady.items() if share >= STEADY]
    best = max(fit, key=lambda grid: (grid[0] * grid[1], steady[grid]), default=QUARTERS)
    return WHOLE, best


def _steadiness(sums: NDArray[np.int32], grid: Grid, members: NDArray[np.intp]) -> float:
    """Share of the mean square of the cells' shares of a class that their means explain."""
    down, across = (borders(length - 1, cells) for length, cells in zip(sums.shape[1:], grid, strict=True))
    counts = np.diff(np.diff(sums[:, down][:, :, across], axis=1), axis=2)  # (n, R, C)
    means = np.stack([counts[members == variant].mean(0) for variant in range(int(members.max()) + 1)])
    return float((means[members] ** 2).sum() / (counts.astype(np.float64) ** 2).sum())


def _sums(masks: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Pixels of a class (n, H, W) above and left of each corner, (n, H + 1, W + 1)."""
    sums = np.zeros((len(masks), masks.shape[1] + 1, masks.shape[2] + 1), np.int32)
    sums[:, 1:, 1:] = masks.cumsum(1, dtype=np.int32).cumsum(2, dtype=np.int32)
    return sums


def members(length: int, cells: int) -> Tensor:
    """(cells, length) 1 where a pixel lies in a cell."""
    members = torch.zeros(cells, length)
    for cell, (start, end) in enumerate(pairwise(borders(length, cells))):
        members[cell, start:end] = 1
    return members
