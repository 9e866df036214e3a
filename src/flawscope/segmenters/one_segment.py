"""One segment: the whole picture."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from flawscope.data.pictures import Pictures
from flawscope.nn.run import Run
from flawscope.segmenters.segmenter import Segmenter


class OneSegment(Segmenter):
    """Every pixel is of segment 0."""

    static: ClassVar = True

    def learn(self, pictures: Pictures, run: Run) -> None:
        """See `Segmenter.learn`: nothing to learn."""
        del pictures, run
        self.shares = torch.ones(1)

    def forward(self, pixels: Tensor) -> Tensor:
        """See `Segmenter.forward`."""
        return torch.zeros_like(pixels[:, 0], dtype=torch.int64)  # (N, H, W)
