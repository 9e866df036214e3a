"""RD4AD's one-class bottleneck embedding and its decoder, sized by the teacher's maps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Scale = Literal["same", "down", "up"]
Block = Literal["basic", "bottleneck"]
Shape = tuple[int, int, int]


def convolution(before: int, after: int, kernel: int, scale: Scale = "same") -> nn.Sequential:
    """Convolution and batch normalisation; `up` doubles both sides by a 2×2 deconvolution, `down` halves."""
    layer: nn.Module
    if scale == "up":
        layer = nn.ConvTranspose2d(before, after, 2, stride=2, bias=False)
    else:
        stride = 2 if scale == "down" else 1
        layer = nn.Conv2d(before, after, kernel, stride=stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(layer, nn.BatchNorm2d(after))


class Residual(nn.Module):
    """A residual block of ResNet: two 3×3 convolutions, or 1×1, 3×3 at half the width, 1×1.

    Args:
        before: channels that come in.
        after: channels that go out.
        block: which of the two.
        scale: `down` and `up` change the resolution in the first 3×3 convolution and in the shortcut.
        rectified: whether the sum passes a ReLU.
    """

    def __init__(
        self, before: int, after: int, block: Block, scale: Scale = "same", *, rectified: bool = True
    ) -> None:
        super().__init__()
        self.rectified = rectified
        if block == "basic":
            steps = [convolution(before, after, 3, scale), convolution(after, after, 3)]
        else:
            inner = after // 2  # as in WideResNet-50-2
            steps = [
                convolution(before, inner, 1),
                convolution(inner, inner, 3, scale),
                convolution(inner, after, 1),
            ]
        self.steps = nn.ModuleList(steps)
        plain = before == after and scale == "same"
        self.shortcut = nn.Identity() if plain else convolution(before, after, 1, scale)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, before, h, w) to (N, after, h', w')."""
        y = x
        for step in self.steps[:-1]:
            y = F.relu(step(y))
        total: Tensor = self.steps[-1](y) + self.shortcut(x)
        return F.relu(total) if self.rectified else total


class Embedding(nn.Module):
    """The one-class bottleneck embedding (section 3.2): multi-scale fusion, then ResNet's fourth stage.

    Finer maps come down to the deepest one's grid by 3×3 convolutions of stride 2, each with batch
    normalisation and ReLU; all are joined, and a 1×1 convolution makes them as wide as the deepest map.

    Args:
        shapes: (C, h, w) of the teacher's maps, finest first, each grid half the one before.
        block: kind of residual block.
        depth: number of residual blocks; the first halves the grid and doubles the width.
    """

    def __init__(self, shapes: Sequence[Shape], block: Block, depth: int) -> None:
        super().__init__()
        widths = [channels for channels, _, _ in shapes]
        self.reductions = nn.ModuleList(
            nn.Sequential(
                *(
                    nn.Sequential(convolution(before, after, 3, "down"), nn.ReLU())
                    for before, after in pairwise(widths[first:])
                )
            )
            for first in range(len(widths))
        )
        self.fusion = nn.Sequential(convolution(len(widths) * widths[-1], widths[-1], 1), nn.ReLU())
        width = 2 * widths[-1]
        self.stage = nn.Sequential(
            Residual(widths[-1], width, block, "down"),
            *(Residual(width, width, block) for _ in range(depth - 1)),
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Map teacher's maps (N, C_k, h_k, w_k), finest first, to the embedding (N, 2 C_K, h, w)."""
        aligned = [reduce(each) for reduce, each in zip(self.reductions, maps, strict=True)]
        embedding: Tensor = self.stage(self.fusion(torch.cat(aligned, 1)))
        return embedding


class Decoder(nn.Module):
    """The student: the teacher's stages in reverse, each beginning with a deconvolution (section 3.1).

    Args:
        shapes: as of `Embedding`.
        block: kind of residual block.
        depths: residual blocks of each stage, deepest first.
        rectified: whether the teacher's maps are outputs of a ReLU; where not, neither are the decoder's.
    """

    def __init__(
        self, shapes: Sequence[Shape], block: Block, depths: Sequence[int], *, rectified: bool
    ) -> None:
        super().__init__()
        self.grids = [(height, width) for _, height, width in reversed(shapes)]
        widths = [2 * shapes[-1][0], *(channels for channels, _, _ in reversed(shapes))]
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(
                    Residual(
                        before if place == 0 else after,
                        after,
                        block,
                        "up" if place == 0 else "same",
                        rectified=rectified or place < depth - 1,
                    )
                    for place in range(depth)
                )
            )
            for (before, after), depth in zip(pairwise(widths), depths, strict=True)
        )

    def forward(self, embedding: Tensor) -> list[Tensor]:
        """Map the embedding to (N, C_k, h_k, w_k), finest first as the teacher's maps."""
        x, found = embedding, []
        for stage, (height, width) in zip(self.stages, self.grids, strict=True):
            x = stage(x)[:, :, :height, :width]  # a grid of odd length was halved upwards
            found.append(x)
        return found[::-1]


class Student(nn.Module):
    """Embedding and decoder: the teacher's maps in, what a good picture would show out."""

    def __init__(self, embedding: Embedding, decoder: Decoder) -> None:
        super().__init__()
        self.embedding, self.decoder = embedding, decoder

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Map (N, C_k, h_k, w_k), finest first, to the same shapes."""
        found: list[Tensor] = self.decoder(self.embedding(maps))
        return found


def cosine_distance(first: Tensor, second: Tensor) -> Tensor:
    """1 − cosine similarity of the vectors at each cell (equation 1): (N, C, ...) twice to (N, ...)."""
    return 1 - F.cosine_similarity(first, second, dim=1)
