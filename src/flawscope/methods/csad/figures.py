"""Connected components of label maps, each described by its area and by moments of its shape."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flawscope.methods.csad.labelling import Labelling

SIZES = 3  # the first entries, which are logarithms
ENTRIES = (
    "log of the area",
    "log of the length",
    "log of the width",
    "third moment along",
    "third moment across",
    "threefold moment along",
    "threefold moment across",
)
LENGTH = 1  # place of that entry
MOST = 64  # components of a picture that are described
_ROUND = 0.05  # of the size, by which length and width must differ for a direction to be one
_LEAST = 1e-6
_LEAD = 1e-3  # by which a square's group must lead


@dataclass(frozen=True, slots=True)
class Figures:
    """The M largest components of N label maps over P squares, from the largest.

    Attributes:
        numbers: (N, P) the last square of the component that each square belongs to.
        weights: (N, P) how far each square counts, from 0 on ground to 1.
        places: (N, M) the last square of each.
        areas: (N, M) in squares; 0 where there are fewer.
        kinds: (N, M) the class, 1 to K, that most of it has.
        vectors: (N, M, D) `ENTRIES` of it.
        centres: (N, M, 2) its middle, across and down, in squares from the middle of the first one.
        grid: h and w, the squares down and across.
    """

    numbers: Tensor
    weights: Tensor
    places: Tensor
    areas: Tensor
    kinds: Tensor
    vectors: Tensor
    centres: Tensor
    grid: tuple[int, int]

    def spread(self, places: Tensor, values: Tensor) -> Tensor:
        """Values (N, m) of components with those places on all of their squares: (N, 1, h, w)."""
        there = torch.zeros_like(self.numbers, dtype=torch.float32).scatter(1, places, values)
        return there.gather(1, self.numbers).reshape(-1, 1, *self.grid)


class Describing(nn.Module):
    """Finds the components of label maps and describes their shapes; exports to ONNX.

    Moments up to the third order do not change where a component is moved or turned, and of one that is
    turned over only signs would. Second ones are its length and width. Of the third, those along the longer
    axis tell a head from a tip, and those across it a bent part from a straight one; where a component is
    as long as wide there is no axis, and what is along and across becomes the same.

    A square counts by how far its class leads before the next one, so that nothing changes by a step where a
    square goes over from one to the other.

    Args:
        classes: K, beside the background 0.
        size: height and width H, W of the label maps.
        stride: pixels a side of the squares.
    """

    across: Tensor
    down: Tensor

    def __init__(self, classes: int, size: tuple[int, int], stride: int) -> None:
        super().__init__()
        self.stride = stride
        grid = (size[0] // stride, size[1] // stride)
        self.labelling = Labelling(grid, classes + 1)
        down, across = torch.meshgrid(*(torch.arange(side).float() for side in grid), indexing="ij")
        self.most = min(MOST, grid[0] * grid[1])
        self.register_buffer("down", down.flatten(), persistent=False)
        self.register_buffer("across", across.flatten(), persistent=False)

    def forward(self, shares: Tensor, hole: Tensor | None = None) -> Figures:
        """Components of maps that tell how far each pixel shows each class.

        Args:
            shares: (N, K + 1, H, W).
            hole: () largest area, in squares, of ground that belongs to the component around it, where
                components are joined ones of any class but the background; None: of one class each.
        """
        squares = self._pooled(shares[:, 1:])  # (N, K, h, w)
        ground = 1 - squares.sum(1)  # (N, h, w), of ignored classes, too
        return self._of_classes(squares, ground) if hole is None else self._joined(squares, ground, hole)

    def _pooled(self, shares: Tensor) -> Tensor:
        """Means (N, K, h, w) over squares; rows first, for OpenVINO takes seven times as long for both."""
        (height, width), classes = self.labelling.size, shares.shape[1]
        rows = shares.reshape(-1, classes, height, self.stride, width * self.stride).mean(3)
        return rows.reshape(-1, classes, height, width, self.stride).mean(4)

    def _of_classes(self, squares: Tensor, ground: Tensor) -> Figures:
        shown = torch.cat([ground.unsqueeze(1), squares], 1)
        first, classes = shown.max(1)  # (N, h, w) each
        others = torch.where(self.labelling.labels == classes.unsqueeze(1), -1.0, shown)
        lead = first - others.amax(1)
        classes = torch.where(lead > _LEAD, classes, 0)  # engines choose differently between equals
        numbers = self.labelling(classes, 1)  # (N, P)
        weights = (lead * (classes > 0)).flatten(1)
        areas, places = self._largest(numbers, weights)
        kinds = classes.flatten(1).gather(1, places).clamp_min(1)
        return self._figures(numbers, weights, areas, places, kinds)

    def _joined(self, squares: Tensor, ground: Tensor, hole: Tensor) -> Figures:
        lead = 1 - 2 * ground
        parts = (lead > _LEAD).long()  # (N, h, w)
        mask = self._holes(parts, hole)
        edges = F.max_pool2d(mask.unsqueeze(1), 3, 1, 1).squeeze(1)  # its own squares and those that touch
        numbers = self.labelling(torch.where(mask > 0, 1, parts), 1, 1)  # (N, P)
        weights = torch.maximum(lead * parts, edges).flatten(1)  # what a hole's edges lack
        areas, places = self._largest(numbers, weights)
        of_classes = [_sums(numbers, weights * own).gather(1, places) for own in squares.flatten(2).unbind(1)]
        kinds = torch.stack(of_classes, 1).argmax(1) + 1
        return self._figures(numbers, weights, areas, places, kinds)

    def _holes(self, parts: Tensor, hole: Tensor) -> Tensor:
        """1 where ground belongs to what surrounds it, (N, h, w), of 1 where components lie."""
        ground = (parts == 0).flatten(1).float()
        numbers = self.labelling(parts, 0, 0)
        small = _sums(numbers, ground).gather(1, numbers) <= hole
        return (ground * small).reshape(parts.shape)

    def _largest(self, numbers: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """`areas` and `places` of `Figures`, of squares with weights (N, P), 0 on ground."""
        areas, places = _sums(numbers, weights).topk(self.most, 1)
        return areas, places

    def _figures(
        self, numbers: Tensor, weights: Tensor, areas: Tensor, places: Tensor, kinds: Tensor
    ) -> Figures:
        vectors, away = self._described(numbers, weights, areas, places)
        last = torch.stack([self.across[places], self.down[places]], 2)  # (N, M, 2)
        return Figures(numbers, weights, places, areas, kinds, vectors, last + away, self.labelling.size)

    def _described(
        self, numbers: Tensor, weights: Tensor, areas: Tensor, places: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Vectors (N, M, D) of the components at those places, and their middles (N, M, 2) from there."""
        whole = areas.clamp_min(_LEAST)  # (N, M)
        last, columns = numbers.float(), self.labelling.size[1]
        line = torch.floor((last + 0.5) / columns)
        x, y = self.across - (last - columns * line), self.down - line  # (N, P) from the last square

        def mean(values: Tensor) -> Tensor:
            return _sums(numbers, values).gather(1, places) / whole

        wx, wy = weights * x, weights * y
        wxx, wxy, wyy = wx * x, wx * y, wy * y
        mx, my, xx, xy, yy = (mean(values) for values in (wx, wy, wxx, wxy, wyy))
        xxx = mean(wxx * x) - 3 * mx * xx + 2 * mx**3
        xxy = mean(wxx * y) - 2 * mx * xy - my * xx + 2 * mx**2 * my
        xyy = mean(wyy * x) - 2 * my * xy - mx * yy + 2 * my**2 * mx
        yyy = mean(wyy * y) - 3 * my * yy + 2 * my**3
        xx, xy, yy = xx - mx**2, xy - mx * my, yy - my**2
        trace = xx + yy + 1 / 6  # squares are no points
        apart = torch.sqrt((xx - yy).square() + 4 * xy.square() + _LEAST)
        length, width = torch.sqrt((trace + apart) / 2), torch.sqrt(((trace - apart) / 2).clamp_min(1 / 12))
        axis = (xx - yy) / (apart + _ROUND * trace), 2 * xy / (apart + _ROUND * trace)
        found = [whole.log(), length.log(), width.log()]
        found += _along_and_across((xxx + xyy, xxy + yyy), axis, 1)
        found += _along_and_across((xxx - 3 * xyy, 3 * xxy - yyy), axis, 3)
        scales = (length**3, length**2 * width)
        thirds = [part / scales[index % 2] for index, part in enumerate(found[SIZES:])]
        return torch.stack([*found[:SIZES], *thirds], 2), torch.stack([mx, my], 2)


def _sums(numbers: Tensor, values: Tensor) -> Tensor:
    """Sums of values (N, P) over the components, each at its last square."""
    return torch.zeros_like(values).scatter_add(1, numbers, values)


def _along_and_across(moment: tuple[Tensor, Tensor], axis: tuple[Tensor, Tensor], turns: int) -> list[Tensor]:
    """Sizes of the parts of a complex moment along and across an axis that is given by its double angle.

    A moment that turns `turns` times as a component turns once has, squared, the angle of the axis's power.
    """
    power = axis
    for _ in range(turns - 1):
        power = _product(power, axis)
    square = _product(moment, moment)
    size = moment[0].square() + moment[1].square()
    shared = square[0] * power[0] + square[1] * power[1]
    return [torch.sqrt(((size + sign * shared) / 2).clamp_min(0) + _LEAST) for sign in (1, -1)]


def _product(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Of two complex numbers."""
    return one[0] * other[0] - one[1] * other[1], one[0] * other[1] + one[1] * other[0]
