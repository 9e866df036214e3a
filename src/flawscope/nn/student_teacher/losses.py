"""The hard feature loss of EfficientAD (equation 4.2) and the loss of CDO (equations 4.5 to 4.9)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_SMALLEST_RATIO = 1e-3


def hard_loss(teacher: Tensor, student: Tensor, quantile: float) -> Tensor:
    """L_Hard: mean of the squared differences at or above their quantile, picture by picture (equation 4.2).

    Args:
        teacher: (N, C, h, w) normalised.
        student: (N, C, h, w), its first half of channels.
        quantile: 0 takes the mean over everything.
    """
    squares = (teacher - student).square().flatten(1)  # (N, C * h * w)
    count = squares.shape[1]
    kept = count - math.ceil(quantile * (count - 1))
    return squares.topk(kept, sorted=False).values.mean() if kept < count else squares.mean()


def discrepancy(teacher: Tensor, student: Tensor) -> Tensor:
    """d of equation 4.5 for each cell: (N, C, h, w) twice → (N, h, w), between 0 and 4.

    The squared distance of the two feature vectors after scaling each to unit length over the channels.
    """
    return (F.normalize(teacher, dim=1) - F.normalize(student, dim=1)).square().sum(1)


def cdo_loss(normal: Tensor, defective: Tensor, gamma: float) -> Tensor:
    """L_CDO (equation 4.9): discrepancies small on normal cells and large on synthetic defects.

    Where one of the two sets is empty, the other's term alone is left, and 0 without either. The weights of
    equations 4.7 and 4.8 carry no gradient. A ratio d / d̄ below 0.001 counts as that, since the weight of a
    defect cell without any discrepancy would be infinite.

    Args:
        normal: (cells,) from `discrepancy`, of the set N.
        defective: (cells,), of the set A.
        gamma: γ; 0 gives all cells of both kinds the same weight (equation 4.6, divided by their number).
    """
    if not len(normal) + len(defective):
        return normal.sum()
    near, far = _weights(normal, gamma), _weights(defective, -gamma)
    return ((near * normal).sum() - (far * defective).sum()) / (near.sum() + far.sum())


def _weights(distances: Tensor, power: float) -> Tensor:
    """(d / d̄)^power without gradient."""
    values = distances.detach()
    mean = values.mean()
    if power == 0 or not mean > 0:
        return torch.ones_like(values)
    return (values / mean).clamp_min(_SMALLEST_RATIO).pow(power)
