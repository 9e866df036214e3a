"""Annotated defect areas: mask pictures, read whoever drew them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flawscope.data.samples import Sample
from flawscope.errors import DataError
from flawscope.runtime.decoding import damage_named, opened, orientation_of, oriented
from flawscope.runtime.images import PIXEL_LIMIT, read_image
from flawscope.runtime.tiff import DeepTiff

_CLASSES = 32  # masks that stay below number their classes
_FEW_VALUES = 16  # more come from soft edges or from JPEG
_INVERTED, _BORDER = 0.5, 0.9  # shares of a picture and of its border that a mask seldom marks
_NOISE = 16  # of JPEG, in grey levels of 255


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
    """A mask picture.

    Pixels above `threshold` in any channel are defect; None reads the mask as `marked` does, whoever drew it.
    `table` gives the saturation by the grey value that the area is drawn in (MVTec LOCO); empty where the
    data set sets none.
    """

    path: Path
    threshold: int | None = None
    table: Mapping[int, Saturation] = field(default_factory=dict, hash=False)

    def read(self, height: int, width: int) -> NDArray[np.bool_]:
        """The area as (height, width) bool.

        Raises:
            DataError: the mask has another size than its picture.
            InputError: the file cannot be read as a picture.
        """
        values = _values(self.path)
        if values.shape != (height, width):
            raise size_error(self.path, (values.shape[0], values.shape[1]), (height, width))
        return marked(values) if self.threshold is None else np.asarray(values > self.threshold)

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


def size_error(path: Path, size: tuple[int, int], wanted: tuple[int, int]) -> DataError:
    """The error for a mask at `path` of another (height, width) than its picture."""
    got, expected = (f"{width}x{height}" for height, width in (size, wanted))
    fix = "Annotate the picture again, or remove the mask."
    return DataError(f"mask {path}", expected=f"the picture's size, {expected}", got=got, fix=fix)


def marked(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which pixels of a mask (H, W) uint8, uint16 or float mean a defect, whoever drew it; (H, W) bool.

    Above half the range: masks with soft edges and masks saved as JPEG keep their outline. A mask whose
    highest value is below that is cut at half of that value, and one that never reaches 32 holds numbers of
    classes, 0 and 1 among them: all above 0 count. Where a mask has few values, areas drawn in a low one,
    as masks of several classes have them, count too; seams that a resize leaves round an area do not. Numbers
    with fractions are cut at half of the highest.
    """
    if values.dtype.kind == "f":
        numbers = np.nan_to_num(values, posinf=0, neginf=0)
        whole = np.clip(numbers, 0, np.iinfo(np.uint16).max).astype(np.uint16)
        if not np.array_equal(whole, numbers):
            return np.asarray(numbers > max(float(numbers.max()) / 2, 0.0))
        values = whole
    top, full = int(values.max(initial=0)), int(np.iinfo(values.dtype).max)
    if top < _CLASSES:
        return np.asarray(values > 0)
    half = full // 2 if top > full // 2 else top // 2
    area = np.asarray(values > half)
    counts = np.bincount(values.ravel())
    low = np.flatnonzero(counts[: half + 1])
    if np.count_nonzero(counts) <= _FEW_VALUES:
        for value in low[low >= _NOISE]:
            area |= _drawn_in(values == value, values > value)
    return area


def seems_inverted(area: NDArray[np.bool_]) -> bool:
    """Whether an area (H, W) is most of a picture and nearly all of its border: the ground, not the flaw."""
    border = np.concatenate([area[0], area[-1], area[:, 0], area[:, -1]])
    return bool(area.mean() > _INVERTED and border.mean() > _BORDER)


def _drawn_in(level: NDArray[np.bool_], above: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Those areas of one value, (H, W), that are solid, or border on nothing higher."""
    count, parts = cv2.connectedComponents(level.astype(np.uint8), connectivity=8)
    square = np.ones((3, 3), np.uint8)
    solid = cv2.erode(level.astype(np.uint8), square, borderValue=0).astype(np.bool_)
    kept = np.zeros(count, np.bool_)
    kept[parts[solid]] = True
    alone = np.ones(count, np.bool_)
    alone[parts[cv2.dilate(above.astype(np.uint8), square).astype(np.bool_)]] = False
    return np.asarray((kept | alone)[parts] & level)


def _values(path: Path) -> NDArray[Any]:
    """A mask's values, (H, W): the strongest channel; the opacity where that is black or a photograph."""
    values = read_image(path).max(axis=2)  # (H, W, C) -> (H, W)
    if values.any() and len(np.unique(values)) <= _FEW_VALUES:
        return np.asarray(values)
    with opened(path, PIXEL_LIMIT) as (image, stream, name), damage_named(name):
        if isinstance(image, DeepTiff) or not image.has_transparency_data:
            return np.asarray(values)
        orientation = orientation_of(image, stream)
        alpha = np.asarray(image.convert("RGBA"))[..., 3:]  # (H, W, 1)
    alpha = oriented(alpha, orientation)[..., 0]
    return np.asarray(values if alpha.min() == alpha.max() else alpha)
