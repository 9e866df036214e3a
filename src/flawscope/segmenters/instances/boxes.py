"""Boxes as tensor code of fixed shapes, which exports: anchors, offsets, suppression of doubles, features.

Boxes are (x0, y0, x1, y1) in pixels; whole numbers are the middles of pixels, so that the first pixel reaches
from -0.5 to 0.5. Here and in `torchvision.ops.roi_align` a feature map of stride s has its value (0, 0) at 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import roi_align

ROUNDS = 8
RATIOS = (0.5, 1.0, 2.0)  # heights of anchors for their widths (Faster R-CNN, section 3.1)
CANONICAL_LEVEL = 4  # FPN, equation 1
_ORDERED = 0.03  # by so much the last of equal logits counts less than the first
_LARGEST = math.log(1000.0 / 16)  # of a side's factor (Faster R-CNN)


def anchors(shape: tuple[int, int], stride: int, cells: int) -> NDArray[np.float32]:
    """Boxes (h * w * 3, 4), `cells` cells a side, at each cell of a map (h, w), by cell and then by ratio."""
    ratios = np.sqrt(np.array(RATIOS))
    heights, widths = cells * stride * ratios, cells * stride / ratios
    around = np.round(np.stack([-widths, -heights, widths, heights], 1) / 2)  # (3, 4)
    y, x = np.mgrid[: shape[0], : shape[1]] * stride
    middles = np.stack([x, y, x, y], -1).reshape(-1, 1, 4)  # (h * w, 1, 4)
    return (middles + around).reshape(-1, 4).astype(np.float32)


def moved(boxes: Tensor, offsets: Tensor, weights: tuple[float, float]) -> Tensor:
    """Boxes (..., 4), moved and stretched by offsets (..., 4), each of such a weight (R-CNN, appendix C)."""
    sides = boxes[..., 2:] - boxes[..., :2]
    middles = boxes[..., :2] + (offsets[..., :2] / weights[0] + 0.5) * sides
    half = 0.5 * sides * torch.exp(torch.clamp(offsets[..., 2:] / weights[1], max=_LARGEST))
    return torch.cat([middles - half, middles + half], -1)


def within(boxes: Tensor, size: tuple[int, int], low: float, high: float) -> Tensor:
    """Boxes (..., 4) cut at a picture of `size` (H, W): from `low` to its sides plus `high`."""
    height, width = size
    x = boxes[..., 0::2].clamp(low, width + high)
    y = boxes[..., 1::2].clamp(low, height + high)
    return torch.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], -1)


def likeliest(logits: Tensor, count: int) -> Tensor:
    """Places (N, count) of the highest of (N, M) logits, the highest first; of equal ones the first.

    A ground without texture gives equal ones by the hundred, which engines would order differently. So each
    weighs a little less than the one before it; for float32 to tell them apart, the logits must be small.
    """
    length = logits.shape[1]
    less = torch.arange(length, device=logits.device, dtype=logits.dtype) * (_ORDERED / length)  # (M,)
    return (logits - less).topk(count, 1)[1]


def overlap(boxes: Tensor) -> Tensor:
    """Intersection over union of each two of the boxes (N, M, 4): (N, M, M)."""
    first, second = boxes.unsqueeze(2), boxes.unsqueeze(1)  # (N, M, 1, 4), (N, 1, M, 4)
    corners = torch.minimum(first[..., 2:], second[..., 2:]) - torch.maximum(first[..., :2], second[..., :2])
    shared = _area(corners)  # (N, M, M)
    areas = _area(boxes[..., 2:] - boxes[..., :2])  # (N, M)
    return shared / (areas.unsqueeze(2) + areas.unsqueeze(1) - shared).clamp(min=1e-6)


def _area(sides: Tensor) -> Tensor:
    """Of sides (..., 2); 0 where one is negative."""
    wide, high = sides.clamp(min=0).unbind(-1)
    return wide * high


def kept(boxes: Tensor, most: float, kinds: Tensor) -> Tensor:
    """Which of the boxes (N, M, 4) are no doubles of a likelier one that is kept: (N, M) bool.

    Non-maximum suppression without a loop over boxes. A round asks which boxes overlap with none that the
    round before kept. After it, the answer is final for one link more of each chain of boxes that suppress
    one another; in a longer chain than eight links a double may stay.

    Args:
        boxes: those of one kind by falling score.
        most: intersection over union beyond which one box doubles another of its kind.
        kinds: (N, M) or (M,).
    """
    earlier = torch.ones(boxes.shape[1], boxes.shape[1], dtype=torch.bool, device=boxes.device).tril(-1)
    alike = (kinds.unsqueeze(-1) == kinds.unsqueeze(-2)) & earlier
    likelier = ((overlap(boxes) > most) & alike).float()  # (N, M, M)
    found = torch.ones_like(boxes[..., :1])  # (N, M, 1)
    for _ in range(ROUNDS):
        found = torch.relu(1 - torch.bmm(likelier, found))
    return found.squeeze(2) > 0.5


def cut_out(maps: Sequence[Tensor], boxes: Tensor, side: int, canonical: int) -> Tensor:
    """Features (N * P, C, side, side) inside boxes (N, P, 4), each from the level that its size says.

    As torchvision's MultiScaleRoIAlign, but for the order of work: here all levels are read for all boxes.

    Args:
        maps: (N, C, h, w) at strides 4, 8 and so on.
        boxes: (N, P, 4).
        side: points a side, each the mean of 2×2 samples.
        canonical: side of the boxes that are read at stride 16.
    """
    count = boxes.shape[1]
    numbers = torch.arange(boxes.shape[0], device=boxes.device, dtype=boxes.dtype)
    numbers = numbers.view(-1, 1, 1).expand(-1, count, 1)
    rows = torch.cat([numbers, boxes], 2).flatten(0, 1)  # (N * P, 5)
    scale = _area(rows[:, 3:] - rows[:, 1:3]).clamp(min=1e-6).sqrt() / canonical
    levels = torch.floor(CANONICAL_LEVEL + torch.log2(scale) + 1e-6)
    levels = levels.clamp(2, len(maps) + 1).view(-1, 1, 1, 1)
    total = torch.zeros(1, device=boxes.device)
    for number, grid in enumerate(maps):
        read = roi_align(grid, rows, (side, side), 1 / 2 ** (number + 2), 2)  # (N * P, C, side, side)
        total = torch.where(levels == number + 2, read, total)
    return total
