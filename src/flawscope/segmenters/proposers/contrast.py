"""From which distance to the ground on something is an area, told from good pictures alone.

Parts stand out from each ground by another distance, and so do the glints of a film upon them: zinc on
cardboard by seven deviations, on black by four. A distance too small makes areas of what comes and goes, one
too large misses parts in some pictures; in between most kinds of areas have the same number in every picture.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from flawscope.segmenters.grouping import constant_classes

USUAL = 5.0
DISTANCES = (2.5, 3.0, 3.5, 4.0, USUAL, 6.5, 8.0)
_BANDWIDTHS = np.geomspace(0.3, 2.4, 10)
_TOLERATED = 0.2  # twice that of `choose_bandwidth`: size and colour tell kinds less well than a network
_WEIGHTS = np.array([1.0, 0.5, 0.5, 0.025, 0.05, 0.05])  # of area, length and width by octaves, L, a and b


def clearest(scores: Sequence[float]) -> float:
    """Of `DISTANCES` the one with the best score, where that tells at least one kind more than 5 does.

    So 5 stays on surfaces without parts, where a smaller one would make areas of texture, and for a single
    part that lies in its own shade.
    """
    best = int(np.argmax(scores))
    return DISTANCES[best] if scores[best] >= scores[DISTANCES.index(USUAL)] + 1 else USUAL


def kinds(
    areas: Sequence[Sequence[NDArray[np.bool_]]],
    colours: Sequence[NDArray[np.float32]],
    grounds: Sequence[NDArray[np.float64]],
) -> float:
    """How many kinds of areas have the same number in every picture; see `constant_classes`.

    Args:
        areas: of each picture, (H, W) each.
        colours: Lab (H, W, 3) of each picture.
        grounds: the main colour (3,) of each picture.
    """
    rows = [
        _described(area, lab, ground)
        for found, lab, ground in zip(areas, colours, grounds, strict=True)
        for area in found
    ]
    if not rows:
        return 0.0
    owners = np.repeat(np.arange(len(areas)), [len(found) for found in areas])
    weighted = np.stack(rows) * _WEIGHTS
    return max(
        constant_classes(weighted, owners, len(areas), bandwidth, tolerated=_TOLERATED)
        for bandwidth in _BANDWIDTHS
    )


def _described(
    area: NDArray[np.bool_], lab: NDArray[np.float32], ground: NDArray[np.float64]
) -> NDArray[np.float64]:
    """log2 of area, length and width in pixels, and how the colour differs from the ground's: (6,)."""
    _, sides, _ = cv2.minAreaRect(cv2.findNonZero(area.astype(np.uint8)))
    sizes = np.log2(np.array([np.count_nonzero(area), max(sides) + 1, min(sides) + 1]))
    return np.concatenate([sizes, np.median(lab[area], axis=0) - ground])
