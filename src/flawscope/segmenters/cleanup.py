"""Labels made by a machine, cleaned for a person to go on with."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from flawscope.data.segment_maps import Labels, shares_of

_SMALLEST = 1 / 500  # of the picture: areas below it join their neighbours
_BRUSH = 1 / 64  # of the shorter side: diameter over which the majority decides


def cleaned(labels: NDArray[np.integer]) -> Labels:
    """Labels (H, W) with smooth borders and without small areas, numbered by size, the largest 0.

    Each pixel takes the label of the majority around it, then connected areas below 1/500 of the picture take
    that of the nearest larger area. Labels that end without pixels are left out.
    """
    return ordered(_joined(_majority(np.unique(labels, return_inverse=True)[1].reshape(labels.shape))))


def ordered(labels: NDArray[np.integer]) -> Labels:
    """The same areas, numbered from 0 by size."""
    shares = shares_of(labels)
    order = np.argsort(-shares, kind="stable")[: int((shares > 0).sum())]
    rank = np.zeros(len(shares), np.uint8)
    rank[order] = np.arange(len(order))
    return np.asarray(rank[labels])


def _majority(labels: NDArray[np.integer]) -> NDArray[np.integer]:
    """The most frequent label in a disc around each pixel."""
    reach = max(1, round(min(labels.shape) * _BRUSH / 2))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)).astype(np.float32)
    best, winner = np.full(labels.shape, -1.0, np.float32), np.zeros(labels.shape, np.intp)
    for label in range(int(labels.max()) + 1):
        votes = cv2.filter2D(
            (labels == label).astype(np.float32), cv2.CV_32F, disc, borderType=cv2.BORDER_REPLICATE
        )
        more = votes > best + 0.5  # votes are whole numbers
        best[more], winner[more] = votes[more], label
    return winner


def _joined(labels: NDArray[np.integer]) -> NDArray[np.integer]:
    """Small connected areas joined to the nearest of the others."""
    smallest = labels.size * _SMALLEST
    kept = np.zeros(labels.shape, np.bool_)
    largest, largest_size = kept, 0
    for label in range(int(labels.max()) + 1):
        _, areas, stats, _ = cv2.connectedComponentsWithStats(
            (labels == label).astype(np.uint8), connectivity=4
        )
        sizes = stats[:, cv2.CC_STAT_AREA].copy()
        sizes[0] = 0  # all that has another label
        kept |= (sizes >= smallest)[areas]
        if sizes.max() > largest_size:
            largest, largest_size = areas == sizes.argmax(), int(sizes.max())
    kept |= largest
    _, near = cv2.distanceTransformWithLabels(
        (~kept).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    of_pixel = np.zeros(int(near.max()) + 1, labels.dtype)
    of_pixel[near[kept]] = labels[kept]
    return np.asarray(of_pixel[near])
