"""Square patches of pictures: where they lie, cut out in one gather, and their values spread over pixels.

A grid of patches begins at the picture's top left corner, with one patch every `stride` pixels; those that
would leave the picture at the right or bottom are not in it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from flawscope.nn.heatmaps import Separable


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
