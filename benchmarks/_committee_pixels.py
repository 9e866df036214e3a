"""How well the committee and its members show where a flaw is: pixel AUROC and AU-PRO of their heatmaps."""

from __future__ import annotations

from collections.abc import Mapping

from _committee_places import Ground

from flawscope.data.masks import union_mask
from flawscope.methods.detector import Detector
from flawscope.methods.running import answers
from flawscope.metrics.regions import RegionOverlap
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.runtime.images import check_image

LIMIT = 0.3  # of false positives, for AU-PRO


def localised(detectors: Mapping[str, Detector], place: Ground, watch: Watch) -> dict[str, dict[str, float]]:
    """Of each fitted detector: each pixel of each test picture counts once, at the picture's resolution.

    Pictures of a flaw without a mask count for nothing.
    """
    found = {}
    for name, detector in detectors.items():
        overlap, frame = RegionOverlap(), detector.options.frame
        pictures = place.pictures("test", frame)
        maps = answers(detector, pictures, Run(place.seed), watch, keep=("heatmap",))
        for sample, outputs in zip(pictures.samples, maps, strict=True):
            info = check_image(sample.path)
            mask = union_mask(sample, info.height, info.width)
            if mask.any() or not sample.defective:
                placement = frame.placement(info.height, info.width)
                overlap.update(mask, placement.back(outputs["heatmap"]))
        found[name] = {
            "pixel_auroc": round(overlap.ranking().auroc, 5),
            "aupro_0.3": round(overlap.compute(LIMIT), 5),
        }
    return found
