"""How well heatmaps show where a flaw is: pixel AUROC and AU-PRO, counted as `flawscope evaluate` does."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from flawscope.data.masks import union_mask
from flawscope.data.samples import Sample
from flawscope.metrics import RegionOverlap
from flawscope.runtime.images import Frame, check_image

LIMIT = 0.3  # of false positives, for AU-PRO


def add(overlap: RegionOverlap, sample: Sample, frame: Frame, heatmap: NDArray[Any]) -> None:
    """Count the pixels of a picture at its own resolution; of a flaw without a mask, none."""
    info = check_image(sample.path)
    mask = union_mask(sample, info.height, info.width)
    if mask.any() or not sample.defective:
        overlap.update(mask, frame.placement(info.height, info.width).back(heatmap))


def figures(overlap: RegionOverlap) -> dict[str, float]:
    """What rows hold."""
    return {"pixel_auroc": overlap.ranking().auroc, "aupro_0.3": overlap.compute(LIMIT)}
