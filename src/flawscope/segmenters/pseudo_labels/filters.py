"""Which of the masks that a proposer finds are components: the filters of the CSAD paper's section A.3.

Each keeps the paper's figures to the last comparison. A mask without pixels is no component, so both leave
it out.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Masks = NDArray[np.bool_]

OVERLAP = 0.9


def filter_by_grounding(masks: Masks, named: Masks, overlap: float = OVERLAP) -> Masks:
    """Those masks of which more than `overlap` lies where something is named, in their order (figure 12).

    Args:
        masks: (M, H, W).
        named: (H, W), where X_sem names anything.
        overlap: share of a mask's own pixels.
    """
    areas, inside = _areas(masks), np.count_nonzero(masks[:, named], axis=1)  # (M,) each
    return np.asarray(masks[(areas > 0) & (inside / np.maximum(areas, 1) > overlap)])


def filter_by_combine(masks: Masks, overlap: float = OVERLAP) -> Masks:
    """Masks that smaller ones do not add up to, from small to large (figure 13).

    A mask stays where less than `overlap` of it, or of the union of those kept before it, whichever is
    smaller, lies in both. The others then have a second chance in the same order, at the end: they stay where
    less than `overlap` of their own pixels lies in the union by then.

    Args:
        masks: (M, H, W).
        overlap: share of the pixels.
    """
    areas = _areas(masks)
    order = np.argsort(areas, kind="stable")
    order = order[areas[order] > 0]
    union = np.zeros(masks.shape[1:], np.bool_)
    kept, waiting = list[int](), list[int]()
    for index in order:
        common = np.count_nonzero(union & masks[index])
        if common == 0 or common / min(np.count_nonzero(union), areas[index]) < overlap:
            union |= masks[index]
            kept.append(index)
        else:
            waiting.append(index)
    for index in waiting:
        if np.count_nonzero(union & masks[index]) / areas[index] < overlap:
            union |= masks[index]
            kept.append(index)
    return masks[np.array(kept, np.intp)]


def filled(mask: Masks) -> Masks:
    """A mask (H, W) with its holes: what pixels of it, joined at their corners, close off from the border."""
    around = np.pad(mask.astype(np.uint8), 1)
    cv2.floodFill(around, None, (0, 0), 2, flags=4)
    return np.asarray(around[1:-1, 1:-1] != 2)


def regions(labels: NDArray[np.integer]) -> Masks:
    """Connected regions of each label from 1 on, (M, H, W), by label; touching corners connect."""
    found = [np.zeros((0, *labels.shape), np.bool_)]
    for label in range(1, int(labels.max(initial=0)) + 1):
        count, areas = cv2.connectedComponents((labels == label).astype(np.uint8), connectivity=8)
        found.append(areas == np.arange(1, count)[:, None, None])  # (count - 1, H, W)
    return np.concatenate(found)


def _areas(masks: Masks) -> NDArray[np.intp]:
    """Pixels of each mask, (M,)."""
    return np.asarray(np.count_nonzero(masks, axis=(1, 2)))
