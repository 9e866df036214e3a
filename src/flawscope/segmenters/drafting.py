"""A static segment map proposed from aligned good pictures: their mean features, clustered."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from flawscope.data.pictures import Pictures
from flawscope.data.segment_maps import Labels, Size
from flawscope.nn.banks.features import patch_rows
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED, Watch, batches
from flawscope.runtime.images import Frame
from flawscope.segmenters.cells import Cells
from flawscope.segmenters.cleanup import cleaned
from flawscope.segmenters.clustering import cluster
from flawscope.segmenters.segmenter import spread

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
    frame = _feature_frame((height, width))
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
