"""Heatmaps and regions drawn on pictures, and pictures written for people to look at."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flawscope.errors import OutputError
from flawscope.files import write_atomically
from flawscope.runtime.captions import FONT, Caption, captions
from flawscope.runtime.component_map import Told
from flawscope.runtime.images import between
from flawscope.runtime.placement import Box
from flawscope.runtime.prediction import Region
from flawscope.runtime.resize import resize_planes

Picture = NDArray[np.uint8]

_STRONGEST = 0.8  # opacity of the highest value: the part stays visible under its own defect
_FIRST_COLOUR = 0.3  # inferno begins black; what is drawn starts at its purple
_LINE, _RIM, _SEGMENT = (255, 255, 255), (20, 20, 20), (0, 205, 235)
_AT_ONCE = 1 << 22  # pixels of a heatmap that are copied at a time


def to_bytes(pixels: NDArray[np.float32]) -> Picture:
    """Pixels (3, H, W) in [0, 1], values beyond cut off, as a picture (H, W, 3) of 8 bits."""
    whole = (np.clip(pixels, 0, 1) * 255 + 0.5).astype(np.uint8)
    return np.ascontiguousarray(whole.transpose(1, 2, 0))


def find_regions(
    heatmap: NDArray[np.float32], threshold: float, *, minimum_area: int = 1, most: int = 10
) -> tuple[Region, ...]:
    """Connected areas (8 neighbours) of a heatmap (H, W) strictly above `threshold`, highest peak first.

    Areas below `minimum_area` pixels are left out, and so is all beyond the first `most`.
    """
    mask = heatmap > threshold
    if not mask.any():
        return ()
    count, found, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    labels = np.asarray(found, np.int32)
    peaks = np.full(count, -np.inf)
    for start in range(0, len(mask), rows := max(1, _AT_ONCE // mask.shape[1])):
        part = np.s_[start : start + rows]
        np.maximum.at(peaks, labels[part][mask[part]], heatmap[part][mask[part]])
    kept = [label for label in range(1, count) if stats[label, cv2.CC_STAT_AREA] >= minimum_area]
    kept.sort(key=lambda label: (-peaks[label], label))
    return tuple(_region(heatmap, labels, label, stats[label]) for label in kept[:most])


def _region(heatmap: NDArray[np.float32], labels: NDArray[Any], label: int, stats: NDArray[Any]) -> Region:
    left, top, width, height, area = (int(value) for value in stats)
    window = np.s_[top : top + height, left : left + width]
    values = np.where(labels[window] == label, heatmap[window], -np.inf)
    row, column = divmod(int(values.argmax()), width)
    return Region(
        box=(left, top, left + width, top + height),
        area=area,
        peak=(left + column, top + row),
        peak_score=float(values[row, column]),
    )


def heatmap_overlay(
    image: NDArray[Any],
    heatmap: NDArray[np.float32],
    *,
    low: float,
    high: float,
    regions: Sequence[Region] = (),
    threshold: float | None = None,
) -> Picture:
    """Lay a heatmap (H, W) over its picture (H, W, C) as (H, W, 3) RGB.

    The scale runs from `low`, drawn fully transparent, to `high`. Take both from the calibration pictures,
    not from this one: then good parts stay as they are, and colours compare between pictures. Lightness
    rises along the colours (inferno), so they read without colour vision and in print. `threshold` draws
    the outline of all that lies strictly above it, `regions` their boxes.
    """
    strength = np.clip((heatmap - low) / max(high - low, 1e-12), 0.0, 1.0).astype(np.float32)
    colours = colour_map()[(strength * 255 + 0.5).astype(np.uint8)]  # (H, W) -> (H, W, 3)
    opacity = (_STRONGEST * strength * (2.0 - strength))[..., None]
    base = to_rgb(image).astype(np.float32)
    picture = np.ascontiguousarray((base + (colours - base) * opacity + 0.5).astype(np.uint8))
    thickness = max(1, round(min(picture.shape[:2]) / 400))
    if threshold is not None:
        mask = (heatmap > threshold).astype(np.uint8)
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, outlines, -1, _LINE, thickness)
    for region in regions:
        _draw_region(picture, region.box, thickness)
    return picture


def _draw_region(picture: Picture, box: tuple[int, int, int, int], thickness: int) -> None:
    """A box a little outside the region."""
    margin = 3 * thickness
    height, width = picture.shape[:2]
    corner = (max(box[0] - margin, thickness), max(box[1] - margin, thickness))
    opposite = (
        min(box[2] - 1 + margin, width - 1 - thickness),
        min(box[3] - 1 + margin, height - 1 - thickness),
    )
    draw_box(picture, corner, opposite, thickness)


def draw_box(
    picture: Picture, corner: tuple[int, int], opposite: tuple[int, int], thickness: int = 1
) -> None:
    """Draw a light box with a dark rim, which shows on any picture, between two corners (x, y)."""
    cv2.rectangle(picture, corner, opposite, _RIM, 3 * thickness)
    cv2.rectangle(picture, corner, opposite, _LINE, thickness)


def segment_outlines(
    picture: Picture,
    labels: NDArray[np.integer],
    names: Mapping[int, str],
    *,
    told: Told = (),
    avoided: Sequence[Box] = (),
) -> Picture:
    """The picture (H, W, 3) with thin lines where labels (H, W) change, and names beside their components.

    See `captions` for the names, and for what `told` and `avoided` say.
    """
    changes = np.zeros(labels.shape, np.uint8)
    changes[1:] |= labels[1:] != labels[:-1]
    changes[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    thickness = max(1, round(min(labels.shape) / 400))
    drawn = picture.copy()
    drawn[cv2.dilate(changes, np.ones((thickness, thickness), np.uint8)) > 0] = _SEGMENT
    around = 5 * thickness  # of a region, up to where its box and the box's rim lie
    grown = [(box[0] - around, box[1] - around, box[2] + around, box[3] + around) for box in avoided]
    written = captions(labels, names, told=told, avoided=grown)
    for line in filter(None, (caption.line for caption in written)):
        for colour, wide in ((_RIM, 3), (_SEGMENT, 1)):
            cv2.line(drawn, *line, colour, wide * thickness, cv2.LINE_AA)
            cv2.circle(drawn, line[1], (wide + 3) // 2 * thickness, colour, -1, cv2.LINE_AA)
    for caption in written:
        _write(drawn, caption)
    return drawn


def _write(picture: Picture, caption: Caption) -> None:
    """A name with a dark rim."""
    letters = functools.partial(
        cv2.putText,
        text=caption.name,
        fontFace=FONT,
        fontScale=caption.scale,
        thickness=caption.thickness,
        lineType=cv2.LINE_AA,
    )
    left, top, right, bottom = caption.box
    ink = np.zeros((bottom - top, right - left, 3), np.uint8)
    letters(ink, org=(caption.start[0] - left, caption.start[1] - top), color=(255, 255, 255))
    rim = cv2.dilate(ink, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (4 * caption.thickness + 1,) * 2))
    part = picture[top:bottom, left:right]
    part[:] = cv2.multiply(part, 255 - rim, scale=1 / 255)
    letters(picture, org=caption.start, color=_SEGMENT)  # a thicker line would have letters of another width


def colour_map() -> Picture:
    """The overlay's colours from `low` to `high`, (256, 3) RGB; for legends."""
    steps = np.linspace(_FIRST_COLOUR * 255, 255 * 0.97, 256).round().astype(np.uint8)
    bgr = cv2.applyColorMap(steps[:, None], cv2.COLORMAP_INFERNO)  # (256, 1, 3)
    return np.ascontiguousarray(bgr[:, 0, ::-1])


def to_rgb(image: NDArray[Any], intensities: tuple[float, float] | None = None) -> Picture:
    """A picture (H, W, 1 or 3) uint8, uint16 or float32 for the screen: (H, W, 3) uint8.

    Where `intensities` does not say which values are black and white, 16-bit pictures are scaled by their
    largest value, since cameras of 10 or 12 bits fill the range in part, and numbers by their own range.
    """
    if image.dtype != np.uint8:
        image = (between(image, intensities or own_range(image)) * 255 + 0.5).astype(np.uint8)
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image


def own_range(image: NDArray[Any]) -> tuple[float, float]:
    """From 0 to the largest value of a picture uint16, or the finite range of numbers; never empty."""
    if image.dtype.kind != "f":
        return 0.0, float(max(int(image.max()), 1))
    finite = image[np.isfinite(image)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    return low, high if high > low else low + 1.0


def thumbnail(image: NDArray[Any], side: int, intensities: tuple[float, float] | None = None) -> Picture:
    """A picture as `to_rgb` shows it, reduced, never enlarged, to fit into side x side: (h, w, 3)."""
    return reduced(image, min(1.0, side / max(image.shape[:2])), intensities)


def reduced(image: NDArray[Any], scale: float, intensities: tuple[float, float] | None = None) -> Picture:
    """A picture (H, W, 1 or 3) as `to_rgb` shows it at `scale` ≤ 1: (h, w, 3), made without a large copy."""
    height, width = (max(round(side * scale), 1) for side in image.shape[:2])
    if (height, width) == image.shape[:2]:
        return to_rgb(image, intensities)
    if image.dtype == np.uint8:
        planes = resize_planes(image, height, width, 1.0)  # (C, h, w)
    else:
        black, white = intensities or own_range(image)
        numbers = (
            np.nan_to_num(image, nan=black, posinf=white, neginf=black) if image.dtype.kind == "f" else image
        )
        planes = 255 * between(resize_planes(numbers, height, width, 1.0), (black, white))
    small = np.clip(planes + 0.5, 0, 255).astype(np.uint8)
    return to_rgb(np.ascontiguousarray(small.transpose(1, 2, 0)))  # (C, h, w) -> (h, w, 3)


def to_png_bytes(picture: Picture) -> bytes:
    """(H, W, 3) RGB as a PNG file."""
    return _encode(".png", picture)


def to_webp_bytes(picture: Picture, quality: int = 80) -> bytes:
    """(H, W, 3) RGB as a lossy WebP file, quality 1 to 100: for reports, at a tenth of a PNG's size."""
    return _encode(".webp", picture, cv2.IMWRITE_WEBP_QUALITY, quality)


def write_png(path: Path, picture: Picture) -> None:
    """Write (H, W, 3) RGB as a PNG file, atomically.

    Raises:
        OutputError: the file cannot be written.
    """
    with write_atomically(path) as stream:
        stream.write(to_png_bytes(picture))


def _encode(suffix: str, picture: Picture, *options: int) -> bytes:
    done, data = cv2.imencode(suffix, picture[..., ::-1], options)
    if not done:
        raise OutputError(
            "picture",
            expected=f"one that {suffix} can hold",
            got=f"{picture.shape[1]}x{picture.shape[0]} pixels",
            fix="Reduce it first.",
        )
    return bytes(data)
