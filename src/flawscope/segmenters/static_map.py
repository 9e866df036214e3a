"""One division for all pictures: a static map, drawn by a person or drafted, or no division at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from flawscope.data.pictures import Pictures
from flawscope.data.segment_maps import (
    MOST_SEGMENTS,
    Labels,
    check_map_fits,
    read_segment_map,
    shares_of,
    to_frame_size,
)
from flawscope.errors import DataError
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.runtime.images import Frame
from flawscope.segmenters.segmenter import Segmenter, SegmenterOptions


class OneSegmentOptions(SegmenterOptions):
    """Options of `OneSegment`."""

    kind: Literal["one"] = "one"


class OneSegment(Segmenter):
    """Every pixel is of segment 0."""

    Options: ClassVar = OneSegmentOptions
    static: ClassVar = True

    @property
    def names(self) -> tuple[str, ...]:
        """See `Segmenter.names`."""
        return ("the whole picture",)

    def learn(self, pictures: Pictures, run: Run, watch: Watch, parts: Pictures | None = None) -> None:
        """See `Segmenter.learn`: nothing to learn."""
        del pictures, run, watch, parts
        self.shares = torch.ones(1)

    def forward(self, pixels: Tensor, maps: Mapping[str, Tensor] | None = None) -> Tensor:
        """See `Segmenter.forward`."""
        del maps
        return torch.zeros_like(pixels[:, 0], dtype=torch.int64)  # (N, H, W)


class LabelMap(Segmenter):
    """Labels (H, W) that are the same for every picture; they come from `learn` or from the state dict."""

    static: ClassVar = True
    labels: Tensor

    def __init__(self, options: SegmenterOptions, frame: Frame) -> None:
        super().__init__(options, frame)
        empty = torch.zeros(frame.height, frame.width, dtype=torch.uint8)
        self.register_buffer("labels", empty)  # (H, W)

    def forward(self, pixels: Tensor, maps: Mapping[str, Tensor] | None = None) -> Tensor:
        """See `Segmenter.forward`."""
        del maps
        return self.labels.long().unsqueeze(0).expand(pixels.shape[0], -1, -1)  # (H, W) -> (N, H, W)


class StaticMapOptions(SegmenterOptions):
    """Options of `StaticMap`."""

    placed: ClassVar = True

    kind: Literal["static"] = "static"
    map: Path = Field(
        description="an indexed PNG file, such as `flawscope segments draft` makes; fit reads it"
    )
    count: int | None = Field(
        None, ge=1, le=MOST_SEGMENTS, description="how many segments the map must have; by default any number"
    )


class StaticMap(LabelMap):
    """The labels of an indexed PNG, the same for every picture.

    `fit` reads the file (see `flawscope.data.segment_maps`); a restored segmenter has its labels from the
    state dict and needs no file.
    """

    Options: ClassVar = StaticMapOptions
    options: StaticMapOptions

    def learn(self, pictures: Pictures, run: Run, watch: Watch, parts: Pictures | None = None) -> None:
        """See `Segmenter.learn`: read the map, check it against the pictures' sizes.

        Raises:
            InputError: no such file, or one that cannot be read.
            DataError: a map that does not fit: its indices, its size, its number of segments.
        """
        del run, watch, parts
        wanted = self.options.count
        labels = fitting_map(self.options.map, pictures, self.frame)
        shares = shares_of(labels)
        if wanted not in (None, len(shares)):
            raise DataError(
                f"segment map {self.options.map}",
                expected=f"{wanted} segments, as the option count says",
                got=f"{len(shares)}",
                fix="Correct the option or the map.",
            )
        self.labels = torch.from_numpy(labels)
        self.shares = torch.from_numpy(shares).float()


def fitting_map(path: Path, pictures: Pictures, frame: Frame) -> Labels:
    """The labels of an indexed PNG at `frame`, (height, width), where it fits all the pictures.

    Raises:
        InputError: no such file, or one that cannot be read.
        DataError: wrong indices, another size, or a segment that has no pixel left at the frame.
    """
    drawn = read_segment_map(path)
    paths = [sample.path for sample in pictures.samples]
    check_map_fits(path, (drawn.shape[0], drawn.shape[1]), paths, frame)
    labels = to_frame_size(drawn, frame)
    shares = shares_of(labels, int(drawn.max()) + 1)
    if not shares.all():
        raise DataError(
            f"segment map {path}",
            expected=f"segments that are seen at {frame.width}x{frame.height}",
            got=f"segment {int(np.flatnonzero(shares == 0)[0])}, which has no pixel left there",
            fix="Draw it larger, or raise the input size.",
        )
    return labels
