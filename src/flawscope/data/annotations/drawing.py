"""What annotation files say of pictures, whatever their form: the readers' common answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flawscope.data.annotations.polygons import inside, reach
from flawscope.data.annotations.rle import columns_of
from flawscope.data.label_folder import LabelPart
from flawscope.data.labelme import LabelMe
from flawscope.data.labelme_shapes import Box
from flawscope.data.masks import size_error
from flawscope.errors import DataError

Size = tuple[int, int]  # height, width


@dataclass(frozen=True, slots=True)
class ShapesPart:
    """Shapes of a LabelMe file that are one part; see `flawscope.data.samples.PartSource`."""

    shapes: LabelMe
    name: str
    order: int = 0
    ignore: bool = False
    crowd: bool = False

    def misfit(self, height: int, width: int) -> DataError | None:
        """See `LabelMe.misfit`."""
        return self.shapes.misfit(height, width)

    def read(self, height: int, width: int) -> NDArray[np.bool_]:
        """What the shapes cover, (height, width).

        Raises:
            DataError: the shapes belong to a picture of another size.
        """
        return self.shapes.read(height, width)


@dataclass(frozen=True, slots=True)
class CocoPart:
    """One annotation of a COCO file; see `flawscope.data.samples.PartSource`.

    Attributes:
        path: the file.
        size: of the picture as the file states it; None where it does not.
        outlines: polygons (n, 2) of x and y, whose union it is; or
        runs: of its mask, which fill that size; see `flawscope.data.annotations.rle`.
    """

    path: Path
    size: Size | None
    name: str
    outlines: tuple[NDArray[np.float64], ...] = field(default=(), compare=False)
    runs: tuple[int, ...] = ()
    order: int = 0
    ignore: bool = False
    crowd: bool = False

    def read(self, height: int, width: int) -> NDArray[np.bool_]:
        """What the annotation covers, (height, width).

        Raises:
            DataError: the file states another picture size.
        """
        area = np.zeros((height, width), np.bool_)
        box, mask = self.within(height, width)
        area[box] = mask
        return area

    def within(self, height: int, width: int) -> tuple[Box, NDArray[np.bool_]]:
        """Rows and columns that hold all of `read`, and what it says there.

        Raises:
            DataError: as there.
        """
        if self.size is not None and self.size != (height, width):
            raise size_error(self.path, self.size, (height, width))
        if self.runs:
            columns, mask = columns_of(self.runs, height)
            return (slice(0, height), columns), mask
        boxes = [reach(outline, height, width) for outline in self.outlines]
        box = _around(boxes)
        mask = np.zeros([ends.stop - ends.start for ends in box], np.bool_)
        for outline in self.outlines:
            mask |= inside(outline, box)
        return box, mask


def _around(boxes: Sequence[Box]) -> Box:
    """The box around all that hold a pixel."""
    held = [box for box in boxes if all(ends.start < ends.stop for ends in box)]
    rows, columns = (
        slice(min((ends.start for ends in each), default=0), max((ends.stop for ends in each), default=0))
        for each in ([box[axis] for box in held] for axis in (0, 1))
    )
    return rows, columns


Part = ShapesPart | CocoPart | LabelPart


@dataclass(frozen=True, slots=True)
class Drawing:
    """What files say of one picture.

    Attributes:
        file: the annotation file.
        picture: what the picture is called: a path whose end, but for the ending, is that of the picture's.
        parts: those that can be drawn, their order not yet known.
        size: the picture's height and width as the file states them, or a mask in it; None: nothing does.
        problems: what of it cannot be used.
    """

    file: Path
    picture: Path
    parts: tuple[Part, ...]
    size: Size | None = None
    problems: tuple[DataError, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """All that is annotated in one place, and files that cannot be used."""

    drawings: Sequence[Drawing]
    problems: tuple[DataError, ...] = ()
