"""Hues: whether a spot has a hue that good pictures never show near there, as a stain has, or a tear.

Not in the paper, whose students see what is unlike anything good; ground that shows through a torn bag is
like the ground beside the bag. Banks find that, too, and lose it among what differs from picture to picture:
light, folds and glints. Hues, the ratios of red to green and of green to blue, hardly change with these. Here
the hue of each spot, and nothing else of it, is held against the range that good pictures have around there.
Light near the top of the scale has lost its hue, and what is so bright is not judged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from flawscope.methods.csad.cells import members
from flawscope.methods.csad.fused import ENOUGH, USUAL
from flawscope.nn.moments import Levels
from flawscope.runtime.frozen import Frozen

NAMES = ("red", "yellow", "green", "blue")  # more of it: red to green and green to blue, up and then down
_SIDE = 160  # largest shorter side at which hues are kept
_DARKEST = 0.02  # of white, added to all light: what is nearly black has no hue
_BRIGHT = (0.9, 0.97)  # of white, from where to where the brightest of red, green and blue has lost its hue
_SEEN = (0.7, 0.95)  # share of a spot with hues, from where to where it can be judged
_UNJUDGED = 20.0  # deviations below all good ones, where what cannot be judged lies
_NEVER = 1e4  # limit where good pictures have shown no hues
_OFTEN = 0.2  # share of the good pictures that must have shown some
_STILL = 0.01  # deviation of a hue below which places are alike: 1 % of a ratio
_SPARSE = 4  # every fourth spot across and down has a say in what the picture's hue is
_MIDDLE = (0.3, 0.4, 0.5, 0.6, 0.7)  # quantiles whose mean it is
_RANGE = 0.1  # least width of good pictures' range, by which excesses are compared
_BELOW = 1.0  # deviations below the mean peak of good pictures from which on the map counts
_AT_ONCE = 64
_TINY = 1e-6


class HuesOptions(Frozen):
    """Options of `Hues`."""

    spot: float = Field(
        0.03,
        gt=0,
        lt=0.5,
        description="side of the spots whose mean hue counts, in shares of the picture's shorter side",
    )
    reach: float = Field(
        0.06,
        ge=0,
        lt=0.5,
        description="how far from its place a hue is usual, too, in shares of the shorter side",
    )
    least: float = Field(
        0.3,
        ge=0,
        description="standard deviation that is added to that of each hue's peaks in good pictures before "
        "hues are brought to one scale",
    )


@dataclass(frozen=True, slots=True)
class JudgedHues:
    """What `Hues` says of N pictures.

    Attributes:
        maps: (N, H, W) how far the spot lies beyond good ones, in deviations of the peaks of good pictures;
            it begins one below their mean, and is 0 where nothing comes near.
        told: (N, 4) `NAMES`: the most that a spot exceeds good ones by, in deviations of these there.
        low: (N, 4) from where, and
        high: (N, 4) to where that lies in good pictures.
        tinted: (N, h, w) uint8, which hue exceeds that at a spot, from 1 on, 0 for none.
    """

    maps: Tensor
    told: Tensor
    low: Tensor
    high: Tensor
    tinted: Tensor


class Hues(nn.Module):
    """The most that a spot's hue exceeds those of good pictures around its place; `learn` fills buffers only.

    Args:
        size: height and width H, W of the pictures.
        options: see there.

    Attributes:
        limit: (4, h, w) the most that good pictures have of each hue within reach.
        gain: (4, h, w) one over its deviation from picture to picture around there.
        usual: (2, 4) from where to where the peaks of 90 % of the good pictures lie.
        count: (1, h, w) number of good pictures that show hues at a spot, as which
        mean, squares: (2, h, w) their mean, and summed squared distances from that, are to be taken.
        highest: (4, h, w) the most of each hue at each spot.
        apart: (n, 4) peaks of training pictures, each held against the others. From these five `teach` goes
            on; they are in no graph.
    """

    limit: Tensor
    gain: Tensor
    usual: Tensor
    count: Tensor
    mean: Tensor
    squares: Tensor
    highest: Tensor
    apart: Tensor
    down: Tensor
    across: Tensor

    def __init__(self, size: tuple[int, int], options: HuesOptions) -> None:
        super().__init__()
        self.options, self.size = options, size
        smaller = min(1.0, _SIDE / min(size))
        self.grid = height, width = round(size[0] * smaller), round(size[1] * smaller)
        self.spot = _odd(options.spot * min(self.grid))
        self.window = _odd(2 * options.reach * min(self.grid))
        self.levels = Levels(len(NAMES), "moments", least=options.least)
        for name in ("limit", "gain", "highest"):
            self.register_buffer(name, torch.zeros(len(NAMES), height, width))
        for name in ("mean", "squares"):
            self.register_buffer(name, torch.zeros(2, height, width))
        self.register_buffer("usual", torch.zeros(2, len(NAMES)))
        self.register_buffer("count", torch.zeros(1, height, width))
        self.register_buffer("apart", torch.zeros(0, len(NAMES)))
        for name, length, cells in zip(("down", "across"), size, self.grid, strict=True):
            inside = members(length, cells)
            self.register_buffer(name, inside / inside.sum(1, keepdim=True), persistent=False)

    def of(self, pixels: Tensor) -> Tensor:
        """What the spots of pictures (N, 3, H, W) are like, (N, 3, h, w).

        That is log red/green and log green/blue, less the picture's own, which the colour of the light moves,
        and the share that is not too bright to have hues; the hues are means over that share.
        """
        light = torch.matmul(torch.matmul(self.down, pixels), self.across.T)  # (N, 3, h, w)
        low, high = _BRIGHT
        kept = ((high - light.amax(1, keepdim=True)) / (high - low)).clamp(0, 1)  # (N, 1, h, w)
        red, green, blue = torch.log(light + _DARKEST).unbind(1)
        hues = torch.stack([red - green, green - blue], 1)
        spots = torch.cat([(hues - _middle(hues, kept)) * kept, kept], 1)
        means = F.avg_pool2d(spots, self.spot, 1, self.spot // 2, count_include_pad=False)
        return torch.cat([means[:, :2] / means[:, 2:].clamp_min(_TINY), means[:, 2:]], 1)

    @torch.no_grad()
    def learn(self, good: Tensor, held_out: Tensor) -> None:
        """Learn what hues lie where.

        Args:
            good: (n, 3, h, w) of training pictures, as `of` gives them.
            held_out: (m, 3, h, w) of good pictures that nothing has learnt from, for the scale. Where there
                are fewer than 20 of them, the others count, too, each held against all others.
        """
        for buffer in (self.count, self.mean, self.squares):
            buffer.zero_()
        self.highest.fill_(-torch.inf)
        self._take(good)
        self.apart = torch.cat([self.apart[:0], *(self._left_out(good) if len(held_out) < ENOUGH else [])])
        self._scale(held_out)

    @torch.no_grad()
    def teach(self, good: Tensor, held_out: Tensor | None = None) -> None:
        """Take in further good pictures (k, 3, h, w): limits rise to theirs.

        For `held_out` see `learn`; the others that count, too, are those that it was given, as they were held
        against fewer then. None: the scale stays.
        """
        self._take(good)
        if held_out is not None:
            self._scale(held_out)

    def forward(self, pixels: Tensor) -> JudgedHues:
        """Judge pictures (N, 3, H, W) in [0, 1]; exports to ONNX."""
        beyond = self._beyond(self.of(pixels), self.limit)  # (N, 4, h, w)
        told = beyond.amax((2, 3))
        low, high = self.usual
        over = (beyond - high.view(-1, 1, 1)) / (high - low).clamp_min(_RANGE).view(-1, 1, 1)
        tinted = torch.where(over.amax(1) > 0, over.argmax(1) + 1, 0).to(torch.uint8)
        level = (self.levels(beyond).amax(1, keepdim=True) + _BELOW).clamp_min(0)  # (N, 1, h, w)
        maps = F.interpolate(level, self.size, mode="bilinear", align_corners=False).squeeze(1)
        return JudgedHues(maps, told, low.expand_as(told), high.expand_as(told), tinted)

    def _take(self, good: Tensor) -> None:
        """Join further pictures (n, 3, h, w) to what is known, and set the limits anew."""
        for some in torch.split(good, _AT_ONCE):
            spots = some.to(self.mean)
            hues, seen = spots[:, :2], (spots[:, 2:] >= _SEEN[0]).to(self.mean)
            number = seen.sum(0)  # (1, h, w)
            mean = (hues * seen).sum(0) / number.clamp_min(1)
            away, total = (mean - self.mean) * (number > 0), (self.count + number).clamp_min(1)
            self.squares += ((hues - mean).square() * seen).sum(0)
            self.squares += away.square() * (self.count * number / total)
            self.mean += away * (number / total)
            self.count += number
            self.highest.copy_(torch.maximum(self.highest, self._most(spots).amax(0)))
        several = (self.count > 1).to(self.mean)
        deviation = (self.squares / self.count.clamp_min(1)).sqrt() * several  # (2, h, w)
        around = self._around(F.avg_pool2d, deviation) / self._around(F.avg_pool2d, several).clamp_min(_TINY)
        self.gain.copy_(1 / around.repeat(2, 1, 1).clamp_min(_STILL))
        self.limit.copy_(self._near(self.highest))

    def _scale(self, held_out: Tensor) -> None:
        """Bring hues to one scale by the peaks of held-out pictures (m, 3, h, w), and of others held apart.

        A picture without anything that can be judged has no say.
        """
        peaks = torch.cat([*self._peaks(held_out), self.apart[: len(self.apart) * (len(held_out) < ENOUGH)]])
        signals = [signal[signal > -_UNJUDGED / 2] for signal in peaks.unbind(1)]
        signals = [signal if len(signal) else peaks.new_zeros(2) for signal in signals]
        self.levels.learn(signals)
        ends = torch.tensor(USUAL).to(peaks)
        self.usual.copy_(torch.stack([signal.quantile(ends) for signal in signals], 1))

    def _peaks(self, spots: Tensor) -> list[Tensor]:
        """Peaks (1, 4) of each of n pictures (n, 3, h, w)."""
        return [self._beyond(one.to(self.limit), self.limit).amax((2, 3)) for one in torch.split(spots, 1)]

    def _left_out(self, good: Tensor) -> list[Tensor]:
        """Peaks (1, 4) of each of n pictures (n, 3, h, w), held against the others."""
        second = torch.full_like(self.highest, -torch.inf)
        highest, singly = second.clone(), torch.split(good, 1)
        for one in singly:
            (most,) = self._most(one.to(highest))  # (4, h, w)
            second = torch.maximum(second, torch.minimum(highest, most))
            highest = torch.maximum(highest, most)
        found = []
        for one in singly:
            spots = one.to(highest)
            others = torch.where(self._most(spots)[0] == highest, second, highest)
            found.append(self._beyond(spots, self._near(others)).amax((2, 3)))
        return found

    def _most(self, spots: Tensor) -> Tensor:
        """Sides (N, 4, h, w) of spots (N, 3, h, w), minus infinity where these have too few hues."""
        return torch.where(spots[:, 2:] >= _SEEN[0], self._sides(spots), -torch.inf)

    def _sides(self, spots: Tensor) -> Tensor:
        """More of each of `NAMES` (N, 4, h, w) in spots (N, 3, h, w), or in their hues alone."""
        return torch.cat([spots[:, :2], -spots[:, :2]], 1)

    def _beyond(self, spots: Tensor, limit: Tensor) -> Tensor:
        """By how many deviations spots (N, 3, h, w) exceed limits (4, h, w)."""
        few, enough = _SEEN
        beyond = ((self._sides(spots) - limit) * self.gain).clamp_min(-_UNJUDGED)
        lost = ((enough - spots[:, 2:]) / (enough - few)).clamp(0, 1)
        return beyond - (beyond + _UNJUDGED) * lost

    def _near(self, most: Tensor) -> Tensor:
        """The most of each (4, h, w) within reach; `_NEVER` where too few pictures have shown hues."""
        fewest = -F.max_pool2d(-self.count, self.spot, 1, self.spot // 2)  # (1, h, w) of spots that touch it
        often = fewest > _OFTEN * self.count.amax()
        near = self._around(F.max_pool2d, most)
        return torch.where(often & near.isfinite(), near, _NEVER)

    def _around(self, pool: Callable[[Tensor, int, int], Tensor], maps: Tensor) -> Tensor:
        """Maps (C, h, w) pooled over windows, of which those at the border lie inside the picture, too."""
        edge = self.window // 2
        return F.pad(pool(maps[None], self.window, 1), (edge,) * 4, mode="replicate")[0]


def _middle(hues: Tensor, kept: Tensor) -> Tensor:
    """The mean of five quantiles of hues (N, 2, h, w) where they are kept (N, 1, h, w), (N, 2, 1, 1).

    A large stain moves it less than their mean, and a part that covers about a half less than their median.
    """
    there = kept[..., ::_SPARSE, ::_SPARSE].flatten(2) > 0.5  # (N, 1, P)
    some = torch.where(there, hues[..., ::_SPARSE, ::_SPARSE].flatten(2), torch.inf)
    last = (there.sum(-1, keepdim=True) - 1).clamp_min(0)  # (N, 1, 1)
    places = (last * torch.tensor(_MIDDLE, device=hues.device)).long()  # (N, 1, 5)
    values = some.sort(-1).values.gather(2, places.expand(-1, 2, -1))  # (N, 2, 5)
    middle = values.mean(-1, keepdim=True).unsqueeze(-1)
    return torch.where(there.any(-1)[..., None, None], middle, 0.0)


def _odd(cells: float) -> int:
    """The odd number nearest to so many cells: a spot or a window has a middle.

    >>> [_odd(cells) for cells in (0.3, 3.2, 14.4)]
    [1, 3, 15]
    """
    return 2 * round((cells - 1) / 2) + 1 if cells > 1 else 1
