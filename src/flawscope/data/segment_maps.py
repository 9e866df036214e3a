"""Segment maps: files, mostly indexed PNG, whose pixels say which segment of the product is there. No torch.

A map divides pictures of one fixed camera into L mutually exclusive segments, 0 to L - 1, that cover every
pixel. Paint programs show a palette's colours and keep the indices, and the index is what counts.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from flawscope.errors import DataError, InputError
from flawscope.files import write_atomically
from flawscope.runtime.decoding import Opened, damage_named, opened
from flawscope.runtime.images import PIXEL_LIMIT, Frame, size_of
from flawscope.runtime.tiling import Tile

Labels = NDArray[np.uint8]
Size = tuple[int, int]  # height, width

MOST_SEGMENTS = 64
SAME_PROPORTIONS = 0.01
_FIRST_COLOURS = (
    (104, 112, 120),  # grey: the largest segment is mostly ground
    (0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167),
    (86, 180, 233), (213, 94, 0), (240, 228, 66),
)  # fmt: skip
_GOLDEN = 0.6180339887498949
_LIGHTNESS = ((0.95, 0.75), (0.6, 0.9), (0.95, 0.4), (0.4, 0.7))  # value, saturation


def segment_colours(count: int) -> NDArray[np.uint8]:
    """Distinct colours of segments 0 to `count` - 1, (count, 3) RGB; the first eight for any colour vision.

    Those after grey are the palette of Okabe and Ito; the others walk round the hues by the golden ratio.
    """
    colours = list(_FIRST_COLOURS)
    for index in range(count - len(colours)):
        value, saturation = _LIGHTNESS[index % len(_LIGHTNESS)]
        shade = colorsys.hsv_to_rgb((0.05 + index * _GOLDEN) % 1.0, saturation, value)
        colours.append(tuple(round(255 * channel) for channel in shade))  # type: ignore[arg-type]
    return np.array(colours[:count], np.uint8).reshape(-1, 3)


def write_segment_map(path: Path, labels: Labels) -> None:
    """Write labels (H, W) as an indexed PNG, index = label, with a palette of 64 colours to paint with.

    Raises:
        DataError: labels that `read_segment_map` would refuse.
        OutputError: the file cannot be written.
    """
    _check_range(path, labels)
    _check_gaps(path, labels)
    image = Image.fromarray(np.ascontiguousarray(labels, np.uint8)).convert("L")
    image.putpalette(segment_colours(MOST_SEGMENTS).tobytes())
    with write_atomically(path) as stream:
        image.save(stream, format="PNG", optimize=True)


def read_segment_map(path: Path) -> Labels:
    """Labels (H, W) of an indexed or 8-bit grey PNG, which shows every segment.

    Raises:
        InputError: the file is missing, no picture, damaged, or larger than pictures may be.
        DataError: no PNG, neither indexed nor 8-bit grey, more than 64 segments, an index without a colour,
            or gaps in the indices.
    """
    labels = _read_png(Path(path))
    _check_gaps(path, labels)
    return labels


def read_labels(path: Path) -> Labels:
    """Labels (H, W) of one picture, which need not show every segment.

    Args:
        path: an indexed or 8-bit grey PNG, or a NumPy file (.npy) of whole numbers (H, W).

    Raises:
        InputError: as `read_segment_map`; a NumPy file that cannot be read without unpickling.
        DataError: as `read_segment_map`, but for gaps; an array of another shape, or of no whole numbers.
    """
    if path.suffix.lower() != ".npy":
        return _read_png(path)
    try:
        kept = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"segment map {path}",
            expected="a NumPy file of whole numbers",
            got="nothing there" if isinstance(error, FileNotFoundError) else "one that NumPy cannot read",
            fix="Write it with numpy.save.",
        ) from error
    shape = getattr(kept, "shape", ())
    fits = len(shape) == 2 and 0 < kept.size <= PIXEL_LIMIT and kept.dtype.kind in "biuf"
    if not fits or not (np.isfinite(kept).all() and np.array_equal(kept, np.trunc(kept))):
        raise DataError(
            f"segment map {path}",
            expected="whole numbers (height, width)",
            got=f"{kept.dtype} {tuple(shape)}" if shape else "no array",
            fix="Write the labels of one picture, as numpy.uint8.",
        )
    _check_range(path, kept)
    return np.asarray(kept, np.uint8)


def _read_png(path: Path) -> Labels:
    if not path.is_file():
        raise InputError(
            f"segment map {path}",
            expected="an indexed PNG file",
            got="a folder" if path.exists() else "nothing there",
            fix="Correct the path, or draft a map: flawscope segments draft.",
        )
    with opened(path, PIXEL_LIMIT) as (found, _, _):
        image = _checked_kind(path, found)
        with damage_named(f"segment map {path}"):
            image.load()
            labels = np.array(image, np.uint8)  # (H, W)
        known = len(image.palette.palette) // 3 if image.palette else MOST_SEGMENTS
    _check_range(path, labels, min(known, MOST_SEGMENTS))
    return labels


def shares_of(labels: NDArray[np.integer], count: int | None = None) -> NDArray[np.float64]:
    """Share of the pixels that each segment takes, (L,), summing to 1."""
    counts = np.bincount(labels.ravel(), minlength=count or 0)
    return counts / labels.size


def picture_size(path: Path) -> Size:
    """Height and width of a picture after orientation, from its header.

    Raises:
        InputError: the file is missing or no picture.
    """
    return size_of(path)


def common_size(paths: Iterable[Path]) -> Size:
    """The one size that all pictures have.

    Raises:
        InputError: a picture that cannot be read.
        DataError: two pictures of different sizes, both named.
    """
    seen: dict[Size, Path] = {}
    for path in paths:
        seen.setdefault(picture_size(path), path)
        if len(seen) > 1:
            raise DataError(
                "pictures of one segment map",
                expected="one size, for a static map needs a fixed camera",
                got=" and ".join(f"{_text(size)} of {first}" for size, first in seen.items()),
                fix="Keep pictures of one camera, or name a size to stretch them to (--size 256x256).",
            )
    if not seen:
        raise DataError("pictures", expected="at least one", got="none", fix="Name a folder of pictures.")
    return next(iter(seen))


def check_map_fits(path: Path, size: Size, pictures: Iterable[Path], frame: Frame | None = None) -> None:
    """Let a map of `size` pass only for pictures of its size, or of its proportions within 1 %.

    A map of the very size of a `frame` that stretches fits all pictures: it was drawn on stretched ones.

    Raises:
        InputError: a picture that cannot be read.
        DataError: a picture that the map does not fit.
    """
    stretched = frame if frame is not None and frame.aspect == "stretch" else None
    if stretched is not None and size == (stretched.height, stretched.width):
        return
    drawn = "" if stretched is None else f", or {stretched.width}x{stretched.height}"
    for picture in pictures:
        height, width = picture_size(picture)
        proportion = (width / height) / (size[1] / size[0])
        if abs(proportion - 1.0) > SAME_PROPORTIONS:
            raise DataError(
                f"segment map {path}",
                expected=f"the size of the pictures ({_text((height, width))} of {picture}), "
                f"their proportions within 1 %{drawn}",
                got=_text(size),
                fix="Draw it on one of the pictures, or at the size that they are stretched to.",
            )


def to_frame_size(labels: Labels, frame: Frame, tile: Tile | None = None) -> Labels:
    """The map (H, W) as pictures reach a detector: (height, width), nearest pixel, padding as its edge.

    With `tile`, the part of the map that this tile of the picture shows, resized where the frame has another
    size than the tile. The map may lie at the size at which the picture is cut.
    """
    placement = frame.placement(*labels.shape) if tile is None else tile.placement
    inner = resized(labels, placement.inner)
    if not placement.whole:
        left, top = (max(-start, 0) for start in placement.corner[::-1])
        rows, columns = placement.shown
        inner = inner[top : top + rows.stop - rows.start, left : left + columns.stop - columns.start]
    return resized(np.pad(inner, placement.padding, mode="edge"), (frame.height, frame.width))


def resized(labels: Labels, size: Size) -> Labels:
    """The map (H, W) at a size, each pixel as the nearest one; the same where it has that size."""
    if labels.shape == size:
        return labels
    return np.asarray(cv2.resize(labels, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)


def _text(size: Size) -> str:
    """Width x height, as people and paint programs say it."""
    return f"{size[1]}x{size[0]}"


def _checked_kind(path: Path, image: Opened) -> PngImageFile:
    """The picture, as a PNG whose values are indices."""
    kind = f"a {image.format}"
    if isinstance(image, PngImageFile):
        grey = image.mode == "L" and image.tile and ";" not in str(image.tile[0].args)
        if image.mode == "P" or grey:
            return image
        fewer = image.mode == "L"
        kind = "a PNG of fewer than 8 bits of grey" if fewer else f"a PNG of pixel type {image.mode}"
    raise DataError(
        f"segment map {path}",
        expected="an indexed (palette) PNG, or one of 8 bits of grey whose values are the indices",
        got=kind,
        fix="Save it with a palette (GIMP: Image, Mode, Indexed), index 0 for segment 0 and so on.",
    )


def _check_range(path: Path, labels: NDArray[np.generic], known: int = MOST_SEGMENTS) -> None:
    """No index below 0 or from `known` on."""
    lowest, highest = int(labels.min()), int(labels.max())
    if highest >= known or lowest < 0:
        wrong = highest if highest >= known else lowest
        limit = f"at most {MOST_SEGMENTS} segments" if known == MOST_SEGMENTS else "those of its palette"
        raise DataError(
            f"segment map {path}",
            expected=f"indices from 0 to {known - 1} ({limit})",
            got=f"index {wrong} in {pixels_of(labels, wrong)}",
            fix="Paint without soft edges, and with the indices of the segments only.",
        )


def _check_gaps(path: Path, labels: NDArray[np.integer]) -> None:
    """Every index from 0 to the highest must occur."""
    present = np.unique(labels)
    highest = int(present[-1])
    missing = sorted({*range(highest)} - {int(index) for index in present})
    if missing:
        names = ", ".join(str(index) for index in missing[:8]) + (", ..." if len(missing) > 8 else "")
        raise DataError(
            f"segment map {path}",
            expected=f"every index from 0 to {highest}",
            got=f"no pixel of index {names}, but index {highest} in {pixels_of(labels, highest)}",
            fix="Number the segments without gaps, or paint over a slip of the brush.",
        )


def pixels_of(labels: NDArray[np.generic], index: int) -> str:
    """How many pixels have the index, and the first of them, for a person who looks for it."""
    rows, columns = np.nonzero(labels == index)
    return f"{len(rows)} pixels, the first at x {columns[0]}, y {rows[0]}"
