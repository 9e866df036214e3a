"""A static segment map proposed from aligned good pictures: their mean features, clustered.

Or from the masks that something else proposes on one picture. Labels that a machine has made are cleaned
for a person to go on with.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from flawscope.data.pictures import Pictures
from flawscope.data.segment_maps import Labels, Size, shares_of
from flawscope.errors import DataError
from flawscope.nn.banks.features import patch_rows
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED, Watch, batches
from flawscope.runtime.images import Frame
from flawscope.segmenters.cells import Cells
from flawscope.segmenters.clustering import cluster
from flawscope.segmenters.segmenter import spread

_MOST_SEGMENTS = 8  # that masks become
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


def draft_by_masks(masks: NDArray[np.bool_], segments: int | None = None) -> Labels:
    """Segments (H, W) of a picture from masks (M, H, W) of it that may overlap, numbered by size.

    What no mask covers is one segment; of more than `segments` (8 by default) the largest stay.

    Raises:
        DataError: no masks.
    """
    if not len(masks):
        raise DataError(
            "picture to divide into segments",
            expected="objects that SAM finds",
            got="none that it is sure of",
            fix="Draft by features.",
        )
    return cleaned(exclusive(masks, segments or _MOST_SEGMENTS))


def exclusive(masks: NDArray[np.bool_], segments: int) -> Labels:
    """Labels (H, W) of overlapping masks (M, H, W): smaller ones lie upon larger ones, 0 is what none covers.

    Of more than `segments` labels, 0 among them, those that show the fewest pixels fall to what lies below.
    """
    masks = masks[np.argsort(-masks.sum((1, 2)), kind="stable")]
    seen = np.bincount(_painted(masks).ravel(), minlength=len(masks) + 1)[1:]
    kept = np.sort(np.argsort(-seen, kind="stable")[: segments - 1])
    labels = _painted(masks[kept[seen[kept] > 0]])
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.uint8)


def _painted(masks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Labels (H, W) from 1 on, each mask upon those before it; 0 where there is none."""
    labels = np.zeros(masks.shape[1:], np.int64)
    for label, mask in enumerate(masks, 1):
        labels[mask] = label
    return labels


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


Floats = NDArray[np.float32]

BACKBONE = "tf_efficientnet_lite0"
PICTURES = 32  # that are averaged
_SIDE = 512  # longer side at which the backbone sees them; a cell is 4 pixels of it
_STRIDES = (4, 8, 16)
_STEP = 32
_WINDOW = 1 / 48  # of the shorter side: reach of the filter that draws borders to the picture's edges
_FLAT = 0.02**2  # variance of grey, on a scale to 1, that counts as an edge


def mean_picture(pictures: Pictures, run: Run, watch: Watch = UNWATCHED) -> Floats:
    """Mean of up to 32 of the pictures at their frame, (3, H, W) in [0, 1]."""
    chosen = spread(pictures, PICTURES)
    total = np.zeros((3, chosen.frame.height, chosen.frame.width), np.float64)
    for pixels in batches(chosen, run, watch, "averaging pictures", 1):
        total += pixels[0].cpu().numpy()
    return (total / len(chosen)).astype(np.float32)


def draft_by_features(
    pictures: Pictures,
    guide: Floats,
    run: Run,
    watch: Watch = UNWATCHED,
    *,
    count: int | None = None,
    weights: Literal["pretrained", "random"] = "pretrained",
) -> Labels:
    """Segments of aligned pictures, (H, W) at the size of `guide` (3, H, W), numbered by size.

    Features of EfficientNet-Lite0 at strides 4, 8 and 16 are averaged over up to 32 of the pictures and
    clustered; each cluster's score is enlarged and drawn to the edges of `guide` by a guided filter (He, Sun,
    Tang, ECCV 2010; on scores of labels: Hosni et al., CVPR 2011) before the best takes each pixel.

    Args:
        pictures: at any frame.
        guide: what shows the edges: the mean picture, or one picture.
        run: its seed decides.
        count: clusters to make, see `clustering.cluster`; fewer segments may remain when small areas have
            joined their neighbours.
        weights: pretrained, or random for tests.

    Raises:
        DataError: pictures too plain for so many segments.
        WeightsError: the backbone's weights are not to be had.
    """
    height, width = guide.shape[1:]
    sides = _feature_frame((height, width))
    frame = replace(pictures.frame, height=sides.height, width=sides.width)
    cells = Cells(BACKBONE, None, _STRIDES, (frame.height, frame.width), weights=weights)
    cells.load()
    features = _mean_features(cells, spread(pictures, PICTURES).resized(frame), run, watch)
    rows = patch_rows(features.unsqueeze(0)).contiguous()  # (h * w, D)
    cells.grid.cpu().balance(rows)
    vectors = rows.numpy()
    centroids = cluster(vectors, count, run, watch)
    scores = 2 * vectors @ centroids.T - np.square(centroids).sum(1)  # (h * w, L)
    grey = guide.mean(0)
    best, labels = np.full(grey.shape, -np.inf, np.float32), np.zeros(grey.shape, np.uint8)
    for label, column in enumerate(scores.T):
        enlarged = cv2.resize(column.reshape(cells.shape), (width, height), interpolation=cv2.INTER_LINEAR)
        drawn = guided(np.asarray(enlarged, np.float32), grey)
        better = drawn > best
        best[better], labels[better] = drawn[better], label
    return cleaned(labels)


def guided(values: Floats, guide: Floats) -> Floats:
    """`values` (H, W), smoothed where `guide` (H, W) in [0, 1] is, with its edges: the guided filter."""
    reach = max(2, round(min(guide.shape) * _WINDOW))

    def mean(image: NDArray[np.floating]) -> Floats:
        side = 2 * reach + 1
        return np.asarray(cv2.blur(image, (side, side), borderType=cv2.BORDER_REFLECT_101), np.float32)

    centre, level = mean(guide), mean(values)
    slope = (mean(guide * values) - centre * level) / (
        mean(guide * guide) - centre * centre + np.float32(_FLAT)
    )
    return mean(slope) * guide + mean(level - slope * centre)


def _feature_frame(size: Size) -> Frame:
    """The proportions of `size`, the longer side 512 pixels, both multiples of 32."""
    scale = _SIDE / max(size)
    height, width = (max(_STEP, round(side * scale / _STEP) * _STEP) for side in size)
    return Frame(height, width)


def _mean_features(cells: Cells, pictures: Pictures, run: Run, watch: Watch) -> torch.Tensor:
    """Mean of all pictures' features, (D, h, w)."""
    total = torch.zeros(cells.dim, *cells.shape)
    for features in cells.batches(pictures, run, watch):
        total += features.sum(0).cpu()
    return total / len(pictures)
