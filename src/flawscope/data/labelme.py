"""Defect areas in LabelMe files: every shape type that LabelMe draws; what cannot be drawn is named."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flawscope.data.labelme_shapes import Box, Canvas, Points, Shape, draw, mask_box, reach
from flawscope.data.masks import marked, size_error
from flawscope.data.tables import composed, malformed, read_json, whole
from flawscope.errors import DataError, InputError
from flawscope.runtime.images import read_image

MAX_SIDE = 2**15 - 1
_SLACK = 1  # pixels by which programs differ that count the last one in or out


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
                if (box := mask_box(shape)) and _beyond(box, height, width):
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
        self.draw(canvas)
        return canvas.astype(np.bool_)

    def draw(self, canvas: Canvas) -> Box:
        """Mark the area with 1 on a canvas (H, W) of the picture's size; the box that it lies in.

        Raises:
            DataError: as `misfit` tells.
        """
        height, width = canvas.shape
        if error := self.misfit(height, width):
            raise error
        for shape in self.shapes:
            draw(canvas, shape)
        return reach(self.shapes, height, width)

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


def _beyond(box: tuple[int, int, int, int], height: int, width: int) -> bool:
    """Whether a box clearly reaches out of a picture."""
    left, top, right, bottom = box
    return min(left, top) < -_SLACK or right > width + _SLACK or bottom > height + _SLACK
