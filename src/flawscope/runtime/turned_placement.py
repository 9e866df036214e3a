"""A picture in the frame of a network that sees it turned to how the part lies in another one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from flawscope.runtime.placement import Box, Pair, Placement


@dataclass(frozen=True, slots=True)
class TurnedPlacement(Placement):
    """A placement whose frame shows the picture turned; what lies in it comes back to where it is.

    Attributes:
        pose: cosine and sine of the part's angle; where the middle of the turned frame lies, right of and
            below that of the frame as the picture came, in its pixels.
    """

    pose: tuple[float, float, float, float]

    @classmethod
    def of(cls, placement: Placement, pose: Sequence[float] | NDArray[np.floating[Any]]) -> Self:
        """The placement of a picture that is seen turned by that pose."""
        cosine, sine, x, y = map(float, pose)
        return cls(
            placement.frame, placement.picture, placement.corner, placement.inner, (cosine, sine, x, y)
        )

    def alone(self, shape: Pair) -> TurnedPlacement:
        """See `Placement.alone`."""
        return TurnedPlacement.of(Placement.alone(self, shape), self.pose)

    def to_frame(self, point: Pair) -> tuple[float, float]:
        """See `Placement.to_frame`."""
        row, column = Placement.to_frame(self, point)
        down, across = self._turned(np.array(row), np.array(column))
        return float(down), float(across)

    def cells(self, box: Box, shape: Pair) -> tuple[slice, slice]:
        """See `Placement.cells`; those around the box as it is turned."""
        left, top, right, bottom = box
        corners = [self.to_frame((x, y)) for x in (left, right - 1) for y in (top, bottom - 1)]
        found = []
        for places, side, count in zip(zip(*corners, strict=True), self.frame, shape, strict=True):
            first = min(max(math.floor(min(places) * count / side), 0), count - 1)
            found.append(slice(first, min(max(math.ceil(max(places) * count / side), first + 1), count)))
        return found[0], found[1]

    def share(self, row: float, column: float) -> tuple[float, float]:
        """See `Placement.share`."""
        (height, width), (cosine, sine, x, y) = self.frame, self.pose
        across, down = column - width / 2, row - height / 2
        right, below = cosine * across - sine * down + x, sine * across + cosine * down + y
        return Placement.share(self, below + height / 2, right + width / 2)

    def back(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Placement.back`; each pixel of the frame takes the value of its cell."""
        return Placement.back(self, self.lying(values))

    def labels_back(self, labels: NDArray[np.integer]) -> NDArray[np.integer]:
        """See `Placement.labels_back`; 0 for what the turned frame does not show."""
        return Placement.labels_back(self, self.lying(labels))

    def lying(self, values: NDArray[Any]) -> NDArray[Any]:
        """A map (h, w) over the turned frame on the frame as the picture came, at its pixels.

        Each takes the value of the cell that its centre lies in, and 0 where the turned frame shows none.
        """
        height, width = self.frame
        rows, columns = np.mgrid[:height, :width] + 0.5
        places = self._turned(rows, columns)
        cells = [
            np.floor(place * count / side).astype(np.intp)
            for place, count, side in zip(places, values.shape, self.frame, strict=True)
        ]
        shown = np.logical_and.reduce(
            [(own >= 0) & (own < count) for own, count in zip(cells, values.shape, strict=True)]
        )
        own = values[tuple(np.where(shown, own, 0) for own in cells)]
        return np.where(shown, own, np.zeros((), values.dtype))

    def _turned(
        self, rows: NDArray[np.floating[Any]], columns: NDArray[np.floating[Any]]
    ) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
        """Rows and columns of the turned frame that show these of the frame as the picture came."""
        (height, width), (cosine, sine, x, y) = self.frame, self.pose
        right, below = columns - width / 2 - x, rows - height / 2 - y
        return (
            cosine * below - sine * right + height / 2,
            cosine * right + sine * below + width / 2,
        )
