"""From raw scores of several detectors to −log p: how rare a score so high is among good pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from flawscope.methods.committee.options import MemberSpec

_TAIL = 0.25  # share of the good pictures above the point from which the fitted tail goes on
_BANDWIDTH = 0.5  # of a logistic kernel whose deviation is Silverman's 0.9 σ n^(-1/5)
_NORMAL_RANGE = 1.349  # interquartile range of a Gaussian of deviation 1
_PRIOR_COUNT, _PRIOR = 4, 0.6  # pictures that the usual mean excess over a quartile counts as; its deviations
_USUAL = math.log(2)  # level that the peaks of half the good pictures' maps reach
_STILL = 1e-6  # share of its mean below which a score's deviation is rounding


class TailLevels(nn.Module):
    """−log p of K raw scores, each by its values on n good pictures: (N, K) to the same.

    p(s) is the share of good pictures that score as high. Up to the upper quartile u it is that of the n
    values, each blurred by a logistic kernel (bandwidth by Silverman's rule, 1986, equation 3.31, from
    deviation or interquartile range, the smaller). Above, excesses over u are taken as exponential: −log p
    grows by 1 for each β, their mean. The few excesses of few pictures are joined by four of the size that
    they have for Gaussian to logistic scores, 0.6 deviations. So a level has no steps, ties only where it
    rounds to nothing, and goes on beyond all good pictures: that part is an extrapolation, by which members
    are compared, and nothing is promised on it.

    Scores that jump where a component is missed have no exponential tail, and n pictures hardly show one such
    miss. Of detectors that are `slowed`, what a level exceeds log n by counts as log(1 + excess): the rarest
    of n pictures are told apart, and no good picture goes far beyond what other detectors say of flaws.

    Args:
        count: K.
        slowed: for each detector whether its levels rise so; none does by default.

    Attributes:
        scores: (K, n) of the good pictures, raw.
        bandwidth: (K,) of the kernels.
        start: (K,) u.
        base: (K,) −log p at u.
        excess: (K,) β.
    """

    scores: Tensor
    bandwidth: Tensor
    start: Tensor
    base: Tensor
    excess: Tensor

    def __init__(self, count: int, slowed: Sequence[bool] = ()) -> None:
        super().__init__()
        self.slowed = tuple(slowed) or (False,) * count
        self.register_buffer("scores", torch.zeros(count, 1))
        for name, value in (("bandwidth", 1.0), ("start", 0.0), ("base", 0.0), ("excess", 1.0)):
            self.register_buffer(name, torch.full((count,), value))

    def learn(self, scores: Tensor) -> None:
        """Take the levels from scores (n, K) of good pictures that the detectors have not learnt from."""
        values = scores.detach().double().cpu().numpy().T  # (K, n)
        device = self.start.device
        fitted = np.array([_fit(row) for row in values])  # (K, 3)
        self.scores = torch.from_numpy(values).float().to(device)
        self.bandwidth, self.start, self.excess = torch.from_numpy(fitted).float().to(device).unbind(1)
        self.base = self._body(self.start.unsqueeze(0))[0]

    def forward(self, raw: Tensor) -> Tensor:
        """Levels (N, K) of raw scores (N, K)."""
        below = self._body(torch.minimum(raw, self.start))
        levels = below + torch.relu(raw - self.start) / self.excess
        if not any(self.slowed):
            return levels
        rarest = math.log(self.scores.shape[1])
        slow = levels.clamp(max=rarest) + torch.log1p(torch.relu(levels - rarest))
        return torch.where(torch.tensor(self.slowed, device=levels.device), slow, levels)

    def linear(self, maps: Tensor) -> Tensor:
        """Maps (N, K, ...) in the unit of levels, by the line of the tail, which goes on below it."""
        shape = (-1, *[1] * (maps.dim() - 2))
        start, base, excess = (part.view(shape) for part in (self.start, self.base, self.excess))
        return (maps - start) / excess + base

    def only(self, kept: Sequence[int]) -> TailLevels:
        """Those of some of the detectors alone."""
        found = TailLevels(len(kept), [self.slowed[number] for number in kept])
        for name, value in self.named_buffers():
            setattr(found, name, value[list(kept)].clone())
        return found

    def known(self) -> Tensor:
        """Levels (n, K) of the good pictures that it was taken from."""
        levels: Tensor = self(self.scores.T)
        return levels

    def _body(self, raw: Tensor) -> Tensor:
        """−log of the blurred share of good pictures that lie above raw (N, K)."""
        above = (raw.unsqueeze(2) - self.scores) / self.bandwidth.unsqueeze(1)  # (N, K, n)
        return -torch.log1p(-torch.sigmoid(above).mean(2))


def _fit(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Bandwidth, start of the tail and mean excess of one detector's scores (n,)."""
    low, start = (float(end) for end in np.quantile(values, (_TAIL, 1 - _TAIL)))
    spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    spread = spread if spread > _STILL * abs(float(values.mean())) else 1.0
    inner = (start - low) / _NORMAL_RANGE
    narrow = min(spread, inner) if inner > 0 else spread
    excesses = values[values > start] - start
    excess = (excesses.sum() + _PRIOR_COUNT * _PRIOR * spread) / (len(excesses) + _PRIOR_COUNT)
    return _BANDWIDTH * narrow * len(values) ** -0.2, start, float(excess)


def joined(levels: Tensor, join: str) -> Tensor:
    """One score (N,) of levels (N, K): the largest, Tippett's smallest p, or the sum, Fisher's."""
    return levels.sum(1) if join == "sum" else levels.amax(1)


def joined_maps(maps: Tensor, slowed: Sequence[bool]) -> Tensor:
    """One map (N, H, W) of levels (N, K, H, W): the largest, where maps of components tell something.

    Below the peaks of half the good pictures a map of patches tells pixels apart; one of components is flat,
    and tells which component they are of. So members that are `slowed` raise the others' largest level f by
    what theirs exceeds the larger of f and that level, which is the largest of all where f is above it.
    """
    if all(slowed) or not any(slowed):
        return maps.amax(1)
    fine, parts = (
        maps[:, [number for number, slow in enumerate(slowed) if slow is kind]].amax(1)
        for kind in (False, True)
    )
    return fine + torch.relu(parts - fine.clamp(min=_USUAL))


def levels_of(specs: Sequence[MemberSpec]) -> tuple[TailLevels, TailLevels]:
    """Levels of the members' scores, and of their maps' peaks, that nothing is known of yet."""
    slowed = [spec.tail == "logarithmic" for spec in specs]
    return TailLevels(len(specs), slowed), TailLevels(len(specs))
