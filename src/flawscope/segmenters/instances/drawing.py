"""Masks of instances, drawn into pictures, and the partition that they make; tensor code that exports."""

from __future__ import annotations

import torch
from torch import Tensor

_TOGETHER = 16  # masks that are drawn at once, for memory


def drawn(
    masks: Tensor, boxes: Tensor, classes: Tensor, order: Tensor, size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Labels (N, H, W), where the first of the classes that claim a pixel has it, and areas (N, D) of masks.

    A mask is enlarged linearly to its box, rows and columns one after the other, each by a matrix.

    Args:
        masks: (N, D, s, s) from 0, as beyond the box; what is 1 or more once enlarged is within the mask.
        boxes: (N, D, 4).
        classes: (N, D) int64, 0 for a mask that is not to be drawn.
        order: (K + 1,) int64, classes in the order in which they claim pixels, 0 last.
        size: height and width H, W.
    """
    side, none = masks.shape[2], order.shape[0] - 1
    ranks = (classes.unsqueeze(2) == order).float().argmax(2).float()  # (N, D)
    down = _enlarging(boxes[..., 1], boxes[..., 3], size[0], side)  # (N, D, H, s)
    across = _enlarging(boxes[..., 0], boxes[..., 2], size[1], side)  # (N, D, W, s)
    filled = (classes > 0).float()[..., None, None]
    rows = torch.bmm(down.flatten(0, 1), (masks * filled).flatten(0, 1)).view_as(down)  # (N, D, H, s)
    claims, areas = [], []
    for start in range(0, masks.shape[1], _TOGETHER):
        part = slice(start, start + _TOGETHER)
        shown = rows[:, part] @ across[:, part].transpose(2, 3) >= 1  # (N, d, H, W)
        areas.append(shown.float().sum((2, 3)))
        claims.append(torch.where(shown, ranks[:, part, None, None], float(none)).amin(1))
    first = torch.stack(claims).amin(0)  # (N, H, W)
    return order[first.long()], torch.cat(areas, 1)


def _enlarging(start: Tensor, end: Tensor, count: int, side: int) -> Tensor:
    """Weights (N, D, count, side) of a mask's cells from `start` to `end` (N, D) at each pixel's middle."""
    pixels = torch.arange(count, device=start.device, dtype=start.dtype)
    cells = torch.arange(side, device=start.device, dtype=start.dtype)
    long = (end - start).clamp(min=1.0).unsqueeze(2)
    place = (pixels - start.unsqueeze(2)) / long * side - 0.5  # (N, D, count), in cells
    return (1 - (place.unsqueeze(3) - cells).abs()).clamp(min=0)
