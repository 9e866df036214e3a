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
_BELOW = 1.0  # deviations below the mean peak of good pictures from which on the map counts
_AT_ONCE = 64
_SPARSE = 4  # every fourth spot across and down has a say in the median
_RANGE = 0.1  # least width of good pictures' range, by which excesses are compared
_BRIGHT = (0.9, 0.97)  # of white, from where to where the brightest of red, green and blue has lost its hue
_UNJUDGED = 20.0  # deviations that are taken off a spot of which at most a fifth has one,
_SEEN = (0.2, 0.6)  # none where three fifths have
_FEW = 1e-3  # share of a spot below which its hue is nought
_STILL = 0.01  # deviation of a hue below which places are alike: 1 % of a ratio


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
        description="standard deviation that is added to that of good pictures' peaks where hues are brought "
        "to one scale, and where this branch is brought to that of the others",
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
        count, mean, squares: number of pictures, their mean (2, h, w), summed squared distances from that.
        highest: (4, h, w) the most of each hue at each spot. `teach` goes on from these four, in no graph.
    """

    limit: Tensor
    gain: Tensor
    usual: Tensor
    count: Tensor
    mean: Tensor
    squares: Tensor
    highest: Tensor
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
        self.register_buffer("count", torch.zeros(()))
        for name, length, cells in zip(("down", "across"), size, self.grid, strict=True):
            inside = members(length, cells)
            self.register_buffer(name, inside / inside.sum(1, keepdim=True), persistent=False)

    def of(self, pixels: Tensor) -> Tensor:
        """What the spots of pictures (N, 3, H, W) are like, (N, 3, h, w).

        That is log red/green and log green/blue, less the picture's median, which the colour of the light
        moves, and the share that is not too bright to have hues; these are the means over that share.
        """
        light = torch.matmul(torch.matmul(self.down, pixels), self.across.T)  # (N, 3, h, w)
        red, green, blue = torch.log(light + _DARKEST).unbind(1)
        hues = torch.stack([red - green, green - blue], 1)
        some = hues[..., ::_SPARSE, ::_SPARSE].flatten(2)  # (N, 2, P)
        usual = some.sort(-1).values[..., some.shape[-1] // 2]
        low, high = _BRIGHT
        kept = ((high - light.amax(1, keepdim=True)) / (high - low)).clamp(0, 1)  # (N, 1, h, w)
        spots = torch.cat([(hues - usual[..., None, None]) * kept, kept], 1)
        means = F.avg_pool2d(spots, self.spot, 1, self.spot // 2, count_include_pad=False)
        return torch.cat([means[:, :2] / means[:, 2:].clamp_min(_FEW), means[:, 2:]], 1)

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
        self._scale(held_out, self._left_out(good) if len(held_out) < ENOUGH else [])

    @torch.no_grad()
    def teach(self, good: Tensor, held_out: Tensor | None = None) -> None:
        """Take in further good pictures (k, 3, h, w): limits rise to theirs.

        For `held_out` see `learn`; the others that count, too, are the further ones, held against those of
        before. None: the scale stays.
        """
        further = self._peaks(good)
        self._take(good)
        if held_out is not None:
            self._scale(held_out, further if len(held_out) < ENOUGH else [])

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
            hues = some[:, :2].to(self.mean)
            variance, mean = torch.var_mean(hues, 0, correction=0)
            away, total = mean - self.mean, self.count + len(hues)
            self.squares += len(hues) * variance + away.square() * (self.count * len(hues) / total)
            self.mean += away * (len(hues) / total)
            self.count.copy_(total)
            self.highest.copy_(torch.maximum(self.highest, self._sides(hues).amax(0)))
        deviation = (self.squares / self.count).sqrt().repeat(2, 1, 1)  # (4, h, w)
        self.gain.copy_(1 / self._around(F.avg_pool2d, deviation).clamp_min(_STILL))
        self.limit.copy_(self._near(self.highest))

    def _scale(self, held_out: Tensor, further: list[Tensor]) -> None:
        """Bring hues to one scale by the peaks of held-out pictures (m, 3, h, w), and further peaks."""
        signals = torch.cat([*self._peaks(held_out), *further])  # (m, 4)
        self.levels.learn(signals.unbind(1))
        self.usual.copy_(signals.quantile(torch.tensor(USUAL).to(signals), 0))

    def _peaks(self, spots: Tensor) -> list[Tensor]:
        """Peaks (1, 4) of each of n pictures (n, 3, h, w)."""
        return [self._beyond(one.to(self.limit), self.limit).amax((2, 3)) for one in torch.split(spots, 1)]

    def _left_out(self, good: Tensor) -> list[Tensor]:
        """Peaks (1, 4) of each of n pictures (n, 3, h, w), held against the others."""
        second = torch.full_like(self.highest, -torch.inf)
        highest, singly = second.clone(), torch.split(good, 1)
        for one in singly:
            (sides,) = self._sides(one.to(highest))  # (4, h, w)
            second = torch.maximum(second, torch.minimum(highest, sides))
            highest = torch.maximum(highest, sides)
        found = []
        for one in singly:
            spots = one.to(highest)
            others = torch.where(self._sides(spots)[0] == highest, second, highest)
            found.append(self._beyond(spots, self._near(others)).amax((2, 3)))
        return found

    def _sides(self, spots: Tensor) -> Tensor:
        """More of each of `NAMES` (N, 4, h, w) in spots (N, 3, h, w), or in their hues alone."""
        return torch.cat([spots[:, :2], -spots[:, :2]], 1)

    def _beyond(self, spots: Tensor, limit: Tensor) -> Tensor:
        """By how many deviations spots (N, 3, h, w) exceed limits (4, h, w)."""
        few, enough = _SEEN
        lost = ((enough - spots[:, 2:]) / (enough - few)).clamp(0, 1)
        return (self._sides(spots) - limit) * self.gain - _UNJUDGED * lost

    def _near(self, sides: Tensor) -> Tensor:
        """The most of each (4, h, w) within reach."""
        return self._around(F.max_pool2d, sides)

    def _around(self, pool: Callable[[Tensor, int, int], Tensor], maps: Tensor) -> Tensor:
        """Maps (4, h, w) pooled over windows, of which those at the border lie inside the picture, too."""
        edge = self.window // 2
        return F.pad(pool(maps[None], self.window, 1), (edge,) * 4, mode="replicate")[0]


def _odd(cells: float) -> int:
    """The odd number nearest to so many cells: a spot or a window has a middle.

    >>> [_odd(cells) for cells in (0.3, 3.2, 14.4)]
    [1, 3, 15]
    """
    return 2 * round((cells - 1) / 2) + 1 if cells > 1 else 1
