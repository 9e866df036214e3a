"""Where annotated defect areas come from: mask pictures and LabelMe polygons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flawscope.data.samples import Sample
from flawscope.data.tables import malformed, read_json
from flawscope.errors import DataError
from flawscope.runtime.images import read_image

MAX_SIDE = 2**15 - 1


@dataclass(frozen=True, slots=True)
class Saturation:
    """From how many pixels on an area counts as found in full (Bergmann et al., IJCV 2022, section 4).

    `threshold` is a number of pixels, or a share of the area where `relative`.

    >>> Saturation(400.0, relative=False).of(1000), Saturation(400.0, relative=False).of(100)
    (400.0, 100.0)
    >>> Saturation(0.5, relative=True).of(1000)
    500.0
    """

    threshold: float
    relative: bool

    def of(self, area: int) -> float:
        """Pixels at which an area of `area` pixels is found in full; never more than the area."""
        return min(self.threshold * area if self.relative else self.threshold, float(area))


@dataclass(frozen=True, slots=True)
class MaskFile:
    """A mask picture: pixels above `threshold` in any channel are defect.

    `table` gives the saturation by the grey value that the area is drawn in (MVTec LOCO); empty where the
    data set sets none.
    """

    path: Path
    threshold: int = 0
    table: Mapping[int, Saturation] = field(default_factory=dict, hash=False)

    def read(self, height: int, width: int) -> NDArray[np.bool_]:
        """The area as (height, width) bool.

        Raises:
            DataError: the mask has another size than its picture.
            InputError: the file cannot be read as a picture.
        """
        pixels = read_image(self.path)  # (H, W, C)
        if pixels.shape[:2] != (height, width):
            raise _size_error(self.path, pixels.shape[:2], (height, width))
        area: NDArray[np.bool_] = np.any(pixels > self.threshold, axis=2)  # (H, W)
        return area

    def saturation(self, area: int) -> float:
        """Pixels at which the area counts as found in full; `area` where the data set sets nothing.

        Raises:
            DataError: the mask is drawn in a value that the data set's table does not list.
        """
        if not self.table:
            return float(area)
        value = int(read_image(self.path).max())
        if value not in self.table:
            known = ", ".join(str(known) for known in sorted(self.table))
            raise DataError(
                f"mask {self.path}",
                expected=f"one of the grey values {known} that defects_config.json lists",
                got=str(value),
                fix="Fetch the data set again.",
            )
        return self.table[value].of(area)


@dataclass(frozen=True, slots=True)
class Polygons:
    """Polygons of one LabelMe file; their union is the area.

    `shapes` are corners (x, y) in pixels, `labels` the name of each, `height` and `width` the picture's size
    as the file states it.
    """

    path: Path
    shapes: tuple[tuple[tuple[float, float], ...], ...]
    labels: tuple[str, ...]
    height: int
    width: int

    @classmethod
    def from_labelme(cls, path: Path) -> Polygons:
        """Parse a LabelMe JSON.

        Raises:
            DataError: no JSON, no picture size, or a shape that is no polygon of finite corners.
        """
        content = read_json(path)
        shapes = content.get("shapes") if isinstance(content, dict) else None
        if not isinstance(shapes, list):
            raise malformed(path, 1, "an object with a list of shapes", repr(content)[:80])
        height, width = (_side(path, content, key) for key in ("imageHeight", "imageWidth"))
        corners = tuple(_corners(path, f"shape {index + 1}", shape) for index, shape in enumerate(shapes))
        labels = tuple(str(shape.get("label", "defect")) for shape in shapes)
        return cls(path, corners, labels, height, width)

    def read(self, height: int, width: int) -> NDArray[np.bool_]:
        """The area as (height, width) bool.

        Raises:
            DataError: the file states another picture size.
        """
        if (self.height, self.width) != (height, width):
            raise _size_error(self.path, (self.height, self.width), (height, width))
        area = np.zeros((height, width), np.uint8)
        for shape in self.shapes:
            cv2.fillPoly(area, [np.rint(np.asarray(shape)).astype(np.int32)], color=1)
        return area.astype(np.bool_)

    def saturation(self, area: int) -> float:
        """See `MaskSource.saturation`: LabelMe sets none."""
        return float(area)


def union_mask(sample: Sample, height: int, width: int) -> NDArray[np.bool_]:
    """All annotated areas of a sample together, (height, width) bool; all False where it has none.

    Raises:
        DataError: a mask has another size than the picture.
    """
    union = np.zeros((height, width), np.bool_)
    for mask in sample.masks:
        union |= mask.read(height, width)
    return union


def defect_areas(sample: Sample, height: int, width: int) -> Iterator[tuple[NDArray[np.bool_], float]]:
    """Each annotated area that is not empty, with its saturation in pixels, as sPRO wants them.

    Yields:
        (height, width) bool and the number of pixels at which that area counts as found in full.
    """
    for mask in sample.masks:
        area = mask.read(height, width)
        size = int(np.count_nonzero(area))
        if size:
            yield area, mask.saturation(size)


def _size_error(path: Path, size: tuple[int, int], wanted: tuple[int, int]) -> DataError:
    got, expected = (f"{width}x{height}" for height, width in (size, wanted))
    fix = "Annotate the picture again, or remove the mask."
    return DataError(f"mask {path}", expected=f"the picture's size, {expected}", got=got, fix=fix)


def _side(path: Path, content: dict[str, Any], key: str) -> int:
    side = content.get(key)
    if isinstance(side, bool) or not isinstance(side, int) or not 0 < side <= MAX_SIDE:
        raise malformed(path, key, f"whole pixels from 1 to {MAX_SIDE}", repr(side)[:80])
    return side


def _corners(path: Path, place: str, shape: Any) -> tuple[tuple[float, float], ...]:
    if not isinstance(shape, dict) or shape.get("shape_type", "polygon") != "polygon":
        raise malformed(path, place, "a polygon", repr(shape)[:80])
    try:
        corners = np.asarray(shape.get("points"), np.float64)
    except (TypeError, ValueError, OverflowError):
        corners = np.empty(0)
    pairs = corners.ndim == 2 and corners.shape[1] == 2
    if not pairs or len(corners) < 3 or not (np.abs(corners) < MAX_SIDE).all():
        raise malformed(path, place, "at least three corners [x, y]", repr(shape.get("points"))[:80])
    return tuple((float(x), float(y)) for x, y in corners)
