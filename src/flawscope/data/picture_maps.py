"""Label maps, or masks, that come with a data set for each picture: found, read, checked. No torch here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flawscope.data.masks import MaskFile
from flawscope.data.owners import Owners
from flawscope.data.samples import Sample
from flawscope.data.segment_maps import (
    MOST_SEGMENTS,
    Labels,
    check_map_fits,
    picture_size,
    pixels_of,
    read_labels,
    to_frame_size,
)
from flawscope.errors import DataError, InputError
from flawscope.runtime.images import Frame

SUFFIXES = (".png", ".npy")


class PictureMaps:
    """What a folder holds for each picture: an indexed PNG, a NumPy file, or a folder of mask pictures.

    Args:
        maps: the folder.
        pictures: the folder of pictures that it mirrors: a map has its picture's path below it, but for the
            suffix. None: maps lie in `good` and `bad` by their pictures' names, as SegAD's authors' do.
        count: segments that maps may have.
    """

    def __init__(self, maps: Path, pictures: Path | None = None, count: int = MOST_SEGMENTS) -> None:
        self.maps, self.pictures, self.count = maps, pictures, count
        fix = "Let the maps mirror the pictures' folder, and name that (option pictures)."
        self._owners = Owners("segment map", fix)

    def read(self, sample: Sample, frame: Frame | None = None) -> Labels:
        """The picture's labels (H, W), at their file's size.

        Args:
            sample: the picture.
            frame: that the pictures will have; a map may have its size where it stretches.

        Raises:
            InputError: a map that is missing or cannot be read.
            DataError: a map that does not fit: its indices, its size, two pictures that share it.
        """
        path = self.place(sample)
        drawn = read_labels(path)
        highest = int(drawn.max())
        if highest >= self.count:
            raise DataError(
                f"segment map {path}",
                expected=f"indices from 0 to {self.count - 1}, as the option count or earlier maps have them",
                got=f"index {highest} in {pixels_of(drawn, highest)}",
                fix="Correct the map, or set the option count.",
            )
        check_map_fits(path, (drawn.shape[0], drawn.shape[1]), [sample.path], frame)
        return drawn

    def masks(self, sample: Sample, frame: Frame) -> NDArray[np.bool_]:
        """The picture's masks, which may overlap, by their files' names: (M, height, width) at `frame`.

        Raises:
            InputError: no folder of that picture, or a mask that cannot be read.
            DataError: a mask that does not fit, two pictures that share a folder.
        """
        place = self.place(sample)
        if not place.is_dir():
            raise InputError(
                f"masks {self.maps / self._relative(sample)}",
                expected="a folder of PNG files, one for each mask",
                got="a label map, while earlier pictures have masks" if place.is_file() else "nothing there",
                fix="Make the masks of this picture; a folder without files says that it has none.",
            )
        paths = sorted(path for path in place.iterdir() if path.suffix.lower() == ".png")
        masks = np.zeros((len(paths), frame.height, frame.width), np.bool_)
        for mask, path in zip(masks, paths, strict=True):
            size = picture_size(path)
            check_map_fits(path, size, [sample.path], frame)
            mask[:] = to_frame_size(MaskFile(path).read(*size).astype(np.uint8), frame, sample.tile) > 0
        return masks

    def place(self, sample: Sample) -> Path:
        """The picture's map: the first of the suffixes that is there, else its folder of masks.

        Raises:
            DataError: two pictures that would share it, or one outside of `pictures`.
        """
        base = self.maps / self._relative(sample)
        known = [base.parent / f"{base.name}{suffix}" for suffix in SUFFIXES]
        path = next((path for path in known if path.is_file()), base if base.is_dir() else known[0])
        return self._owners.claim(path, sample.path)

    def _relative(self, sample: Sample) -> Path:
        """The map's path below the folder, without suffix."""
        if self.pictures is None:
            return Path("bad" if sample.defective else "good", sample.path.stem)
        picture, root = sample.path.absolute(), self.pictures.absolute()
        if not picture.is_relative_to(root):
            raise DataError(
                f"picture {sample.path}",
                expected=f"a place below {self.pictures}, which the segment maps mirror",
                got="another one",
                fix="Correct the name of that folder (option pictures).",
            )
        return picture.relative_to(root).with_suffix("")
