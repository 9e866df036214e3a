"""The hard feature loss of EfficientAD (equation 4.2) and the loss of CDO (equations 4.5 to 4.9)."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

_SMALLEST_RATIO = 1e-3
_SAMPLED, _SPARE = 16, 64  # one value in so many tells the bound of the largest, with so many to spare
_SMALLEST_NORM = 1e-12  # as of F.normalize


def hard_loss(teacher: Tensor, student: Tensor, quantile: float) -> Tensor:
    """L_Hard: mean of the squared differences at or above their quantile, picture by picture (equation 4.2).

    Args:
        teacher: (N, C, h, w) normalised.
        student: (N, C, h, w), its first half of channels.
        quantile: 0 takes the mean over everything.
    """
    target, output = _in_memory(teacher), _in_memory(student)  # (N, h * w * C)
    count = target.shape[1]
    kept = count - math.ceil(quantile * (count - 1))
    if kept == count:
        return mean_square(teacher, student)
    with torch.no_grad():
        squares = (target - output).square()
        places = torch.stack([_largest(each, kept) for each in squares])  # (N, kept)
    return (target.gather(1, places) - output.gather(1, places)).square().mean()


def discrepancy(teacher: Tensor, student: Tensor) -> Tensor:
    """d of equation 4.5 for each cell: (N, C, h, w) twice → (N, h, w), between 0 and 4.

    The squared distance of the two feature vectors after scaling each to unit length over the channels. The
    student's alone has a gradient.
    """
    if torch.is_grad_enabled() and student.requires_grad:
        found: Tensor = _Discrepancy.apply(teacher, student)
        return found
    return (F.normalize(teacher, dim=1) - F.normalize(student, dim=1)).square().sum(1)


def mean_square(first: Tensor, second: Tensor) -> Tensor:
    """Mean of the squared differences, as `F.mse_loss`, whose gradient takes ten times as long on a CPU."""
    found: Tensor = _MeanSquare.apply(first, second)
    return found


def _largest(values: Tensor, count: int) -> Tensor:
    """Places (count,) of the largest values (M,), as `topk` finds them.

    On a processor that is slow among many; there it chooses among those alone that reach a bound, which by a
    sample somewhat more do than are asked for.
    """
    sample = values[::_SAMPLED]
    above = count // _SAMPLED * 5 // 4 + _SPARE
    if values.device.type == "cpu" and above < len(sample) // 2:
        bound = sample.kthvalue(len(sample) - above).values
        reached = (values >= bound).nonzero()[:, 0]
        if len(reached) >= count:
            return reached[values[reached].topk(count, sorted=False).indices]
    return values.topk(count, sorted=False).indices


class _Discrepancy(Function):
    """`discrepancy` with its gradient in closed form, a few passes over the maps in place of dozens."""

    @staticmethod
    def forward(ctx: Any, teacher: Tensor, student: Tensor) -> Tensor:
        length, unit = _unit(student)
        difference = unit - _unit(teacher)[1]
        ctx.save_for_backward(length, unit, difference)
        return difference.square().sum(1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        """The unit vector s / |s| moves across itself alone: 2 (δ - (δ · s / |s|) s / |s|) / |s|."""
        length, unit, difference = ctx.saved_tensors
        along = (difference * unit).sum(1, keepdim=True)  # (N, 1, h, w)
        return None, (difference - along * unit) * (2 * gradient.unsqueeze(1) / length)


class _MeanSquare(Function):
    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor) -> Tensor:
        difference = first - second
        ctx.save_for_backward(difference)
        return difference.square().mean()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        (difference,) = ctx.saved_tensors
        found = difference * (2 / difference.numel() * gradient)
        return (found if ctx.needs_input_grad[0] else None, -found if ctx.needs_input_grad[1] else None)


def _unit(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Lengths (N, 1, h, w) of the vectors (N, C, h, w) over the channels, and the vectors of length 1."""
    length = torch.linalg.vector_norm(vectors, dim=1, keepdim=True).clamp_min(_SMALLEST_NORM)
    return length, vectors / length


def _in_memory(maps: Tensor) -> Tensor:
    """Maps (N, C, h, w) as (N, h * w * C), in the order of training's memory: nothing is copied."""
    return maps.permute(0, 2, 3, 1).flatten(1)


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
