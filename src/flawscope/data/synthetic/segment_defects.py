"""Synthetic defects on segments, for SegAD where no real ones are at hand.

SegAD, section 5.2 and appendix A.2: a Gaussian blur within a segment, or a thin or small rectangle of a
random size, place and grey, on a random segment or a part of it. The paper gives no sizes; those here are
shares of the picture's shorter side. The defects need not look real: they only have to raise the detectors'
maps.
"""

from __future__ import annotations

from collections.abc import Collection

import cv2
import numpy as np
from numpy.typing import NDArray

_LENGTH = (1 / 24, 1 / 3)
_THICKNESS = (1 / 96, 1 / 16)
_SIGMA = (1 / 64, 1 / 16)
_PIECE = (0.2, 0.8)  # sides of a piece, as shares of the segment's
_FEWEST = 16  # pixels below which a segment is too small for a defect of its own


def segment_defect(
    image: NDArray[np.float32],
    labels: NDArray[np.integer],
    random: np.random.Generator,
    ignored: Collection[int] = (),
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The picture with one synthetic defect, and where it is.

    Args:
        image: (3, H, W) in [0, 1]; never changed.
        labels: (H, W), the segment of each pixel.
        random: source of all randomness.
        ignored: segments that get none, where there are others.

    Returns:
        (3, H, W) in [0, 1] and (H, W), True where the picture may differ.
    """
    judged = labels[~np.isin(labels, [*ignored])] if ignored else labels
    present, counts = np.unique(judged if judged.size else labels, return_counts=True)
    chosen = present[counts >= min(_FEWEST, counts.max())]
    segment = labels == random.choice(chosen)
    if random.random() < 0.5:
        area = segment if random.random() < 0.5 else _piece(segment, random)
        blurred = _blurred(image, area, random)
        if not np.array_equal(blurred, image):
            return blurred, area
    return _rectangle(image, segment, random)


def _piece(segment: NDArray[np.bool_], random: np.random.Generator) -> NDArray[np.bool_]:
    """The segment within a box around one of its pixels."""
    rows, columns = np.nonzero(segment)
    centre = random.integers(len(rows))
    box = np.zeros_like(segment)
    stretches = []
    for places in (rows, columns):
        reach = max(1.0, random.uniform(*_PIECE) * (np.ptp(places) + 1) / 2)
        middle = int(places[centre])
        stretches.append(slice(max(0, round(middle - reach)), round(middle + reach) + 1))
    box[tuple(stretches)] = True
    return segment & box


def _blurred(
    image: NDArray[np.float32], area: NDArray[np.bool_], random: np.random.Generator
) -> NDArray[np.float32]:
    sigma = max(1.0, random.uniform(*_SIGMA) * min(area.shape))
    pixels = np.ascontiguousarray(image.transpose(1, 2, 0))  # (H, W, 3)
    blurred = cv2.GaussianBlur(pixels, (0, 0), sigma, borderType=cv2.BORDER_REFLECT).reshape(pixels.shape)
    return np.where(area, np.clip(blurred.transpose(2, 0, 1), 0, 1), image).astype(np.float32)


def _rectangle(
    image: NDArray[np.float32], segment: NDArray[np.bool_], random: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A turned rectangle of one grey around a pixel of the segment."""
    side = min(segment.shape)
    rows, columns = np.nonzero(segment)
    centre = random.integers(len(rows))
    place = (float(columns[centre]), float(rows[centre]))
    sides = tuple(max(1.0, random.uniform(*share) * side) for share in (_LENGTH, _THICKNESS))
    corners = cv2.boxPoints((place, (sides[0], sides[1]), float(random.uniform(0, 180))))
    drawn = np.zeros(segment.shape, np.uint8)
    cv2.fillConvexPoly(drawn, np.rint(corners).astype(np.int32), 1)
    mask = drawn.astype(np.bool_)
    grey = np.float32(random.random())
    return np.where(mask, grey, image).astype(np.float32), mask
