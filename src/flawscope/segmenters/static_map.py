"""A static map: one division for all pictures of a fixed camera, drawn by a person or drafted."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from flawscope.data.pictures import Pictures
from flawscope.data.segment_maps import check_map_fits, read_segment_map, shares_of, to_frame_size
from flawscope.errors import DataError
from flawscope.nn.run import Run
from flawscope.runtime.images import Frame
from flawscope.segmenters.segmenter import Segmenter


class StaticMap(Segmenter):
    """The labels of an indexed PNG, the same for every picture.

    `fit` reads the file; a restored segmenter has its labels from the state dict and needs no file.

    Args:
        frame: at which pictures come.
        path: the map; see `flawscope.data.segment_maps`.
        count: how many segments it must have; any number where None.
    """

    static: ClassVar = True
    labels: Tensor

    def __init__(self, frame: Frame, path: Path, count: int | None = None) -> None:
        super().__init__(frame)
        self.path, self.expected = path, count
        empty = torch.zeros(frame.height, frame.width, dtype=torch.uint8)
        self.register_buffer("labels", empty)  # (H, W)

    def learn(self, pictures: Pictures, run: Run) -> None:
        """See `Segmenter.learn`: read the map, check it against the pictures' sizes.

        Raises:
            InputError: no such file, or one that cannot be read.
            DataError: a map that does not fit: its indices, its size, its number of segments.
        """
        del run
        drawn = read_segment_map(self.path)
        paths = [sample.path for sample in pictures.samples]
        check_map_fits(self.path, (drawn.shape[0], drawn.shape[1]), paths, self.frame)
        count = int(drawn.max()) + 1
        if self.expected not in (None, count):
            raise DataError(
                f"segment map {self.path}",
                expected=f"{self.expected} segments, as the option count says",
                got=f"{count}",
                fix="Correct the option or the map.",
            )
        labels = to_frame_size(drawn, self.frame)
        shares = shares_of(labels, count)
        if not shares.all():
            raise DataError(
                f"segment map {self.path}",
                expected=f"segments that are seen at {self.frame.width}x{self.frame.height}",
                got=f"segment {int(np.flatnonzero(shares == 0)[0])}, which has no pixel left there",
                fix="Draw it larger, or raise the input size.",
            )
        self.labels = torch.from_numpy(labels)
        self.shares = torch.from_numpy(shares).float()

    def forward(self, pixels: Tensor) -> Tensor:
        """See `Segmenter.forward`."""
        return self.labels.long().unsqueeze(0).expand(pixels.shape[0], -1, -1)  # (H, W) -> (N, H, W)
