"""Which pixels a polygon covers: those whose centre lies inside, so that neighbours never overlap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flawscope.data.labelme_shapes import Box


def reach(points: NDArray[np.float64], height: int, width: int) -> Box:
    """Rows and columns of a picture that a polygon's pixels lie in."""
    (left, top), (right, bottom) = points.min(0), points.max(0)
    left, right = max(0, _first(left)), min(width, _first(right))
    top, bottom = max(0, _first(top)), min(height, _first(bottom))
    return np.s_[top : max(top, bottom), left : max(left, right)]


def inside(points: NDArray[np.float64], box: Box) -> NDArray[np.bool_]:
    """Pixels (h, w) of a box whose centres lie inside a polygon, by the even-odd rule.

    A centre on an edge counts for the polygon to the right of that edge, or below it: of two polygons that
    share an edge exactly one has the pixel.

    Args:
        points: (n, 2) x and y of the corners; pixel (0, 0) reaches from 0 to 1, as COCO has it.
        box: rows and columns of a picture.
    """
    (top, bottom), (left, right) = ((ends.start, ends.stop) for ends in box)
    crossed = np.zeros((bottom - top, right - left + 1), np.bool_)  # at the first pixel right of an edge
    if not crossed[:, 1:].size:
        return crossed[:, 1:]
    for edge in zip(points.tolist(), np.roll(points, -1, axis=0).tolist(), strict=True):
        (x0, y0), (x1, y1) = sorted(edge, key=lambda end: end[::-1])  # alike for both that share it
        rows = np.arange(max(top, _first(y0)), min(bottom, _first(y1)))  # centres from y0 to below y1
        if len(rows):
            x = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
            columns = np.clip(np.ceil(x - 0.5) - left, 0, right - left).astype(np.intp)
            crossed[rows - top, columns] ^= True
    return np.asarray(np.logical_xor.accumulate(crossed, axis=1)[:, :-1])


def _first(place: float) -> int:
    """The first pixel whose centre is at `place` or beyond."""
    return int(np.ceil(place - 0.5))
