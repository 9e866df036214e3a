"""A label map of its own for each picture, from a folder: for data sets whose maps somebody has made already.

Masks do as well, such as SAM's of an object: what any of them covers is segment 1, all else 0.

SegAD's authors publish such maps for VisA, made with SAM. A picture that is new has none, so a model folder
cannot hold this segmenter: it serves fitting and scoring in Python.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal, NoReturn

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from flawscope.data.picture_maps import PictureMaps
from flawscope.data.pictures import Pictures
from flawscope.data.samples import Sample
from flawscope.data.segment_maps import MOST_SEGMENTS, Labels, to_frame_size
from flawscope.errors import OptionError
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.runtime.images import Frame
from flawscope.segmenters.segmenter import Segmenter, SegmenterOptions


class FolderMapsOptions(SegmenterOptions):
    """Options of `FolderMaps`."""

    placed: ClassVar = True

    kind: Literal["folder"] = "folder"
    maps: Path = Field(
        description="folder with a label map for each picture, an indexed PNG or a .npy file, or a folder of "
        "the picture's name with PNG masks, whose union is segment 1"
    )
    pictures: Path | None = Field(
        None,
        description="folder of pictures that `maps` mirrors: a map has its picture's path below it, but for "
        "the suffix; by default maps lie in good/ and bad/ by their pictures' names, as SegAD's authors' do",
    )
    count: int | None = Field(
        None,
        ge=1,
        le=MOST_SEGMENTS,
        description="how many segments there are; by default what the pictures that fit sees show",
    )


class FolderMaps(Segmenter):
    """The labels that a file gives for each picture; `labelled` reads them, `forward` has none to give."""

    Options: ClassVar = FolderMapsOptions
    options: FolderMapsOptions

    def __init__(self, options: FolderMapsOptions, frame: Frame) -> None:
        super().__init__(options, frame)
        self.files = PictureMaps(options.maps, options.pictures, options.count or MOST_SEGMENTS)

    def learn(self, pictures: Pictures, run: Run, watch: Watch, parts: Pictures | None = None) -> None:
        """See `Segmenter.learn`: read the maps of all these pictures, for the segments' number and shares.

        Raises:
            InputError: a map that is missing or cannot be read.
            DataError: a map that does not fit: its indices, its size, two pictures that share it.
        """
        del parts
        pixels = torch.zeros(MOST_SEGMENTS, dtype=torch.int64)
        self.files.count = self.options.count or MOST_SEGMENTS
        with watch.stage("reading segment maps", len(pictures)) as stage:
            for sample in pictures.samples:
                watch.check_stop(run)
                labels = self._labels(sample).ravel()
                pixels += torch.from_numpy(np.bincount(labels, minlength=MOST_SEGMENTS))
                stage.advance()
        self.files.count = self.options.count or int(pixels.nonzero().max()) + 1
        self.shares = (pixels[: self.files.count] / pixels.sum()).float()

    def labelled(self, pixels: Tensor, samples: Sequence[Sample]) -> Tensor:
        """See `Segmenter.labelled`; raises as `learn`."""
        labels = np.stack([self._labels(sample) for sample in samples])
        return torch.from_numpy(labels).long().to(pixels.device)  # (N, H, W)

    def check_exportable(self) -> None:
        """Refuse: see this module's docstring."""
        self._refuse()

    def forward(self, pixels: Tensor, maps: Mapping[str, Tensor] | None = None) -> Tensor:
        """Refuse: pixels alone do not tell which file holds their labels."""
        del pixels, maps
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise OptionError(
            "segments of kind folder",
            expected="one of the other kinds, for a model that inspects new pictures",
            got="maps in a folder, which no new picture has",
            fix="Choose another kind, or fit and score in Python, as docs/segments.md shows.",
        )

    def _labels(self, sample: Sample) -> Labels:
        """The picture's labels (H, W) at the frame; of masks, 1 where any of them is."""
        if self.files.place(sample).is_dir():
            return np.asarray(self.files.masks(sample, self.frame).any(0), np.uint8)
        return to_frame_size(self.files.read(sample, self.frame), self.frame)
