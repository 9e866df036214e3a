"""The decoder of DeepLabV3+ on a frozen backbone's maps: logits of each class for each pixel.

Chen, Zhu, Papandreou, Schroff, Adam: Encoder-Decoder with Atrous Separable Convolution for Semantic Image
Segmentation. ECCV 2018. CSAD (section 3.2) puts it on the first and third layer of a pretrained network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Shape = tuple[int, int, int]  # C, h, w


class Decoder(nn.Module):
    """Pyramid pooling on the deepest map, then finer maps joined on the way up to the pixels.

    Args:
        shapes: of the backbone's maps, the finest first; the last is pooled, the others are the skips.
        size: height and width of the pictures.
        classes: how many, the background among them.
        width: channels of the pyramid's branches and of the joined maps.
        skip: channels to which each finer map is reduced before it is joined.
        rates: dilations of the pyramid's 3×3 convolutions, in cells of the deepest map.
        separable: 3×3 convolutions by channel and then across channels, as DeepLabV3+ has them.
    """

    def __init__(
        self,
        shapes: Sequence[Shape],
        size: tuple[int, int],
        classes: int,
        *,
        width: int,
        skip: int,
        rates: Sequence[int],
        separable: bool,
    ) -> None:
        super().__init__()
        *finer, (channels, height, width_of_deepest) = shapes
        self.size = size
        self.pyramid = Pyramid(channels, (height, width_of_deepest), width, rates, separable=separable)
        self.joints = nn.ModuleList(
            Joint(width, shape, width, skip, separable=separable) for shape in reversed(finer)
        )
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Map the backbone's maps (N, C, h, w), the finest first, to logits (N, classes, H, W)."""
        *finer, deepest = maps
        joined = self.pyramid(deepest)  # (N, width, h, w)
        for joint, found in zip(self.joints, reversed(finer), strict=True):
            joined = joint(joined, found)
        return F.interpolate(self.head(joined), self.size, mode="bilinear", align_corners=False)


class Pyramid(nn.Module):
    """Atrous spatial pyramid pooling (ASPP): convolutions of several dilations and the whole map's mean."""

    def __init__(
        self, channels: int, grid: tuple[int, int], width: int, rates: Sequence[int], *, separable: bool
    ) -> None:
        super().__init__()
        self.grid = grid
        self.branches = nn.ModuleList(
            [
                _convolved(channels, width, 1),
                *(_convolved(channels, width, 3, rate, separable=separable) for rate in rates),
            ]
        )
        # no batch norm as in DeepLabV3+: a batch of few pictures has too few means for its statistics
        self.whole = nn.Sequential(nn.Conv2d(channels, width, 1), nn.ReLU(inplace=True))
        self.joined = _convolved(width * (len(rates) + 2), width, 1)

    def forward(self, deepest: Tensor) -> Tensor:
        """Map (N, C, h, w) to (N, width, h, w)."""
        mean = self.whole(deepest.mean((2, 3), keepdim=True)).expand(-1, -1, *self.grid)
        found = [branch(deepest) for branch in self.branches]
        return cast("Tensor", self.joined(torch.cat([*found, mean], 1)))


class Joint(nn.Module):
    """A coarser map, enlarged, beside a finer one of the backbone; then two 3×3 convolutions."""

    def __init__(self, coarser: int, finer: Shape, width: int, skip: int, *, separable: bool) -> None:
        super().__init__()
        channels, *grid = finer
        self.grid = (grid[0], grid[1])
        self.reduced = _convolved(channels, skip, 1)
        self.joined = nn.Sequential(
            _convolved(coarser + skip, width, 3, separable=separable),
            _convolved(width, width, 3, separable=separable),
        )

    def forward(self, coarser: Tensor, finer: Tensor) -> Tensor:
        """Map (N, coarser, h', w') and (N, C, h, w) to (N, width, h, w)."""
        enlarged = F.interpolate(coarser, self.grid, mode="bilinear", align_corners=False)
        return cast("Tensor", self.joined(torch.cat([enlarged, self.reduced(finer)], 1)))


def _convolved(
    channels: int, width: int, side: int, rate: int = 1, *, separable: bool = False
) -> nn.Sequential:
    """A convolution that keeps the grid, batch norm, ReLU; a separable one has both twice."""
    reach = rate * (side // 2)
    if not separable:
        return _normed(nn.Conv2d(channels, width, side, padding=reach, dilation=rate, bias=False))
    own = nn.Conv2d(channels, channels, side, padding=reach, dilation=rate, groups=channels, bias=False)
    return nn.Sequential(*_normed(own), *_normed(nn.Conv2d(channels, width, 1, bias=False)))


def _normed(convolution: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU(inplace=True))
