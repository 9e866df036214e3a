"""A picture in the frame of a network that sees it turned to how the part lies in another one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from flawscope.runtime.placement import Box, Pair, Placement

Values = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class TurnedPlacement(Placement):
    """A placement whose frame shows the picture turned; what lies in it comes back to where it is.

    Attributes:
        pose: cosine and sine of the part's angle; where the middle of the turned picture lies, right of and
            below that of the picture as it came, in pixels of `size`.
        size: height and width at which the picture is turned; all of the frame at its resolution.
    """

    pose: tuple[float, float, float, float]
    size: Pair

    @classmethod
    def of(cls, placement: Placement, pose: Sequence[float] | Values, size: Pair) -> Self:
        """The placement of a picture that is seen turned by that pose."""
        cosine, sine, x, y = map(float, pose)
        sides = placement.frame, placement.picture, placement.corner, placement.inner
        return cls(*sides, (cosine, sine, x, y), size)

    def alone(self, shape: Pair) -> TurnedPlacement:
        """See `Placement.alone`."""
        return TurnedPlacement.of(Placement.alone(self, shape), self.pose, self.size)

    def depth(self, point: Pair) -> float:
        """See `Placement.depth`; to the nearest border of the turned frame, which a place may lie outside."""
        places = zip(self.to_frame(point), self.frame, strict=True)
        return min(min(place, side - place) for place, side in places)

    def to_frame(self, point: Pair) -> tuple[float, float]:
        """See `Placement.to_frame`; a place that the turned frame does not show lies outside of it."""
        down, across = self._turned(*(np.array(place) for place in Placement.to_frame(self, point)))
        return float(down), float(across)

    def cells(self, box: Box, shape: Pair) -> tuple[slice, slice]:
        """See `Placement.cells`; those around the box as it is turned."""
        left, top, right, bottom = box
        down, across = np.array([top, top, bottom, bottom]), np.array([left, right, left, right])
        places = self._turned(self._along(0, down.astype(float)), self._along(1, across.astype(float)))
        rows, columns = (
            _around(ends * count / side, count)
            for ends, count, side in zip(places, shape, self.frame, strict=True)
        )
        return rows, columns

    def share(self, row: float, column: float) -> tuple[float, float]:
        """See `Placement.share`."""
        (height, width), (tall, wide), (cosine, sine, x, y) = self.frame, self.size, self.pose
        down, across = (row / height - 0.5) * tall, (column / width - 0.5) * wide
        right, below = cosine * across - sine * down + x, sine * across + cosine * down + y
        return Placement.share(self, (below / tall + 0.5) * height, (right / wide + 0.5) * width)

    def back(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Placement.back`; each pixel of the frame takes the value of its cell, or else the least."""
        least = values.min()
        own: NDArray[np.float32] = Placement.back(self, self.lying(values - least)) + least
        return own

    def labels_back(self, labels: NDArray[np.integer]) -> NDArray[np.integer]:
        """See `Placement.labels_back`; 0 for what the turned frame does not show."""
        return Placement.labels_back(self, self.lying(labels))

    def lying(self, values: NDArray[Any]) -> NDArray[Any]:
        """A map (h, w) over the turned frame on the frame as the picture came, at its pixels.

        Each takes the value of the cell that its centre lies in, and 0 where the turned frame shows none.
        """
        height, width = self.frame
        rows, columns = np.mgrid[:height, :width] + 0.5
        places = zip(self._turned(rows, columns), values.shape, self.frame, strict=True)
        down, across = (np.floor(place * count / side).astype(np.intp) for place, count, side in places)
        shown = (down >= 0) & (down < values.shape[0]) & (across >= 0) & (across < values.shape[1])
        own = np.zeros(self.frame, values.dtype)
        own[shown] = values[down[shown], across[shown]]
        return own

    def _turned(self, rows: Values, columns: Values) -> tuple[Values, Values]:
        """Rows and columns of the turned frame that show these of the frame as the picture came."""
        (height, width), (tall, wide), (cosine, sine, x, y) = self.frame, self.size, self.pose
        right, below = (columns / width - 0.5) * wide - x, (rows / height - 0.5) * tall - y
        down, across = cosine * below - sine * right, cosine * right + sine * below
        return (down / tall + 0.5) * height, (across / wide + 0.5) * width


def _around(places: Values, count: int) -> slice:
    """Cells, of `count`, from the first to the last of these places along an axis; at least one."""
    first = min(max(math.floor(float(places.min())), 0), count - 1)
    return slice(first, min(max(math.ceil(float(places.max())), first + 1), count))
