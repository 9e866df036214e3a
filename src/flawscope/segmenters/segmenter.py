"""What every segmenter keeps: pixels in, one label for each pixel out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from flawscope.data.pictures import Pictures
from flawscope.errors import DataError
from flawscope.nn.run import Run
from flawscope.runtime.images import Frame

SPREAD = 64  # pictures, spread over all, that segmenters learn from and measure on
_BATCH = 8


class Segmenter(nn.Module, ABC):
    """Divides pictures into `count` mutually exclusive segments, 0 to count - 1, that cover every pixel.

    All that `fit` learns lies in buffers, so a segmenter of the same options and frame takes it over from a
    state dict; a detector that holds one as `segmenter` names `segmenter.` + each of `fitted` in its own
    `fitted`.

    Attributes:
        static: whether all pictures have one map.
        fitted: names of the buffers whose shape depends on the data.
        shares: (L,) share of the pixels that each segment takes in good pictures; 0 for one that none shows.
        remarks: what `fit` has to say to the user.
    """

    static: ClassVar[bool] = False
    fitted: ClassVar[tuple[str, ...]] = ("shares",)
    shares: Tensor
    remarks: list[str]

    def __init__(self, frame: Frame, count: int = 1) -> None:
        super().__init__()
        self.frame, self.remarks = frame, []
        self.register_buffer("shares", torch.zeros(count))

    @property
    def count(self) -> int:
        """Number of segments L; known once fitted or restored."""
        return len(self.shares)

    @property
    def absent(self) -> tuple[int, ...]:
        """Segments that no good picture shows."""
        return tuple(index for index, share in enumerate(self.shares.tolist()) if share == 0)

    def fit(self, pictures: Pictures, run: Run) -> Self:
        """Learn the segments from good pictures at `frame`; seeded and repeatable.

        Raises:
            DataError: no pictures, or what the segmenter itself refuses.
            Stopped: `run.stop` was set; the work is short and starts afresh.
        """
        if not len(pictures):
            raise DataError(
                "pictures to learn segments from",
                expected="at least one good picture",
                got="none",
                fix="Add good pictures to the folder.",
            )
        self.remarks.clear()
        self.learn(pictures, run)
        return self.to(run.torch_device()).eval()

    @abstractmethod
    def learn(self, pictures: Pictures, run: Run) -> None:
        """The part of `fit` that differs: fill the buffers, `shares` among them."""

    @abstractmethod
    def forward(self, pixels: Tensor) -> Tensor:
        """Map `pixels` (N, 3, H, W) in [0, 1] at `frame` to labels (N, H, W) int64; exports to ONNX."""

    @torch.inference_mode()
    def measure(self, pictures: Pictures, run: Run, count: int) -> Tensor:
        """Share of the pixels that each of `count` labels takes in up to 64 of the pictures: (count,)."""
        device = run.torch_device()
        self.to(device).eval()
        total = torch.zeros(count, dtype=torch.int64)
        chosen = spread(pictures)
        with run.progress.stage("measuring segments", len(chosen)) as stage:
            for pixels in chosen.batches(_BATCH):
                run.check_stop()
                labels = self(torch.from_numpy(pixels).to(device))
                total += torch.bincount(labels.flatten().cpu(), minlength=count)
                stage.advance(len(pixels))
        return (total / total.sum()).float()


def spread(pictures: Pictures, most: int = SPREAD) -> Pictures:
    """Up to `most` of the pictures, evenly spread over them."""
    kept = np.linspace(0, len(pictures) - 1, min(most, len(pictures))).round().astype(int)
    return pictures.subset([int(index) for index in kept])
