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

    A map lies over the frame at any resolution (h, w): its cells divide the frame evenly.

    Attributes:
        frame: height and width of the frame.
        picture: height and width of the picture as it lies on disk.
        corner: top and left of the picture in the frame.
        inner: height and width that the picture takes in the frame; around it lies padding.
    """

    frame: Pair
    picture: Pair
    corner: Pair
    inner: Pair

    @property
    def padding(self) -> tuple[Pair, Pair]:
        """Rows above and below the picture, and columns to its left and right, in the frame."""
        above, left = self.corner
        below, right = (self.frame[axis] - self.corner[axis] - self.inner[axis] for axis in (0, 1))
        return (above, below), (left, right)

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
        """A map (h, w) over the frame at the picture's own size; padding is cut off, the rest resized."""
        starts, sides = self.corner, self.inner
        vertical, horizontal = (
            (start * cells / whole, (start + side) * cells / whole)
            for start, side, cells, whole in zip(starts, sides, values.shape, self.frame, strict=True)
        )
        return resize_map(values, *self.picture, vertical, horizontal)

    def labels_back(self, labels: NDArray[np.integer]) -> NDArray[np.integer]:
        """A label map (h, w) over the frame at the picture's own size.

        Padding is cut off; each pixel takes the label of the cell that its centre lies in.
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
