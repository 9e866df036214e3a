"""Defect areas in LabelMe files: every shape type that LabelMe draws; what cannot be drawn is named.

Lines, points and circles become areas as LabelMe's own `shape_to_mask` makes them (labelme/utils/shape.py):
lines 10 pixels wide, points discs of 5 pixels radius, circles by their centre and a point on them.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flawscope.data.masks import marked, size_error
from flawscope.data.tables import composed, malformed, read_json, whole
from flawscope.errors import DataError, InputError
from flawscope.runtime.images import read_image

MAX_SIDE = 2**15 - 1
LINE_WIDTH = 10
POINT_RADIUS = 5
_SLACK = 1  # pixels by which programs differ that count the last one in or out

Points = NDArray[np.float64]  # (n, 2): x, y
Canvas = NDArray[np.uint8]  # (H, W), drawn into


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


@dataclass(frozen=True, slots=True)
class LabelMe:
    """The shapes of one LabelMe file; their union is the area.

    Attributes:
        path: the file.
        shapes: those that can be drawn.
        skipped: for each other one which it is and why it cannot, in a few words.
        height, width: the picture's size as the file states it; None where it does not.
    """

    path: Path
    shapes: tuple[Shape, ...]
    skipped: tuple[str, ...] = ()
    height: int | None = None
    width: int | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """The name of each shape."""
        return tuple(shape.label for shape in self.shapes)

    @classmethod
    def parse(cls, path: Path) -> LabelMe:
        """Read a LabelMe JSON; a shape that cannot be drawn is skipped and named.

        Raises:
            DataError: no JSON, or none with a list of shapes.
        """
        return cls.of(path, read_json(path))

    @classmethod
    def of(cls, path: Path, content: Any) -> LabelMe:
        """`parse`, of what the file at `path` holds."""
        shapes = content.get("shapes") if isinstance(content, dict) else None
        if not isinstance(shapes, list):
            raise malformed(path, 1, "an object with a list of shapes", repr(content)[:80])
        read, skipped = list[Shape](), list[str]()
        for number, shape in enumerate(shapes, 1):
            try:
                read.append(_shape(shape))
            except _Undrawn as reason:
                skipped.append(f"shape {number}, {reason}")
        height, width = (_side(content.get(key)) for key in ("imageHeight", "imageWidth"))
        return cls(path, tuple(read), tuple(skipped), height, width)

    def misfit(self, height: int, width: int) -> DataError | None:
        """Why the shapes belong to a picture of another size; None where nothing tells.

        The file states its picture's size; where it does not, masks that reach beyond this one tell it.
        """
        stated = self.height or height, self.width or width
        if stated != (height, width):
            return size_error(self.path, stated, (height, width))
        if None in (self.height, self.width):
            for shape in self.shapes:
                if (box := _mask_box(shape)) and _beyond(box, height, width):
                    got = f"a mask of {shape.label} from {box[:2]} to {box[2:]}"
                    fix = "Annotate this picture at its own size, or remove the shape."
                    where = f"masks inside the picture's {width}x{height}"
                    return DataError(f"mask {self.path}", expected=where, got=got, fix=fix)
        return None

    def read(self, height: int, width: int) -> NDArray[np.bool_]:
        """The area as (height, width) bool.

        Raises:
            DataError: as `misfit` tells.
        """
        if error := self.misfit(height, width):
            raise error
        canvas = np.zeros((height, width), np.uint8)
        for shape in self.shapes:
            _draw(canvas, shape)
        return canvas.astype(np.bool_)

    def saturation(self, area: int) -> float:
        """See `MaskSource.saturation`: LabelMe sets none."""
        return float(area)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An annotation whose file could not be parsed; reading it raises that error."""

    path: Path
    error: DataError

    def read(self, height: int, width: int) -> NDArray[np.bool_]:
        """Never an area.

        Raises:
            DataError: what was wrong with the file.
        """
        del height, width
        raise self.error

    def saturation(self, area: int) -> float:
        """See `MaskSource.saturation`."""
        return float(area)


def annotation(path: Path) -> LabelMe | Unreadable | None:
    """The shapes of a JSON file; None for one of another kind, that holds no shapes."""
    try:
        content = read_json(path)
        if not isinstance(content, dict) or "shapes" not in content:
            return None
        return LabelMe.of(path, content)
    except DataError as error:
        return Unreadable(path, error)


class _Undrawn(Exception):  # noqa: N818 - why a shape is skipped
    pass


def _side(side: Any) -> int | None:
    known = whole(side)
    return known if known is not None and 0 < known <= MAX_SIDE else None


# Shape types with the fewest and most points they may have, by LabelMe and the programs that write its files.
_FEWEST = {
    "polygon": 3, "rectangle": 2, "oriented_rectangle": 3, "rotation": 3, "quadrilateral": 3, "circle": 2,
    "line": 2, "linestrip": 2, "point": 1, "points": 1, "mask": 2,
}  # fmt: skip
_MOST = {"circle": 2, "mask": 2, "point": 1}


def _shape(shape: Any) -> Shape:
    if not isinstance(shape, dict):
        raise _Undrawn(f"no shape: {repr(shape)[:40]}")
    kind = shape.get("shape_type") or "polygon"
    if not isinstance(kind, str) or kind not in _FEWEST:
        raise _Undrawn(f"{str(kind)[:40]}: a shape type that is not read")
    points = _points(shape.get("points"))
    few, most = _FEWEST[kind], _MOST.get(kind, len(points))
    if not few <= len(points) <= most:
        raise _Undrawn(f"{kind}: {len(points)} points")
    label = composed(str(shape.get("label") or "")).strip() or "defect"
    pixels = _pixels(shape.get("mask"), points) if kind == "mask" else None
    corners = tuple((float(x), float(y)) for x, y in points)
    return Shape(kind, corners, label, whole(shape.get("group_id")), pixels)


def _points(given: Any) -> Points:
    try:
        points = np.asarray(given, np.float64)
    except (TypeError, ValueError, OverflowError):
        points = np.empty(0)
    if points.ndim != 2 or points.shape[1] != 2 or not (np.abs(points) < MAX_SIDE).all():
        raise _Undrawn(f"points that are no pairs [x, y] in a picture: {repr(given)[:40]}")
    return points


def _pixels(text: Any, corners: Points) -> NDArray[np.bool_]:
    """The mask (h, w) that a file holds as PNG in base64, which fills the box of its two corners."""
    try:
        image = read_image(base64.b64decode(text, validate=True))
    except (TypeError, ValueError, binascii.Error) as error:
        raise _Undrawn("mask: no PNG in base64") from error
    except InputError as error:
        raise _Undrawn(f"mask: no PNG in base64 of {error.expected}, but {error.got}") from error
    (left, top), (right, bottom) = np.rint(corners.min(axis=0)), np.rint(corners.max(axis=0))
    (height, width), box = image.shape[:2], (int(bottom - top) + 1, int(right - left) + 1)
    if abs(height - box[0]) > _SLACK or abs(width - box[1]) > _SLACK:
        raise _Undrawn(f"mask: {width}x{height} pixels in a box of {box[1]}x{box[0]}")
    return marked(image.max(axis=2))


def _draw(canvas: Canvas, shape: Shape) -> None:
    points = np.asarray(shape.points)
    _DRAWN.get(shape.kind, _polygon)(canvas, points)
    if shape.pixels is not None:
        _paste(canvas, shape.pixels, *_corner(shape))


def _mask_box(shape: Shape) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom of a mask, the last two exclusive; None for other shapes."""
    if shape.pixels is None:
        return None
    (left, top), (height, width) = _corner(shape), shape.pixels.shape
    return left, top, left + width, top + height


def _beyond(box: tuple[int, int, int, int], height: int, width: int) -> bool:
    """Whether a box clearly reaches out of a picture."""
    left, top, right, bottom = box
    return min(left, top) < -_SLACK or right > width + _SLACK or bottom > height + _SLACK


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
