"""Scenes of coloured squares, and a segmenter that tells them apart by their colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flawscope.data.pictures import Pictures
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.segmenters.segmenter import Segmenter, SegmenterOptions

SIDE = 64
COLOURS = {1: (200, 40, 30), 2: (30, 40, 200), 3: (30, 200, 40)}
SMALL: Mapping[str, Any] = {
    "size": (SIDE, SIDE),
    "backbone": "test_resnet",
    "weights": "random",
    "segments": {"kind": "object"},  # in whose place the tests put one that knows the colours
    "coreset": 0.5,
    "counts": {"stride": 2},
    "masks": {"side": 16},
}
GOOD = (1, 1, 2)

Scene = NDArray[np.uint8]


def scene(seed: int, squares: Sequence[int] = GOOD) -> Scene:
    """Squares of these components on grey ground, one in each of the first corners."""
    random = np.random.default_rng(seed)
    picture = np.full((SIDE, SIDE, 3), 120, np.uint8)
    for place, label in enumerate(squares):
        top, left = (6 + 34 * value + random.integers(0, 3) for value in divmod(place, 2))
        if label:
            picture[top : top + 16, left : left + 16] = COLOURS[label]
    return picture + random.integers(0, 5, picture.shape, dtype=np.uint8)


class Coloured(Segmenter):
    """Red, blue and green squares are components 1, 2 and 3; `left_out` ones are ignored."""

    Options = SegmenterOptions
    left_out: ClassVar[tuple[int, ...]] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return ("background", "red", "blue", "green")

    def learn(self, pictures: Pictures, run: Run, watch: Watch, parts: Pictures | None = None) -> None:
        del parts
        self.ignored = self.left_out
        self.shares = self.measure(pictures, run, watch, 4)

    def forward(self, pixels: Tensor, maps: Mapping[str, Tensor] | None = None) -> Tensor:
        del maps
        strongest, colour = pixels.max(1)  # (N, H, W)
        label = torch.tensor([1, 3, 2], device=pixels.device)[colour]
        return torch.where(strongest - pixels.amin(1) > 0.3, label, 0)
