"""Where a picture lies in the frame at which the model sees it, and the ways between the two."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from flawscope.runtime.resize import resize_map

Pair = tuple[int, int]
Box = tuple[int, int, int, int]
Place = TypeVar("Place", float, NDArray[np.floating[Any]])


@dataclass(frozen=True, slots=True)
class Placement:
    """A picture in its frame; every pair is (rows, columns), in pixels, and points and boxes are (x, y).

    A map lies over the frame at any resolution (h, w): its cells divide the frame evenly. Where the frame is
    a tile of a larger picture, the picture reaches beyond it: its corner may lie before the frame's.

    Attributes:
        frame: height and width of the frame.
        picture: height and width of the picture as it lies on disk.
        corner: top and left of the picture in the frame, below 0 where the frame begins within the picture.
        inner: height and width that the whole picture takes at the frame's resolution.
    """

    frame: Pair
    picture: Pair
    corner: Pair
    inner: Pair

    @property
    def padding(self) -> tuple[Pair, Pair]:
        """Rows above and below the picture, and columns to its left and right, in the frame."""
        rows, columns = self.shown
        return (rows.start, self.frame[0] - rows.stop), (columns.start, self.frame[1] - columns.stop)

    @property
    def shown(self) -> tuple[slice, slice]:
        """Rows and columns of the frame that show the picture; the others are padding."""
        rows, columns = (
            slice(max(start, 0), min(start + side, whole))
            for start, side, whole in zip(self.corner, self.inner, self.frame, strict=True)
        )
        return rows, columns

    @property
    def whole(self) -> bool:
        """Whether the frame shows all of the picture."""
        return all(part.stop - part.start == side for part, side in zip(self.shown, self.inner, strict=True))

    @property
    def window(self) -> Box:
        """The part of the picture that the frame shows, rounded outward to its pixels."""
        low, high = [], []
        for axis, part in enumerate(self.shown):
            scale = self.picture[axis] / self.inner[axis]
            low.append(math.floor((part.start - self.corner[axis]) * scale + 1e-6))
            high.append(math.ceil((part.stop - self.corner[axis]) * scale - 1e-6))
        return low[1], low[0], high[1], high[0]

    def depth(self, point: Pair) -> float:
        """How far inside the frame the centre of the picture's pixel (x, y) lies; negative: outside.

        It is counted in pixels of the frame to the nearest border that parts the picture; `inf` where none
        does.
        """
        far = math.inf
        for axis, place in enumerate(self.to_frame(point)):
            if self.corner[axis] < 0:
                far = min(far, place)
            if self.corner[axis] + self.inner[axis] > self.frame[axis]:
                far = min(far, self.frame[axis] - place)
        return far

    def alone(self, shape: Pair) -> Placement:
        """The placement of nothing but the part that the frame shows, drawn at `shape`."""
        rows, columns = self.shown
        inner = rows.stop - rows.start, columns.stop - columns.start
        return Placement(self.frame, shape, (rows.start, columns.start), inner)

    def to_frame(self, point: Pair) -> tuple[float, float]:
        """(row, column) in the frame of the centre of the picture's pixel (x, y)."""
        x, y = point
        return self._along(0, y + 0.5), self._along(1, x + 0.5)

    def to_map(self, point: Pair, shape: Pair) -> Pair:
        """(row, column) of the cell of a map of `shape` that the centre of the picture's pixel lies in."""
        row, column = self.to_frame(point)
        return int(row * shape[0] / self.frame[0]), int(column * shape[1] / self.frame[1])

    def cells(self, box: Box, shape: Pair) -> tuple[slice, slice]:
        """Rows and columns of a map of `shape` that the picture's box (left, top, right, bottom) touches."""
        left, top, right, bottom = box
        return self._touched(0, (top, bottom), shape[0]), self._touched(1, (left, right), shape[1])

    def share(self, row: float, column: float) -> tuple[float, float]:
        """How far down and across the picture a place (row, column) of the frame lies; 0 to 1 inside."""
        (top, left), (height, width) = self.corner, self.inner
        return (row - top) / height, (column - left) / width

    def back(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """A map (h, w) over the frame at the picture's own size; padding is cut off, the rest resized.

        The frame must show the whole picture; maps of tiles are put together by `flawscope.runtime.tiling`.
        """
        starts, sides = self.corner, self.inner
        vertical, horizontal = (
            (start * cells / whole, (start + side) * cells / whole)
            for start, side, cells, whole in zip(starts, sides, values.shape, self.frame, strict=True)
        )
        return resize_map(values, *self.picture, vertical, horizontal)

    def labels_back(self, labels: NDArray[np.integer]) -> NDArray[np.integer]:
        """A label map (h, w) over the frame at the picture's own size.

        Padding is cut off; each pixel takes the label of the cell that its centre lies in. The frame must
        show the whole picture.
        """
        places = []
        for axis, cells in enumerate(labels.shape):
            centres = np.arange(self.picture[axis]) + 0.5
            places.append((self._along(axis, centres) * cells / self.frame[axis]).astype(np.intp))
        own: NDArray[np.integer] = labels[np.ix_(*places)]
        return own

    def _along(self, axis: int, place: Place) -> Place:
        """From a place along one axis of the picture to the frame's."""
        return self.corner[axis] + place * self.inner[axis] / self.picture[axis]

    def _touched(self, axis: int, ends: Pair, count: int) -> slice:
        """Cells, of `count` along an axis, that a stretch of the picture touches."""
        low, high = (self.corner[axis] + end * self.inner[axis] / self.picture[axis] for end in ends)
        scale = count / self.frame[axis]
        first = min(max(math.floor(low * scale), 0), count - 1)
        return slice(first, min(max(math.ceil(high * scale), first + 1), count))
