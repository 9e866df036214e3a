"""Cells of a grid over the picture, and how clearly a share lies beyond those of good pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from flawscope.runtime.placement import Box

FAR = 0.5  # of the usual range's width by which a share must lie beyond it
PLAIN = 5.0  # widths beyond which nothing is clearer still
_RESOLUTION = 0.001  # share of the picture that outlines alone may add or take


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """One cell of a grid of `rows` × `columns`, counted from 0 line by line."""

    rows: int
    columns: int
    index: int

    @property
    def of(self) -> int:
        """Cells of the grid; 1: this is the whole picture."""
        return self.rows * self.columns

    def at(self, down: float, across: float) -> Cell:
        """The cell of the same grid in which a place lies, in shares of the picture's height and width."""
        index = int(down * self.rows) * self.columns + int(across * self.columns)
        return Cell(self.rows, self.columns, index)

    def box(self, height: int, width: int) -> Box:
        """(left, top, right, bottom) in a label map of that size, as the histogram's cells lie in it."""
        row, column = divmod(self.index, self.columns)
        left, right = column * width // self.columns, (column + 1) * width // self.columns
        return left, row * height // self.rows, right, (row + 1) * height // self.rows


def apart(some: Sequence[Cell], others: Sequence[Cell]) -> bool:
    """Whether there are cells of either, of one grid, and none in common."""
    grids = {(cell.rows, cell.columns) for cell in (*some, *others)}
    return bool(some and others) and len(grids) == 1 and not set(some) & set(others)


def clearness(found: float, low: float, high: float, cells: int = 1) -> float:
    """How far a share lies beyond the usual ones, in widths of their range; at most `PLAIN`.

    Args:
        found, low, high: share of a cell, and the lowest and highest usual one.
        cells: of the grid. In smaller ones outlines are a larger share.
    """
    away = max(found - high, low - found) / (high - low + _RESOLUTION * math.sqrt(cells))
    return min(away, PLAIN)
