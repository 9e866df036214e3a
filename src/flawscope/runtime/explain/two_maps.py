"""Findings of methods with a local and a global map: what an area's height owes to either."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from flawscope.runtime.explain.areas import from_levels
from flawscope.runtime.manifest import Manifest
from flawscope.runtime.placement import Placement
from flawscope.runtime.prediction import Explanation, Finding, Prediction, Region

READER = "two_maps"  # how manifests name this reader
LOCAL, WHOLE = "local_map", "global_map"  # the outputs that it reads
CLEAR = 2 / 3  # share from which on one map is said to be the cause
_CAUSES = {
    "local": "a flaw of the spot itself (local map {share:.0%})",
    "global": "something wrong with the arrangement: missing, extra or misplaced (global map {share:.0%})",
    "both": "in the spot itself and in the arrangement (local map {share:.0%})",
}


def from_two_maps(manifest: Manifest, prediction: Prediction) -> Explanation:
    """Areas as `from_levels` finds them, each with the share of the local map in it.

    The shares are those of α · local and (1 − α) · global, at their highest within the area, below 0 as 0; of
    a picture in tiles, within the part of the area that the tile of its peak shows.
    """
    found, weight = from_levels(manifest, prediction), local_weight(manifest)

    def shared(finding: Finding) -> Finding:
        look = prediction.look_at(finding.region.peak) if finding.region else None
        if finding.region is None or look is None or not look.outputs.keys() >= {LOCAL, WHOLE}:
            return finding
        local = weight * _highest(look.outputs[LOCAL], finding.region, look.placement)
        whole = (1 - weight) * _highest(look.outputs[WHOLE], finding.region, look.placement)
        return _with_cause(finding, local / (local + whole) if local + whole > 0 else weight)

    return replace(found, findings=tuple(map(shared, found.findings)))


def local_weight(manifest: Manifest) -> float:
    """α, the share of the local map in the joint one."""
    return manifest.scalar_values().get("local_weight", 0.5)


def _with_cause(finding: Finding, share: float) -> Finding:
    cause = "local" if share >= CLEAR else "global" if share <= 1 - CLEAR else "both"
    text = _CAUSES[cause].format(share=1 - share if cause == "global" else share)
    return replace(finding, text=f"{finding.text}; {text}", values={**finding.values, "local_share": share})


def _highest(values: NDArray[np.float32], region: Region, placement: Placement) -> float:
    """Maximum of the map (h, w) over the region's box, at least 0."""
    rows, columns = values.shape
    return max(0.0, float(values[placement.cells(region.box, (rows, columns))].max()))
