"""Classes that lie where good pictures never show them: how much, where, and what belongs there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from flawscope.runtime.explain.component_cells import FAR, Cell, clearness
from flawscope.runtime.prediction import Prediction

STRAYS = ("elsewhere", "elsewhere_low", "elsewhere_high", "strays", "usual")
_COVERED = 0.15  # of a stray, and of what is usual, that lie in one place where the one has the other's


@dataclass(frozen=True, slots=True, eq=False)
class Stray:
    """One connected area of a class where good pictures never show it.

    Attributes:
        label: the class.
        usual: the class that good pictures show there, 0 the background.
        instead: whether that is a part that belongs there, not ground around it.
        area: share of the picture.
        high: the share that this class takes in such places in good pictures, at most.
        clear: how far that lies beyond good pictures, see `clearness`.
        cells: (h, w) which cells of the map it takes.
        cell: the cell of the histogram's finest grid that the middle of its box lies in, or None.
    """

    label: int
    usual: int
    instead: bool
    area: float
    high: float
    clear: float
    cells: NDArray[np.bool_] = field(repr=False)
    cell: Cell | None = None

    def reaches(self, cell: Cell) -> bool:
        """Whether any of it lies in that cell of a grid over the picture."""
        height, width = self.cells.shape
        left, top, right, bottom = cell.box(height, width)
        return bool(self.cells[top:bottom, left:right].any())


def find_strays(prediction: Prediction, finest: Cell | None = None) -> tuple[Stray, ...]:
    """What lies clearly beyond the level of good pictures, the largest first.

    One inside another's box, such as a washer's hole, is a part of that one and left out.

    Args:
        prediction: whose outputs hold a map of the strays (h, w), one of what is usual, and each class's
            share with its range; without them there are none.
        finest: any cell of the histogram's finest grid, where its cells are to be told.
    """
    if not prediction.outputs.keys() >= set(STRAYS):
        return ()
    largest_first = sorted(_strays(prediction, finest), key=lambda stray: -stray.area)
    kept: list[Stray] = []
    for stray in largest_first:
        if not any(stray.label != larger.label and _inside(stray, larger) for larger in kept):
            kept.append(stray)
    return tuple(kept)


def _strays(prediction: Prediction, finest: Cell | None) -> Iterator[Stray]:
    arrays = [np.asarray(prediction.outputs[name]) for name in STRAYS]
    strays, usual = arrays[3:]  # (h, w) each
    for label, shares in enumerate(np.stack(arrays[:3]).T.tolist(), 1):  # (3, K) -> K times 3
        if clearness(*shares) < FAR:
            continue
        found, low, high = shares
        count, numbers = cv2.connectedComponents((strays == label).astype(np.uint8), connectivity=8)
        for number in range(1, count):
            cells = np.asarray(numbers == number)
            area = min(float(cells.mean()), found)
            clear = clearness(area, low, high)
            if clear >= FAR:
                top, left, bottom, right = _box(cells)
                height, width = cells.shape
                cell = finest and finest.at((top + bottom) / (2 * height), (left + right) / (2 * width))
                yield Stray(label, *_belongs(cells, usual, label), area, high, clear, cells, cell)


def _box(cells: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) in cells of the map, bottom and right exclusive."""
    places = np.argwhere(cells)
    (top, left), (bottom, right) = places.min(0).tolist(), (places.max(0) + 1).tolist()
    return top, left, bottom, right


def _inside(stray: Stray, other: Stray) -> bool:
    """Whether its box lies within another's, or beyond it by one cell."""
    top, left, bottom, right = _box(stray.cells)
    above, before, below, behind = _box(other.cells)
    return top >= above - 1 and left >= before - 1 and bottom <= below + 1 and right <= behind + 1


def _belongs(cells: NDArray[np.bool_], usual: NDArray[np.integer], label: int) -> tuple[int, bool]:
    """What is usual in these cells: another part (True), or else the class that most of them have (False).

    A part that leans may cover more ground than place of another; so a part counts as soon as a fair share of
    both lies there. What is much larger, such as a housing, is ground, and so is the class itself.
    """
    covered = np.bincount(usual[cells])  # cells of each class
    parts = np.zeros_like(covered)
    for other in np.flatnonzero(covered >= _COVERED * cells.sum()):
        if other not in (0, label):
            _, areas = cv2.connectedComponents((usual == other).astype(np.uint8), connectivity=8)
            numbers = np.unique(areas[cells & (usual == other)])
            whole = int(np.isin(areas, numbers).sum())
            parts[other] = covered[other] if covered[other] >= _COVERED * whole else 0
    instead = bool(parts.any())
    return int((parts if instead else covered).argmax()), instead
