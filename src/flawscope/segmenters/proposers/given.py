"""Components that a folder gives for each picture: a label map that somebody has drawn, or masks."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from flawscope.data.label_folder import NAMES, LabelFolder, read_names
from flawscope.data.picture_maps import PictureMaps
from flawscope.data.pictures import Pictures
from flawscope.data.samples import Sample
from flawscope.data.segment_maps import MOST_SEGMENTS, to_frame_size
from flawscope.errors import OptionError
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.runtime.images import Frame
from flawscope.segmenters.proposers.proposal import Proposal, Proposer, ProposerOptions


class GivenOptions(ProposerOptions):
    """Options of `Given`."""

    kind: Literal["folder"] = "folder"
    maps: Path = Field(
        description="folder that holds for each picture a label map, an indexed PNG or a .npy file, with 0 "
        "for the background; or a folder of the picture's name with a PNG file for each mask"
    )
    pictures: Path | None = Field(
        None,
        description="folder of pictures that `maps` mirrors: a map has its picture's path below it, but for "
        "the suffix; by default maps lie in good/ and bad/ by their pictures' names",
    )
    names: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        max_length=MOST_SEGMENTS - 1,
        description="what components 1, 2 and so on of label maps are called; by default what names.json "
        "beside the maps says, a list that begins with the background, else component 1 and so on",
    )


class Given(Proposer):
    """Label maps become `named`, and are finished (`labels`); masks become `masks`, for filters to choose.

    What the first picture has decides which of the two the folder holds.
    """

    Options: ClassVar = GivenOptions
    repeatable: ClassVar = False  # somebody may correct a file
    options: GivenOptions
    frame: Frame

    def __init__(self, options: GivenOptions) -> None:
        super().__init__(options)
        self.files = PictureMaps(options.maps, options.pictures)
        self.folder = LabelFolder(options.maps, options.pictures)
        self.names: tuple[str, ...] = ()

    def prepare(self, pictures: Pictures, run: Run, watch: Watch = UNWATCHED) -> None:
        """See `Proposer.prepare`: read whatever the folder holds for these pictures once, and check it.

        Raises:
            InputError: a map that is missing or cannot be read.
            DataError: one that does not fit: its size, its indices, two pictures that share it.
            OptionError: names for masks.
        """
        self.frame = pictures.frame
        self.labels = bool(len(pictures)) and not self.files.place(pictures.samples[0]).is_dir()
        known = self._known()
        self.files.count = len(known) + 1 if known else MOST_SEGMENTS
        highest = 0
        with watch.stage("reading given components", len(pictures)) as stage:
            for sample in pictures.samples:
                watch.check_stop(run)
                if self.labels:
                    highest = max(highest, int(self.files.read(sample, self.frame).max()))
                else:
                    self.files.masks(sample, self.frame)
                stage.advance()
        self.names = known or tuple(f"component {index}" for index in range(1, highest + 1))
        self.files.count = len(self.names) + 1

    def propose(self, picture: NDArray[np.uint8], sample: Sample) -> Proposal:
        """See `Proposer.propose`; raises as `prepare`.

        A map that `flawscope segments components` made, found unreliable, and nobody has corrected, is none.
        """
        if not self.labels:
            return Proposal(self.files.masks(sample, self.frame))
        none = np.zeros((0, *picture.shape[:2]), np.bool_)  # (0, H, W)
        if not self.folder.labelled(sample):
            return Proposal(none, names=self.names)
        return Proposal(
            none, to_frame_size(self.files.read(sample, self.frame), self.frame, sample.tile), self.names
        )

    def _known(self) -> tuple[str, ...] | None:
        """Names that the user or the folder gives to components 1 and so on."""
        if not self.labels:
            if self.options.names is not None:
                raise OptionError(
                    "option 'names' of proposer of kind folder",
                    expected="label maps, whose components have numbers",
                    got=f"masks in {self.options.maps}",
                    fix="Leave it out.",
                )
            return None
        if self.options.names is not None:
            return self.options.names
        names = read_names(self.options.maps / NAMES)
        return None if names is None else names[1:]
