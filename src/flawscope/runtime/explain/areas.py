"""Findings from the anomaly map: where it exceeds what good pictures reach, and by how much.

The highest area is always told. Another one must be as large as a cell of the grid that the map is enlarged
from: the map shows nothing smaller, and such an area is the tip of a hill that hardly exceeds the level.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from flawscope.runtime.manifest import HeatmapRange, Manifest
from flawscope.runtime.prediction import Decision, Explanation, Finding, Prediction, Region

MOST_AREAS = 5
REFERENCE = "the level that 19 of 20 good pictures stay below"

Describe = Callable[[float, HeatmapRange], tuple[str, float | None]]


def from_distances(manifest: Manifest, prediction: Prediction) -> Explanation:
    """For maps of distances, 0 for what a good picture shows: ratios to the level of good pictures."""
    return Explanation(_findings(manifest, prediction, _ratio))


def from_levels(manifest: Manifest, prediction: Prediction) -> Explanation:
    """For maps without a natural zero: how far above the usual level, in units of good ones."""
    return Explanation(_findings(manifest, prediction, _excess))


def _findings(manifest: Manifest, prediction: Prediction, describe: Describe) -> tuple[Finding, ...]:
    levels = manifest.heatmap
    if levels is not None and prediction.regions:
        highest, *others = prediction.regions[:MOST_AREAS]
        least = _cell(manifest, prediction)
        told = (highest, *(region for region in others if region.area >= least))
        return tuple(_area(region, levels, describe) for region in told)
    return () if prediction.decision is Decision.ACCEPT else (_whole(manifest, prediction),)


def _cell(manifest: Manifest, prediction: Prediction) -> float:
    """Pixels of the picture that a cell of the map covers; 0 where the grid is not known."""
    if prediction.heatmap is None or manifest.cells is None:
        return 0.0
    frame, cells = (manifest.frame.height, manifest.frame.width), manifest.cells
    height, width = shape = prediction.heatmap.shape
    tiling = manifest.tiling
    inner = manifest.frame.placement(height, width).inner if tiling is None else tiling.working(height, width)
    return float(math.prod(shape[axis] / inner[axis] * frame[axis] / cells[axis] for axis in (0, 1)))


def _area(region: Region, levels: HeatmapRange, describe: Describe) -> Finding:
    left, top, right, bottom = region.box
    width, height = right - left, bottom - top
    x, y = (left + right) // 2, (top + bottom) // 2
    words, times = describe(region.peak_score, levels)
    values: dict[str, float] = {"x": x, "y": y, "width": width, "height": height, "area": region.area}
    values |= {"peak": region.peak_score} | ({} if times is None else {"times": times})
    text = f"unusual area {width} × {height} px around ({x}, {y}), {words}"
    return Finding(text, {name: float(value) for name, value in values.items()}, region)


def _whole(manifest: Manifest, prediction: Prediction) -> Finding:
    """For a picture whose score alone is unusual: the picture as a whole."""
    calibration = manifest.calibration
    rejected = prediction.decision is Decision.REJECT
    name = "reject" if rejected else "review"
    threshold = calibration.reject_threshold if rejected else calibration.review_threshold
    start = "" if manifest.heatmap is None else "no single area stands out, but "
    text = (
        f"{start}the picture as a whole scores {prediction.score:.4g}, "
        f"above the {name} threshold of {threshold:.4g}"
    )
    return Finding(text, {"score": prediction.score, "threshold": threshold, "p_value": prediction.p_value})


def _ratio(peak: float, levels: HeatmapRange) -> tuple[str, float | None]:
    if levels.threshold <= 0:
        return _excess(peak, levels)
    times = peak / levels.threshold
    return f"{times:.3g} times {REFERENCE}", times


def _excess(peak: float, levels: HeatmapRange) -> tuple[str, float | None]:
    usual = levels.threshold - levels.low
    if usual <= 0:
        return f"above {REFERENCE}", None
    times = (peak - levels.low) / usual
    return f"{times:.3g} times as far above the usual level as {REFERENCE}", times
