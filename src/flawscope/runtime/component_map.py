"""The components of a label map, on a coarse grid, and which of them a drawing names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flawscope.runtime.placement import Box, Pair

Cells = NDArray[np.uint8]
Told = Sequence[tuple[int, Box | None]]


@dataclass(frozen=True, slots=True, eq=False)
class Component:
    """A connected area of one label.

    Attributes:
        label: of its cells.
        box: (left, top, right, bottom) in cells of the grid, right and bottom exclusive.
        area: its cells.
        inside: (h, w) 1 where its box shows it, else 0.
    """

    label: int
    box: Box
    area: int
    inside: Cells

    def gaps(self, box: Box) -> NDArray[np.float32]:
        """Squared distances (h, w) in cells from its own to a box of cells; inf where its box is not it."""
        columns, rows = (np.arange(self.box[axis], self.box[axis + 2]) for axis in (0, 1))
        across, down = (
            np.maximum(np.maximum(box[axis] - places, places - box[axis + 2] + 1), 0)
            for axis, places in enumerate((columns, rows))
        )
        gaps: NDArray[np.float32] = np.add.outer(down**2, across**2).astype(np.float32)
        gaps[self.inside == 0] = np.inf
        return gaps

    def nearest(self, gaps: NDArray[np.float32], others: Sequence[Pair], apart: int) -> Pair:
        """(column, row) of its cell with the smallest gap.

        It is not at its rim, and so many cells apart from `others`, where it has such cells.
        """
        left, top, right, _ = self.box
        around, border = np.ones((3, 3), np.uint8), cv2.BORDER_CONSTANT
        deep = np.asarray(cv2.erode(self.inside, around, borderType=border, borderValue=0))
        deep = deep if deep.any() else self.inside
        free = deep.copy()
        for column, row in others:
            rows, columns = (
                slice(max(at - apart + 1 - start, 0), max(at + apart - start, 0))
                for at, start in ((row, top), (column, left))
            )
            free[rows, columns] = 0
        chosen = free if free.any() else deep
        row, column = divmod(int(np.where(chosen > 0, gaps, np.inf).argmin()), right - left)
        return left + column, top + row


class ComponentMap:
    """The components of a label map on a grid, each cell with the label of the pixel in its middle.

    Args:
        labels: (H, W) of each pixel.
        names: of those labels that are components.
        cell: side of a cell in pixels.
        told: labels that findings speak of, each with the box of its place in pixels, or None; what lies
            there and in the middle of no cell gets the cell that it begins in.

    Attributes:
        cells: (h, w) labels; those at the right and at the bottom may reach beyond the picture.
        whole: rows and columns of cells that lie inside it.
        areas: (h, w) cells of the component that each cell is of, 0 for ground.
        edges: (h, w) 1 where a cell, or one beside it, has another label than its neighbour.
    """

    def __init__(self, labels: NDArray[np.integer], names: Mapping[int, str], cell: int, told: Told) -> None:
        self.cell, self._told = cell, [(label, box) for label, box in told if label in names]
        self.cells = labels[cell // 2 :: cell, cell // 2 :: cell].astype(np.int32)
        self.whole = labels.shape[0] // cell, labels.shape[1] // cell  # cells that lie inside the picture
        for label, box in self._told:
            if box is not None and not (self.cells[window(self.in_cells(box))] == label).any():
                self._show(labels, label, box)
        self.areas = np.zeros(self.cells.shape, np.int32)
        self._parts = {label: found for label in names if (found := _Parts.of(self.cells, label)) is not None}
        for parts in self._parts.values():
            parts.measure(self.areas)
        around = self.cells.astype(np.float32), np.ones((3, 3), np.uint8)
        self.edges: Cells = (cv2.dilate(*around) != cv2.erode(*around)).astype(np.uint8)

    def in_cells(self, box: Box) -> Box:
        """The cells that a box in pixels touches."""
        left, top, right, bottom = box
        return left // self.cell, top // self.cell, -(-right // self.cell), -(-bottom // self.cell)

    def named(self) -> Iterator[Component]:
        """What gets a name, first what findings speak of, then of each other label the largest component.

        These come by their size. Findings speak of what lies most in their box, or else of the largest.
        """
        parts = self._parts
        spoken = [
            (label, parts[label].most_in(None if box is None else self.in_cells(box)))
            for label, box in self._told
            if label in parts
        ]
        yield from (parts[label].component(number) for label, number in dict.fromkeys(spoken))
        others = parts.keys() - {label for label, _ in spoken}
        largest = [parts[label].component(parts[label].most_in(None)) for label in others]
        yield from sorted(largest, key=lambda one: (-one.area, one.label))

    def _show(self, labels: NDArray[np.integer], label: int, box: Box) -> None:
        left, top, right, bottom = box
        inside = labels[top:bottom, left:right] == label
        if inside.any():
            row, column = divmod(int(inside.argmax()), inside.shape[1])
            height, width = self.cells.shape
            at = min((top + row) // self.cell, height - 1), min((left + column) // self.cell, width - 1)
            self.cells[at] = label


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """The connected areas of a label, numbered from 1.

    Attributes:
        label: see above.
        corner: (left, top) of the box that holds them all.
        numbers: (h, w) of each cell of that box.
        stats: a row for each, as OpenCV counts them.
    """

    label: int
    corner: Pair
    numbers: NDArray[np.int32]
    stats: NDArray[np.int32]

    @classmethod
    def of(cls, cells: NDArray[np.int32], label: int) -> _Parts | None:
        """Those in the cells; None where there are none."""
        inside = (cells == label).view(np.uint8)
        left, top, width, height = cv2.boundingRect(inside)
        if not width:
            return None
        part = inside[top : top + height, left : left + width]
        _, numbers, stats, _ = cv2.connectedComponentsWithStats(part, connectivity=8)
        return cls(label, (left, top), np.asarray(numbers, np.int32), np.asarray(stats, np.int32))

    def measure(self, areas: NDArray[np.int32]) -> None:
        """Enter in the grid (h, w) how many cells the part has that a cell is of."""
        (left, top), (height, width) = self.corner, self.numbers.shape
        own = self.stats[:, cv2.CC_STAT_AREA].copy()
        own[0] = 0
        areas[top : top + height, left : left + width] += own[self.numbers]

    def most_in(self, box: Box | None) -> int:
        """The number of the one that lies most in a box of cells, or is the largest where none does."""
        shares = self.stats[:, cv2.CC_STAT_AREA]
        if box is not None:
            left, top = self.corner
            own = box[0] - left, box[1] - top, max(box[2] - left, 0), max(box[3] - top, 0)
            within = np.bincount(self.numbers[window(own)].ravel(), minlength=len(shares))[1:]
            if within.any():
                return 1 + int(within.argmax())
        return 1 + int(shares[1:].argmax())

    def component(self, number: int) -> Component:
        """The one of that number."""
        left, top, width, height, area = (int(value) for value in self.stats[number])
        box = left, top, left + width, top + height
        inside = (self.numbers[window(box)] == number).view(np.uint8)
        x, y = self.corner
        return Component(self.label, (x + box[0], y + box[1], x + box[2], y + box[3]), area, inside)


def window(box: Box, around: int = 0) -> tuple[slice, slice]:
    """Rows and columns that a box shows, with so many around it."""
    left, top, right, bottom = box
    return slice(max(top - around, 0), bottom + around), slice(max(left - around, 0), right + around)
