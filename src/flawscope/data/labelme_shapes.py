"""Shapes of LabelMe files, and how they are drawn.

Lines, points and circles become areas as LabelMe's own `shape_to_mask` makes them (labelme/utils/shape.py):
lines 10 pixels wide, points discs of 5 pixels radius, circles by their centre and a point on them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

LINE_WIDTH = 10
POINT_RADIUS = 5
_MARGIN = 2  # pixels by which rounding and a last pixel may lead further
_AROUND = {"line": LINE_WIDTH, "linestrip": LINE_WIDTH, "point": POINT_RADIUS, "points": POINT_RADIUS}

Points = NDArray[np.float64]  # (n, 2): x, y
Canvas = NDArray[np.uint8]  # (H, W), drawn into
Box = tuple[slice, slice]  # rows and columns of a picture


@dataclass(frozen=True, slots=True)
class Shape:
    """One shape: how it is drawn, its points (x, y) in pixels, and for `mask` its pixels (h, w).

    Shapes of one `group` and label are pieces of one thing; None: a thing of its own.
    """

    kind: str
    points: tuple[tuple[float, float], ...]
    label: str = "defect"
    group: int | None = None
    pixels: NDArray[np.bool_] | None = field(default=None, compare=False)


def draw(canvas: Canvas, shape: Shape) -> None:
    """Mark a shape with 1, as far as it lies on the canvas."""
    points = np.asarray(shape.points)
    _DRAWN.get(shape.kind, _polygon)(canvas, points)
    if shape.pixels is not None:
        _paste(canvas, shape.pixels, *_corner(shape))


def mask_box(shape: Shape) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom of a mask, the last two exclusive; None for other shapes."""
    if shape.pixels is None:
        return None
    (left, top), (height, width) = _corner(shape), shape.pixels.shape
    return left, top, left + width, top + height


def reach(shapes: Iterable[Shape], height: int, width: int) -> Box:
    """Rows and columns of a picture beyond which `draw` leaves the shapes no pixel."""
    ends = np.array([_ends(shape) for shape in shapes]).reshape(-1, 4)  # left, top, right, bottom
    if not len(ends):
        return np.s_[0:0, 0:0]
    left, top = np.floor(np.maximum(ends[:, :2].min(0), 0)).astype(int).tolist()
    right, bottom = np.ceil(np.minimum(ends[:, 2:].max(0), (width, height))).astype(int).tolist()
    return np.s_[top : max(top, bottom), left : max(left, right)]


def _ends(shape: Shape) -> tuple[float, float, float, float]:
    """Left, top, right and bottom that a shape never passes."""
    if (box := mask_box(shape)) is not None:
        return box
    points = np.asarray(shape.points)
    around = float(_AROUND.get(shape.kind, 0) + _MARGIN)
    if shape.kind == "circle":
        around, points = math.dist(*points) + _MARGIN, points[:1]
    (left, top), (right, bottom) = points.min(axis=0) - around, points.max(axis=0) + around
    return left, top, right, bottom


def _corner(shape: Shape) -> tuple[int, int]:
    """Left and top of a shape, in whole pixels."""
    left, top = np.rint(np.asarray(shape.points).min(axis=0)).astype(int)
    return int(left), int(top)


def _polygon(canvas: Canvas, points: Points) -> None:
    cv2.fillPoly(canvas, [np.rint(points).astype(np.int32)], color=1)


def _rectangle(canvas: Canvas, points: Points) -> None:
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    _polygon(canvas, np.array([(left, top), (right, top), (right, bottom), (left, bottom)]))


def _circle(canvas: Canvas, points: Points) -> None:
    _disc(canvas, points[0], math.dist(points[0], points[1]))


def _points_drawn(canvas: Canvas, points: Points) -> None:
    for point in points:
        _disc(canvas, point, POINT_RADIUS)


def _line(canvas: Canvas, points: Points) -> None:
    corners = np.rint(points).astype(np.int32)
    cv2.polylines(canvas, [corners], isClosed=False, color=1, thickness=LINE_WIDTH)


def _disc(canvas: Canvas, centre: Points, radius: float) -> None:
    first = np.maximum(np.floor(centre - radius), 0).astype(int)  # x, y
    last = np.minimum(np.ceil(centre + radius) + 1, canvas.shape[::-1]).astype(int)
    rows, columns = np.ogrid[first[1] : last[1], first[0] : last[0]]
    inside = (columns - centre[0]) ** 2 + (rows - centre[1]) ** 2 <= radius**2
    canvas[first[1] : last[1], first[0] : last[0]][inside] = 1


def _nothing(canvas: Canvas, points: Points) -> None:
    del canvas, points


_DRAWN: dict[str, Callable[[Canvas, Points], None]] = {
    "rectangle": _rectangle, "circle": _circle, "line": _line, "linestrip": _line,
    "point": _points_drawn, "points": _points_drawn, "mask": _nothing,
}  # fmt: skip


def _paste(canvas: Canvas, pixels: NDArray[np.bool_], left: int, top: int) -> None:
    """Mark `pixels` (h, w) with their corner at (left, top), cut at the borders."""
    height, width = canvas.shape
    high, wide = pixels.shape
    rows = slice(max(top, 0), min(top + high, height))
    columns = slice(max(left, 0), min(left + wide, width))
    if rows.start < rows.stop and columns.start < columns.stop:
        inner = pixels[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        canvas[rows, columns] |= inner.astype(np.uint8)
