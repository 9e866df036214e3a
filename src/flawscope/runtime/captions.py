"""Where drawings name components: beside them, neither on parts nor on one another, with lines if need be.

Places are sought on a grid of cells a third of a capital high, all of them at once: a name finds a place
wherever there is one, and the same each time.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from flawscope.runtime.component_map import Cells, Component, ComponentMap, Told, window
from flawscope.runtime.placement import Box, Pair

FONT = cv2.FONT_HERSHEY_SIMPLEX
_CAPITALS = 21.0  # pixels that capitals of OpenCV's plain font are high at scale 1
_IN_SIDE, _SMALLEST, _LARGEST = 32, 9.0, 48.0  # capitals in the shorter side, and their height in pixels
_NARROW = 2 / 3  # of its size, down to which a name too wide for the picture is written smaller
_CELLS = 3  # of the grid, in the height of a capital
_BELOW, _RIGHT, _LEFT = 0.5, 1.0, 1.5  # cells by which a place there counts as farther than one above
_SHIFTED = 0.1  # cells by which a place counts as farther for each that it is off the component's middle
_INSIDE = 6.0  # cells away from a component that are as bad as a place on it
_COVERED = 1 / 6  # of a component, at most, that its own name covers
_NEAR = 3  # cells from its component up to which a name needs no line
_APART = 3  # cells between the ends of two lines
_TRIES = 12  # places, after which a line may cross names and other lines

Line = tuple[Pair, Pair]


@dataclass(frozen=True, slots=True)
class Caption:
    """A name in a drawing, in pixels.

    Attributes:
        name: what is written.
        box: (left, top, right, bottom) around letters and their rim.
        start: (x, y) where the letters begin on their base line.
        scale: of the font.
        thickness: of its strokes.
        line: two ends (x, y), at the box and on the component; None where the name is beside it.
    """

    name: str
    box: Box
    start: Pair
    scale: float
    thickness: int
    line: Line | None = None

    def at(self, left: int, top: int) -> Caption:
        """The same elsewhere, without a line."""
        right, bottom = left + self.box[2] - self.box[0], top + self.box[3] - self.box[1]
        start = left + self.start[0] - self.box[0], top + self.start[1] - self.box[1]
        return replace(self, box=(left, top, right, bottom), start=start, line=None)


def captions(
    labels: NDArray[np.integer],
    names: Mapping[int, str],
    *,
    told: Told = (),
    avoided: Sequence[Box] = (),
) -> tuple[Caption, ...]:
    """Where to write the names of components in a picture whose label map is (H, W).

    A label is named once, at its largest component, or at each that findings speak of; first those, then the
    larger ones. A name stands above, below, at the right or at the left of its component, or farther out with
    a line to it; on the component where that is far larger, and near places are taken. Where all else is, it
    stands in a box to avoid, or with a line on another component, far larger than the name too. It never
    stands on the rim of one, nor on another name: without such a place it is left out.

    Args:
        labels: of each pixel.
        names: of those labels that are components, empty where none is to be written; others are ground.
        told: labels that findings speak of, each with the box of its place in the picture where it has one.
        avoided: boxes of what should be seen too. Boxes are (left, top, right, bottom) in pixels.
    """
    capitals = min(max(min(labels.shape) / _IN_SIDE, _SMALLEST), _LARGEST)
    cell = round(capitals / _CELLS)
    if min(labels.shape) < cell:
        return ()
    found = ComponentMap(labels, names, cell, told)
    places = _Places(found, avoided)
    for one in found.named():
        if not names[one.label]:
            continue
        places.take(one, _lettered(names[one.label], capitals, labels.shape[1] // cell * cell))
    return tuple(places.captions)


def _lettered(name: str, capitals: float, most: int) -> Caption:
    """A name in letters of that height, at the corner; smaller where it is wider than `most` pixels."""
    thickness = max(round(capitals / 14), 1)
    around = 2 * thickness + 1  # the rim, and what smooth edges need
    scale = capitals / _CAPITALS
    wide = cv2.getTextSize(name, FONT, scale, thickness)[0][0]
    if wide + 2 * around > most:
        scale *= max((most - 2 * around - 1) / wide, _NARROW)  # sizes are rounded
    (width, height), below = cv2.getTextSize(name, FONT, scale, thickness)
    box = 0, 0, width + 2 * around, height + below + 2 * around
    return Caption(name, box, (around, around + height), scale, thickness)


class _Places:
    """The places in a picture for names.

    A name takes whole cells of the grid, and its place is the first of them.
    """

    def __init__(self, found: ComponentMap, avoided: Sequence[Box]) -> None:
        self.found = found
        self.captions = list[Caption]()
        self.taken = list[Box]()  # by them, in cells
        self.lines = np.zeros_like(found.edges)
        self.kept = np.zeros_like(found.edges)
        for box in avoided:
            self.kept[window(found.in_cells(box))] = 1
        self.sized = functools.cache(self._sized)  # many names are of one size

    def take(self, one: Component, caption: Caption) -> None:
        """Add the caption at its component, where any place is free."""
        cell = self.found.cell
        _, _, width, height = self.found.in_cells(caption.box)
        far = self._far(one, (height, width))
        tried = list[tuple[int, Caption]]()
        while len(tried) < _TRIES and far.size and np.isfinite(far.flat[place := int(far.argmin())]):
            row, column = divmod(place, far.shape[1])
            moved = self._joined(one, caption.at(column * cell, row * cell))
            tried.append((self._crossed(moved), moved))
            if not tried[-1][0]:
                break
            far[window((column - width, row - height, column + width, row + height))] = np.inf
        if not tried:
            return
        _, best = min(tried, key=lambda pair: pair[0])
        self.captions.append(best)
        self.taken.append(self.found.in_cells(best.box))
        if best.line is not None:
            start, end = ((x // cell, y // cell) for x, y in best.line)
            cv2.line(self.lines, start, end, 1)
            self.sized.cache_clear()

    def _far(self, one: Component, size: Pair) -> NDArray[np.float32]:
        """How far from its component's box a name of that size counts at each place; inf: not free."""
        (height, width), (left, top, right, bottom) = size, one.box
        ground, inside = self.sized(size)
        rows, columns = (np.arange(count, dtype=np.float32) for count in ground.shape)
        above, below = top - height - rows, rows - bottom
        before, behind = left - width - columns, columns - right
        gaps = (np.maximum(np.maximum(*pair), 0) for pair in ((above, below), (before, behind)))
        down = _SHIFTED * np.abs(above - below) / 2 + np.where(below >= 0, _BELOW, 0)
        sides = np.where(behind >= 0, _RIGHT, 0) + np.where(before >= 0, _LEFT, 0)
        counted = _outer(down, _SHIFTED * np.abs(before - behind) / 2 + sides)
        far = np.sqrt(_outer(*(gap**2 for gap in gaps))) + counted + ground
        if height * width <= _COVERED * one.area:
            part = window(one.box)
            own = far[part]
            on = one.inside[: own.shape[0], : own.shape[1]] > 0
            own[on] = (_INSIDE + counted[part] + inside[part])[on]
        for start, first, stop, last in self.taken:
            far[window((start - width + 1, first - height + 1, stop, last))] = np.inf
        return far

    def _sized(self, size: Pair) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What places for names of that size cost besides: on any ground, and on the component itself.

        None crosses the rim of a component. On others, and in avoided boxes, it is farther than all else.
        """
        far = np.float32(2 * sum(self.kept.shape))
        held = np.where(self._shown(self.found.edges | self.lines, size) > 0, np.float32(np.inf), 0)
        inside = np.where(self._shown(self.kept, size) > 0, far, 0) + held
        areas = self.found.areas[: held.shape[0], : held.shape[1]]
        small = size[0] * size[1] > _COVERED * areas
        return inside + np.where(areas == 0, 0, np.where(small, np.float32(np.inf), far)), inside

    def _shown(self, cells: Cells, size: Pair) -> NDArray[np.int32]:
        """How many cells that are 1 a name of that size covers at each of its places inside the picture."""
        (height, width), (rows, columns) = size, self.found.whole
        if height > rows or width > columns:
            return np.zeros((0, 0), np.int32)
        sums = np.asarray(cv2.integral(cells[:rows, :columns]), np.int32)
        return (
            sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
        )

    def _joined(self, one: Component, caption: Caption) -> Caption:
        """The caption with a line to its component, unless it is near, and nearer than any other is."""
        cell, box = self.found.cell, self.found.in_cells(caption.box)
        gaps = one.gaps(box)
        reach = int(np.sqrt(gaps.min()))
        near = window(box, reach)
        others = (self.found.areas[near] > 0) & (self.found.cells[near] != one.label)
        if reach <= _NEAR and not others.any():
            return caption
        ends = [(other.line[1][0] // cell, other.line[1][1] // cell) for other in self.captions if other.line]
        x, y = (place * cell + cell // 2 for place in one.nearest(gaps, ends, _APART))
        left, top, right, bottom = caption.box
        start = min(max(x, left), right - 1), min(max(y, top), bottom - 1)
        return replace(caption, line=(start, (x, y)))

    def _crossed(self, caption: Caption) -> int:
        """How many names and lines its line crosses."""
        if caption.line is None:
            return 0
        count = 0
        for other in self.captions:
            left, top, right, bottom = other.box
            count += cv2.clipLine((left, top, right - left, bottom - top), *caption.line)[0]
            count += other.line is not None and _meet(caption.line, other.line)
        return count


def _outer(down: NDArray[np.float32], across: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sums (h, w) of one number for each row and one for each column."""
    return np.add.outer(down, across).astype(np.float32, copy=False)


def _meet(one: Line, other: Line) -> bool:
    """Whether two lines cross.

    >>> _meet(((0, 0), (4, 4)), ((0, 4), (4, 0))), _meet(((0, 0), (1, 1)), ((0, 4), (4, 0)))
    (True, False)
    """
    return all(_side(line, ends[0]) * _side(line, ends[1]) < 0 for line, ends in ((one, other), (other, one)))


def _side(line: Line, point: Pair) -> int:
    """On which side of a line a point lies: the sign of the number."""
    (left, top), (right, bottom) = line
    return (right - left) * (point[1] - top) - (bottom - top) * (point[0] - left)
