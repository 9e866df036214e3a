"""Square patches of pictures: where those of a training step lie, cut out in one gather, spread over pixels.

A grid of patches begins at the picture's top left corner, with one patch every `stride` pixels; those that
would leave the picture at the right or bottom are not in it.

Every draw of a training step follows from the run's seed and the step's number. Corners (n, 2) int64 are row
and column of a patch's top left pixel; `room` is the last row and column at which a patch may begin, so that
patches never leave the picture. There is no loop over patches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from flawscope.methods.multiscale_patch.options import MultiScalePatchOptions
from flawscope.nn.heatmaps import Separable

Room = tuple[int, int]


class Beside(NamedTuple):
    """Pairs for the relative position: corners of P_m and P_n, and the direction between, (n,) int64."""

    first: Tensor
    second: Tensor
    label: Tensor


@dataclass(frozen=True, slots=True)
class Places:
    """The patches of one scale in one step, those that a loss in use needs.

    Attributes:
        owners: (n,) int64, index of the picture within the batch.
        corners: (n, 2) by kind: i, j and k of L_SVDD and L_Cos, m and n of L_SSL, r of L_Kmeans.
        label: (n,) int64, the direction from P_m to P_n; None without L_SSL.
    """

    owners: Tensor
    corners: dict[str, Tensor]
    label: Tensor | None

    def between(self, start: int, stop: int) -> Places:
        """Those numbered from `start` to before `stop`, of every kind."""
        cut = slice(start, stop)
        corners = {kind: corners[cut] for kind, corners in self.corners.items()}
        return Places(self.owners[cut], corners, None if self.label is None else self.label[cut])


def draw(options: MultiScalePatchOptions, scale: int, pictures: int, generator: torch.Generator) -> Places:
    """As many patches of each kind together in each of so many pictures as the options say (section 3.3)."""
    count, names = pictures * options.together, set(options.losses)
    room = (options.size[0] - scale, options.size[1] - scale)
    corners, label = dict[str, Tensor](), None
    if names & {"svdd", "cos"}:
        corners["i"] = anywhere(count, room, generator)
        corners["j"] = near(corners["i"], room, options.nearby(scale), generator)
    if "cos" in names:
        corners["k"] = farther(corners["i"], corners["j"], room, generator)
    if "ssl" in names:
        distance = (scale * options.distance[0], scale * options.distance[1])
        corners["m"], corners["n"], label = beside(count, room, distance, options.directions, generator)
    if "kmeans" in names:
        corners["r"] = anywhere(count, room, generator)
    return Places(torch.arange(pictures).repeat_interleave(options.together), corners, label)


def anywhere(count: int, room: Room, generator: torch.Generator) -> Tensor:
    """Corners anywhere in the picture: P_i and P_r (section 3.3)."""
    return _within(torch.zeros(count, 2, dtype=torch.int64), torch.tensor(room).expand(count, 2), generator)


def near(corners: Tensor, room: Room, reach: int, generator: torch.Generator) -> Tensor:
    """Other corners at most `reach` rows and columns away, each with the same chance: P_j (section 3.3)."""
    low = (corners - reach).clamp_min(0)  # (n, 2)
    high = torch.minimum(corners + reach, torch.tensor(room))
    rows, columns = (high - low + 1).unbind(1)
    own = (corners[:, 0] - low[:, 0]) * columns + corners[:, 1] - low[:, 1]
    place = _below(rows * columns - 1, generator)
    place = place + (place >= own).long()  # all but the corner itself
    return low + torch.stack([place // columns, place % columns], 1)


def farther(corners: Tensor, nearer: Tensor, room: Room, generator: torch.Generator) -> Tensor:
    """Corners farther away than `nearer`, each with the same chance: P_k (section 3.3).

    They lie outside of the square around the corner whose sides are no farther than `nearer`; the few that
    lie in the square's own corners, and are farther all the same, are left out.
    """
    radius = (corners - nearer).double().square().sum(1).sqrt().floor().long()[:, None]
    low = (corners - radius).clamp_min(0)  # (n, 2), the square as far as the picture holds it
    high = torch.minimum(corners + radius, torch.tensor(room))
    tall, wide = (high - low + 1).unbind(1)
    columns = room[1] + 1
    beside_it = columns - wide  # places that a row of the square leaves free
    above, middle = low[:, 0] * columns, tall * beside_it
    place = _below((room[0] + 1) * columns - tall * wide, generator)
    inner = place - above
    column = inner % beside_it.clamp_min(1)
    column = column + torch.where(column >= low[:, 1], wide, 0)
    between = torch.stack([low[:, 0] + inner // beside_it.clamp_min(1), column], 1)
    whole = torch.where(place < above, place, place - middle + tall * columns)  # rows above and below
    outside = torch.stack([whole // columns, whole % columns], 1)
    return torch.where(((place >= above) & (inner < middle))[:, None], between, outside)


def beside(
    count: int, room: Room, distance: tuple[float, float], directions: int, generator: torch.Generator
) -> Beside:
    """Pairs whose second patch lies about a patch's side from the first, in one of the directions (3.3).

    Label y of 12 stands for the angle y · 30°, counter-clockwise from the right; of 8, in steps of 45°, for
    the neighbours in a grid of 3×3, whose rows and columns each lie within `distance` (Patch SVDD). The first
    patch is drawn where the second fits; Patch SVDD's code moves the second inside instead, which changes its
    direction.

    Args:
        count: n.
        room: at least the largest distance in both directions.
        distance: least and most, in pixels.
        directions: 12 or 8.
        generator: of the draws.
    """
    label = torch.randint(directions, (count,), generator=generator)
    drawn = distance[0] + (distance[1] - distance[0]) * torch.rand(count, 2, generator=generator)  # (n, 2)
    angle = label * (2 * math.pi / directions)
    way = torch.stack([-angle.sin(), angle.cos()], 1)  # (n, 2): rows count downwards
    moved = (drawn[:, :1] * way if directions == 12 else drawn * way.round()).round().long()
    first = _within((-moved).clamp_min(0), torch.tensor(room) - moved.clamp_min(0), generator)
    return Beside(first, first + moved, label)


def _within(low: Tensor, high: Tensor, generator: torch.Generator) -> Tensor:
    """Whole numbers from `low` to `high`, both included, of their shape."""
    return low + _below(high - low + 1, generator)


def _below(count: Tensor, generator: torch.Generator) -> Tensor:
    """Whole numbers from 0 to below `count` (at least 1), of its shape."""
    drawn = torch.rand(count.shape, dtype=torch.float64, generator=generator)
    return (drawn * count).long().clamp_max(count - 1)


def grid_shape(size: Sequence[int], patch: int, stride: int) -> tuple[int, int]:
    """Rows and columns of the grid of patches over a picture of `size` (height, width).

    >>> grid_shape((256, 250), 64, 16)
    (13, 12)
    """
    return (size[0] - patch) // stride + 1, (size[1] - patch) // stride + 1


def crop(pictures: Tensor, owners: Tensor, corners: Tensor, patch: int) -> Tensor:
    """Patches (n, 3, patch, patch), all in one gather.

    Args:
        pictures: (N, 3, H, W).
        owners: (n,) int64, the picture of each patch.
        corners: (n, 2) int64, row and column of its top left pixel.
        patch: side in pixels.
    """
    inside = torch.arange(patch, device=pictures.device)
    rows = corners[:, :1] + inside  # (n, patch)
    columns = corners[:, 1:] + inside  # (n, patch)
    channels = torch.arange(pictures.shape[1], device=pictures.device)
    owners = owners[:, None, None, None]
    return pictures[owners, channels[:, None, None], rows[:, None, :, None], columns[:, None, None, :]]


def cut_grid(pictures: Tensor, patch: int, stride: int) -> Tensor:
    """All patches of the grid as (N * h * w, 3, patch, patch), picture by picture, line by line."""
    height, width = grid_shape(pictures.shape[2:], patch, stride)
    inside = torch.arange(patch, device=pictures.device)
    rows = (stride * torch.arange(height, device=pictures.device)[:, None] + inside).flatten()
    columns = (stride * torch.arange(width, device=pictures.device)[:, None] + inside).flatten()
    spread = pictures.index_select(2, rows).index_select(3, columns)  # (N, 3, h * patch, w * patch)
    channels = pictures.shape[1]
    parted = spread.reshape(-1, channels, height, patch, width, patch)
    return parted.permute(0, 2, 4, 1, 3, 5).reshape(
        -1, channels, patch, patch
    )  # (N * h * w, 3, patch, patch)


class Coverage(Separable):
    """For each pixel the mean of the values of the patches that cover it: a transposed mean pooling.

    Both the sum over the covering patches and their number are separable, so one matrix a side does it.
    Pixels at the right and bottom that no patch covers take the value of the nearest one that is covered.

    Args:
        size: height and width of the picture.
        patch: side in pixels.
        stride: pixels from patch to patch.
    """

    def __init__(self, size: tuple[int, int], patch: int, stride: int) -> None:
        grid = grid_shape(size, patch, stride)
        super().__init__(*(_shares(size[side], grid[side], patch, stride) for side in (0, 1)))
        self.grid = grid


def _shares(length: int, count: int, patch: int, stride: int) -> Tensor:
    """(length, count): the share of each of `count` patches in each pixel along one side."""
    covered = min(length, (count - 1) * stride + patch)
    pixels = torch.arange(length).clamp(max=covered - 1)[:, None]
    starts = stride * torch.arange(count)
    covers = ((pixels >= starts) & (pixels < starts + patch)).double()
    shares: Tensor = covers / covers.sum(1, keepdim=True)
    return shares.float()
