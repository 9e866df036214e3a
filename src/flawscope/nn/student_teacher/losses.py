"""The losses of EfficientAD (equations 4.2 to 4.4) and of CDO (equations 4.5 to 4.9)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_SMALLEST_RATIO = 1e-3


def hard_loss(teacher: Tensor, student: Tensor, quantile: float, normal: Tensor | None = None) -> Tensor:
    """L_Hard: mean of the squared differences at or above their quantile, picture by picture (equation 4.2).

    Args:
        teacher: (N, C, h, w) normalised.
        student: (N, C, h, w), its first half of channels.
        quantile: 0 takes the mean over everything.
        normal: (N, h, w) bool, cells that count; all by default.
    """
    squares = (teacher - student).square()
    channels = squares.shape[1]
    losses = []
    for index in range(len(squares)):
        values = squares[index]  # (C, h, w)
        count = values.numel()
        if normal is not None:
            values = values * normal[index]  # cells that do not count become 0, never among the largest
            count = channels * int(normal[index].sum())
        if not count:
            continue
        kept = count - math.ceil(quantile * (count - 1))
        largest = values.flatten().topk(kept, sorted=False).values if kept < count else values
        losses.append(largest.sum() / kept)
    return torch.stack(losses).mean() if losses else squares.new_zeros(())


def mean_square(target: Tensor, output: Tensor, normal: Tensor | None = None) -> Tensor:
    """L_AE and L_STAE (equations 4.3, 4.4): mean squared difference over the cells (N, h, w) that count."""
    squares = (target - output).square()
    if normal is None:
        return squares.mean()
    cells = squares.mean(1)[normal]  # (cells,)
    return cells.mean() if len(cells) else squares.new_zeros(())


def discrepancy(teacher: Tensor, student: Tensor) -> Tensor:
    """d of equation 4.5 for each cell: (N, C, h, w) twice → (N, h, w), between 0 and 4.

    The squared distance of the two feature vectors after scaling each to unit length over the channels.
    """
    return (F.normalize(teacher, dim=1) - F.normalize(student, dim=1)).square().sum(1)


def cdo_loss(distances: Tensor, defects: Tensor, gamma: float) -> Tensor:
    """L_CDO (equation 4.9): discrepancies small on normal cells and large on synthetic defects.

    The weights of equations 4.7 and 4.8 carry no gradient. A ratio d / d̄ below 0.001 counts as that, since
    the weight of a defect cell without any discrepancy would be infinite.

    Args:
        distances: (N, h, w) from `discrepancy`.
        defects: (N, h, w) bool, cells of synthetic defects.
        gamma: γ; 0 gives all cells of both kinds the same weight (equation 4.6, divided by their number).
    """
    normal, defective = distances[~defects], distances[defects]  # (cells,) each
    if not len(defective):
        weights = _weights(normal, gamma)
        return (weights * normal).sum() / weights.sum()
    if not len(normal):
        weights = _weights(defective, -gamma)
        return -(weights * defective).sum() / weights.sum()
    near, far = _weights(normal, gamma), _weights(defective, -gamma)
    return ((near * normal).sum() - (far * defective).sum()) / (near.sum() + far.sum())


def _weights(distances: Tensor, power: float) -> Tensor:
    """(d / d̄)^power without gradient."""
    values = distances.detach()
    mean = values.mean()
    if power == 0 or not mean > 0:
        return torch.ones_like(values)
    return (values / mean).clamp_min(_SMALLEST_RATIO).pow(power)
