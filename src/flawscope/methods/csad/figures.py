"""Connected components of label maps, each described by its area and by moments of its shape."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flawscope.methods.csad.labelling import Labelling

ENTRIES = (
    "log of the area",
    "log of the length",
    "log of the width",
    "third moment along",
    "third moment across",
    "threefold moment along",
    "threefold moment across",
)
MOST = 64  # components of a picture that are described
_ROUND = 0.05  # of the size, by which length and width must differ for a direction to be one
_LEAST = 1e-6
_LEAD = 1e-3  # by which a square's group must lead


@dataclass(frozen=True, slots=True)
class Figures:
    """The M largest components of N label maps over P squares, from the largest.

    Attributes:
        numbers: (N, P) the last square of the component that each square belongs to.
        places: (N, M) the last square of each.
        areas: (N, M) in squares; 0 where there are fewer.
        kinds: (N, M) the class, 1 to K, that most of it has.
        vectors: (N, M, D) `ENTRIES` of it.
    """

    numbers: Tensor
    places: Tensor
    areas: Tensor
    kinds: Tensor
    vectors: Tensor


class Describing(nn.Module):
    """Finds the components of label maps and describes their shapes; exports to ONNX.

    Moments up to the third order do not change where a component is moved or turned, and of one that is
    turned over only signs would. Second ones are its length and width. Of the third, those along the longer
    axis tell a head from a tip, and those across it a bent part from a straight one; where a component is
    as long as wide there is no axis, and what is along and across becomes the same.

    A square counts by how far its group leads before the next one, so that nothing changes by a step where a
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

    def forward(self, shares: Tensor, groups_of: Tensor, hole: Tensor) -> Figures:
        """Components of maps that tell how far each pixel shows each class.

        Args:
            shares: (N, K + 1, H, W).
            groups_of: (G, K + 1) with 1 where a column's class belongs to a row's group, background to
                group 0; components are of one group.
            hole: () largest area, in squares, of ground that belongs to the component around it.
        """
        classes, (height, width) = shares.shape[1], self.labelling.size
        cells = shares.reshape(-1, classes, height, self.stride, width, self.stride)
        squares = cells.mean((3, 5))  # (N, K + 1, h, w); onnxruntime takes twice as long to pool
        ground = 1 - squares[:, 1:].sum(1, keepdim=True)  # of ignored classes, too
        squares = torch.cat([ground, squares[:, 1:]], 1)
        grouped = torch.einsum("gc,nchw->nghw", groups_of, squares)
        first, groups = grouped.max(1)  # (N, h, w) each
        others = torch.where(self.labelling.labels[: len(groups_of)] == groups.unsqueeze(1), -1.0, grouped)
        lead = first - others.amax(1)
        groups = torch.where(lead > _LEAD, groups, 0)  # engines choose differently between equals
        groups, weights = self._filled(groups, lead * (groups > 0), hole)
        numbers = self.labelling(groups, len(groups_of))  # (N, P)
        return self._largest(numbers, weights.flatten(1), squares[:, 1:].flatten(2))

    def _largest(self, numbers: Tensor, weights: Tensor, squares: Tensor) -> Figures:
        """Describe components of squares with weights (N, P), 0 on ground, and shares (N, K, P)."""
        areas, places = torch.zeros_like(weights).scatter_add(1, numbers, weights).topk(self.most, 1)
        of_classes = [
            torch.zeros_like(weights).scatter_add(1, numbers, weights * own).gather(1, places)
            for own in squares.unbind(1)
        ]
        kinds = torch.stack(of_classes, 1).argmax(1) + 1
        return Figures(numbers, places, areas, kinds, self._described(numbers, weights, areas, places))

    def _filled(self, groups: Tensor, weights: Tensor, hole: Tensor) -> tuple[Tensor, Tensor]:
        """Holes as parts of the components around them, and what their edges lack: (N, h, w) each."""
        ground = (groups == 0).flatten(1).float()
        numbers = self.labelling((groups > 0).long(), 2)
        areas = torch.zeros_like(ground).scatter_add(1, numbers, ground)
        holes = (ground > 0) & (areas.gather(1, numbers) <= hole)
        mask = holes.float().reshape(-1, 1, *self.labelling.size)
        edges = F.max_pool2d(mask, 3, 1, 1).squeeze(1)  # a hole's own squares and those that touch it
        return torch.where(mask.squeeze(1) > 0, 1, groups), torch.maximum(weights, edges)

    def _described(self, numbers: Tensor, weights: Tensor, areas: Tensor, places: Tensor) -> Tensor:
        """Vectors (N, M, D) of the components at those places."""
        whole = areas.clamp_min(_LEAST)  # (N, M)

        def summed(values: Tensor) -> Tensor:
            return torch.zeros_like(weights).scatter_add(1, numbers, weights * values)

        def mean(values: Tensor) -> Tensor:
            return summed(values).gather(1, places) / whole

        each = summed(torch.ones_like(weights)).clamp_min(_LEAST)
        x = self.across - (summed(self.across) / each).gather(1, numbers)  # (N, P)
        y = self.down - (summed(self.down) / each).gather(1, numbers)
        far = x * x + y * y
        xx, xy, yy = mean(x * x), mean(x * y), mean(y * y)
        trace = xx + yy + 1 / 6  # squares are no points
        apart = torch.sqrt((xx - yy).square() + 4 * xy.square() + _LEAST)
        length, width = torch.sqrt((trace + apart) / 2), torch.sqrt(((trace - apart) / 2).clamp_min(1 / 12))
        axis = (xx - yy) / (apart + _ROUND * trace), 2 * xy / (apart + _ROUND * trace)
        single = mean(far * x), mean(far * y)
        triple = mean(x * x * x - 3 * x * y * y), mean(3 * x * x * y - y * y * y)
        found = [whole.log(), length.log(), width.log()]
        found += _along_and_across(single, axis, 1)
        found += _along_and_across(triple, axis, 3)
        scales = (length**3, length**2 * width)
        thirds = [part / scales[index % 2] for index, part in enumerate(found[3:])]
        return torch.stack([*found[:3], *thirds], 2)


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
