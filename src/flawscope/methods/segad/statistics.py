"""Statistics of anomaly maps over segments: what SegAD's forest decides on (section 4)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

Statistic = Literal["quantile", "skewness", "kurtosis", "mean", "maximum"]
QUANTILE = 0.995
_CONSTANT = 1e-6  # standard deviation, as a share of the segment's mean, that is rounding alone


class SegmentStatistics(nn.Module):
    """Quantile, skewness, excess kurtosis, mean and maximum of each map over each segment's pixels.

    The quantile interpolates linearly, as numpy's; skewness and kurtosis are those of the pixels as a whole
    population, as scipy's with their defaults. Skewness and kurtosis of a constant segment, and every
    statistic of an empty one, are 0. A segment counts as constant where its standard deviation is below a
    millionth of its mean, the resolution of float32.

    Args:
        count: L, number of segments.
        names: the statistics, in this order.
        labels: (H, W) int64, where every picture has the same segments: then each segment's pixels are
            gathered, which takes a fifth of the time. None: labels come with each call.
    """

    def __init__(self, count: int, names: Sequence[Statistic], labels: Tensor | None = None) -> None:
        super().__init__()
        self.count, self.names = count, tuple(names)
        self.static = labels is not None
        if labels is not None:
            for segment in range(count):
                pixels = (labels.flatten() == segment).nonzero().squeeze(1)  # (n,)
                self.register_buffer(f"pixels{segment}", pixels, persistent=False)

    def forward(self, maps: Tensor, labels: Tensor) -> Tensor:
        """(N, K, L, S) of K maps a picture, (N, K, H, W), and labels (N, H, W) in [0, L)."""
        values = maps.flatten(2)  # (N, K, P)
        if not self.static:
            return torch.stack(self._varying(values, labels.flatten(1)), 3)
        return torch.stack([self._gathered(values, segment) for segment in range(self.count)], 2)

    def _gathered(self, values: Tensor, segment: int) -> Tensor:
        """(N, K, S) over the pixels of one static segment."""
        pixels = self.get_buffer(f"pixels{segment}")
        count = len(pixels)
        if count == 0:
            return values.new_zeros(*values.shape[:2], len(self.names))
        inside = values[:, :, pixels]  # (N, K, n)
        mean = inside.mean(2, keepdim=True)
        centred = inside - mean
        centred = centred - centred.mean(2, keepdim=True)  # what rounding took from the mean
        variance = centred.square().mean(2, keepdim=True)
        unit = centred * _inverse_deviation(variance, mean)
        square = unit * unit
        found = {"mean": mean.squeeze(2)}
        found |= _shape((square * unit).mean(2), (square * square).mean(2))
        if "maximum" in self.names:
            found["maximum"] = inside.amax(2)
        if "quantile" in self.names:
            below, share = _from_top(count)
            top = inside.topk(min(below + 2, count), dim=2).values  # descending
            nearer, further = top[:, :, below], top[:, :, min(below + 1, count - 1)]
            found["quantile"] = nearer + (further - nearer) * share
        return torch.stack([found[name] for name in self.names], 2)

    def _varying(self, values: Tensor, labels: Tensor) -> list[Tensor]:
        """Each statistic, (N, K, L), for labels (N, P) that differ from picture to picture."""
        segments = torch.arange(self.count, device=labels.device).view(1, -1, 1)
        inside = labels.unsqueeze(1) == segments  # (N, L, P)
        share = inside.to(values)
        pixels = share.sum(2).unsqueeze(1)  # (N, 1, L)
        average = (share / pixels.clamp_min(1).transpose(1, 2)).transpose(1, 2)  # (N, P, L): sums to means
        mean = torch.matmul(values, average)  # (N, K, L)
        centred = values - torch.matmul(mean, share)
        centred = centred - torch.matmul(torch.matmul(centred, average), share)  # see _gathered
        variance = torch.matmul(centred.square(), average)
        unit = centred * torch.matmul(_inverse_deviation(variance, mean), share)
        square = unit * unit
        found = {"mean": mean}
        found |= _shape(torch.matmul(square * unit, average), torch.matmul(square * square, average))
        if {"quantile", "maximum"} & set(self.names):
            found |= self._ranked(values, inside, pixels)
        empty = pixels == 0
        return [torch.where(empty, 0.0, found[name]) for name in self.names]

    def _ranked(self, values: Tensor, inside: Tensor, pixels: Tensor) -> dict[str, Tensor]:
        """Maximum and quantile, each (N, K, L), from the largest values of each segment."""
        low = torch.finfo(values.dtype).min
        masked = torch.where(inside.unsqueeze(1), values.unsqueeze(2), low)  # (N, K, L, P)
        if "quantile" not in self.names:
            return {"maximum": masked.amax(3)}
        whole = values.shape[2]
        top = masked.topk(min(_from_top(whole)[0] + 2, whole), dim=3).values  # (N, K, L, k)
        rank = (pixels - 1).clamp_min(0) * (1 - QUANTILE)  # (N, 1, L) counted from the top
        rank = rank.expand(-1, values.shape[1], -1)
        below = rank.floor()
        nearer = top.gather(3, below.long().unsqueeze(3)).squeeze(3)
        further = top.gather(3, rank.ceil().long().unsqueeze(3)).squeeze(3)
        return {"maximum": top[..., 0], "quantile": nearer + (further - nearer) * (rank - below)}


def _from_top(count: int) -> tuple[int, float]:
    """Where the quantile of so many values lies, counted from the largest: index, and share of the next."""
    rank = (count - 1) * (1 - QUANTILE)
    return math.floor(rank), rank - math.floor(rank)


def _inverse_deviation(variance: Tensor, mean: Tensor) -> Tensor:
    """1 / standard deviation, and 0 where the values are constant."""
    constant = variance <= (_CONSTANT * mean).square()
    return torch.where(constant, 0.0, torch.where(constant, 1.0, variance).rsqrt())


def _shape(third: Tensor, fourth: Tensor) -> dict[str, Tensor]:
    """Skewness and excess kurtosis from the moments of values of unit variance; 0 for constant ones."""
    return {"skewness": third, "kurtosis": torch.where(fourth > 0, fourth - 3, 0.0)}
