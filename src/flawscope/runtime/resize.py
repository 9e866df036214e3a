"""One antialiased float resize for training and runtime: Pillow's bilinear as small matrix products.

Pillow itself, in its float mode "F", gives the same to 2e-7 and takes about 1.6 times as long from 1024x1024
to 256x256 on one core, and 3.7 times from 2448x2048; its 8-bit mode takes 1.3 and 1.8 times as long, rounded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Span = tuple[float, float]

# OpenBLAS spreads products above 2^18 multiplications over threads, which costs more than it gains here.
_PRODUCT_LIMIT = 1 << 18


@dataclass(frozen=True, slots=True)
class _Band:
    """Output rows [start, stop) as weights (rows, taps) over input rows [first, last)."""

    start: int
    stop: int
    first: int
    last: int
    weights: Floats


def resize_planes(image: NDArray[np.generic], height: int, width: int, gain: float) -> Floats:
    """Resize (H, W, C) of any number type to planes (C, height, width) float32, times `gain`.

    Each output pixel is the mean of the input under a triangle as wide as two input pixels, or two output
    pixels where those are larger, cut at the border and normalised: Pillow's `BILINEAR`.
    """
    rows, columns, channels = image.shape
    lines = np.empty((height, columns * channels), np.float32)
    _multiply(_bands(rows, height, 0.0, float(rows), gain), image.reshape(rows, columns * channels), lines)
    # (height, W * C) -> (C, height, W) -> (C * height, W)
    flat = lines.reshape(height, columns, channels).transpose(2, 0, 1).reshape(channels * height, columns)
    if columns == width:
        return np.ascontiguousarray(flat).reshape(channels, height, width)
    planes = np.empty((channels * height, width), np.float32)
    _multiply(_bands(columns, width, 0.0, float(columns), 1.0), flat.T, planes.T)
    return planes.reshape(channels, height, width)


def resize_map(values: Floats, height: int, width: int, vertical: Span, horizontal: Span) -> Floats:
    """Resize the part of a map (h, w) between `vertical` and `horizontal` (start, stop) to (height, width).

    Nothing outside the part enters, but for the pixels that its fractional borders cut.
    """
    top, bottom = math.floor(vertical[0] + 1e-6), math.ceil(vertical[1] - 1e-6)
    left, right = math.floor(horizontal[0] + 1e-6), math.ceil(horizontal[1] - 1e-6)
    part = np.ascontiguousarray(values[top:bottom, left:right], np.float32)
    rows, columns = part.shape
    whole = (
        abs(vertical[1] - vertical[0] - rows) < 1e-6 and abs(horizontal[1] - horizontal[0] - columns) < 1e-6
    )
    if whole and height >= rows and width >= columns:
        return np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    lines = np.empty((height, columns), np.float32)
    _multiply(_bands(rows, height, vertical[0] - top, vertical[1] - top, 1.0), part, lines)
    result = np.empty((height, width), np.float32)
    _multiply(_bands(columns, width, horizontal[0] - left, horizontal[1] - left, 1.0), lines.T, result.T)
    return result


def _multiply(bands: tuple[_Band, ...], source: NDArray[np.generic], target: Floats) -> None:
    """target = weights @ source, band by band and in column blocks that stay in the cache."""
    columns = source.shape[1]
    for band in bands:
        step = max(_PRODUCT_LIMIT // max(band.weights.size, 1), 16)  # columns that one product may span
        for left in range(0, columns, step):
            right = min(left + step, columns)
            block = source[band.first : band.last, left:right].astype(np.float32, copy=False)
            np.matmul(band.weights, block, out=target[band.start : band.stop, left:right])


@lru_cache(maxsize=256)
def _bands(size: int, new_size: int, start: float, stop: float, gain: float) -> tuple[_Band, ...]:
    """Weights that resize the stretch [start, stop) of `size` pixels to `new_size`, in bands of rows."""
    scale = (stop - start) / new_size
    radius = max(scale, 1.0)
    step = 8 if scale >= 3 else 16
    bands = []
    for first_row in range(0, new_size, step):
        last_row = min(first_row + step, new_size)
        centres = start + (np.arange(first_row, last_row) + 0.5) * scale
        first = max(math.floor(centres[0] - radius), 0)
        last = min(math.ceil(centres[-1] + radius), size)
        taps = np.arange(first, last) + 0.5
        weights = np.maximum(1.0 - np.abs(taps[None, :] - centres[:, None]) / radius, 0.0)
        weights *= gain / weights.sum(axis=1, keepdims=True)
        bands.append(_Band(first_row, last_row, first, last, weights.astype(np.float32)))
    return tuple(bands)
