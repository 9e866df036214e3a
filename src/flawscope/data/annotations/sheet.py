"""Parts of one picture, each drawn in the box around it: pictures are large, parts many and small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flawscope.data.annotations.drawing import CocoPart, ShapesPart
from flawscope.data.label_folder import LabelPart
from flawscope.data.labelme_shapes import Box, Canvas
from flawscope.data.samples import PartSource
from flawscope.data.segment_maps import Labels


class Sheet:
    """Draws parts of a picture.

    Args:
        height, width: of the picture.
    """

    def __init__(self, height: int, width: int) -> None:
        self.size = (height, width)
        self._canvas: Canvas | None = None
        self._map: tuple[Path, Labels] | None = None

    def draw(self, part: PartSource) -> tuple[Box, NDArray[np.bool_]]:
        """Rows and columns that hold all of a part's `read`, and what it says there.

        Raises:
            InputError, DataError: as `read` does.
        """
        if isinstance(part, CocoPart):
            return part.within(*self.size)
        if isinstance(part, ShapesPart):
            return self._drawn(part)
        if isinstance(part, LabelPart):
            return self._whole, self._labels(part) == part.index
        return self._whole, part.read(*self.size)

    def _drawn(self, part: ShapesPart) -> tuple[Box, NDArray[np.bool_]]:
        """On a canvas of the whole picture, then wiped: shapes cut at other borders have other pixels."""
        if self._canvas is None:
            self._canvas = np.zeros(self.size, np.uint8)
        box = part.shapes.draw(self._canvas)
        mask = self._canvas[box] > 0
        self._canvas[box] = 0
        return box, mask

    def _labels(self, part: LabelPart) -> Labels:
        """The part's label map, which is read once for all of its classes."""
        if self._map is None or self._map[0] != part.path:
            self._map = part.path, part.labels(*self.size)
        return self._map[1]

    @property
    def _whole(self) -> Box:
        height, width = self.size
        return slice(0, height), slice(0, width)
