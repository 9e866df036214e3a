"""Sentences and their numbers, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from brightness_model import make_manifest
from flawscope.runtime.explain import explainer
from flawscope.runtime.manifest import HeatmapRange, Manifest, OutputSpec
from flawscope.runtime.prediction import Decision, Finding, Prediction, Region

LEVELS = HeatmapRange(low=1.0, high=3.0, threshold=2.0)


def findings(manifest: Manifest, prediction: Prediction) -> tuple[Finding, ...]:
    return explainer(manifest.explains)(manifest, prediction).findings


def predict(*regions: Region, decision: Decision = Decision.REJECT) -> Prediction:
    heatmap = np.zeros((300, 400), np.float32)
    return Prediction(score=7.0, p_value=0.01, decision=decision, heatmap=heatmap, regions=regions)


def area(peak: float) -> Region:
    return Region(box=(213, 112, 254, 129), area=500, peak=(230, 118), peak_score=peak)


def test_distances_are_compared_as_ratios() -> None:
    (finding,) = findings(make_manifest(explains="distances", heatmap=LEVELS), predict(area(6.4)))
    assert finding.text == (
        "unusual area 41 × 17 px around (233, 120), "
        "3.2 times the level that 19 of 20 good pictures stay below"
    )
    assert finding.values == {
        "x": 233, "y": 120, "width": 41, "height": 17, "area": 500, "peak": 6.4, "times": 3.2,
    }  # fmt: skip
    assert finding.region == area(6.4)


def test_other_maps_are_compared_from_their_usual_level() -> None:
    (finding,) = findings(make_manifest(heatmap=LEVELS), predict(area(6.4)))
    assert "5.4 times as far above the usual level as" in finding.text
    assert finding.values["times"] == pytest.approx(5.4)


@pytest.mark.parametrize("explains", ["distances", "levels"])
def test_levels_without_spread(explains: str) -> None:
    flat = HeatmapRange(low=0.0, high=0.0, threshold=0.0)
    (finding,) = findings(make_manifest(explains=explains, heatmap=flat), predict(area(6.4)))
    assert finding.text.endswith("above the level that 19 of 20 good pictures stay below")
    assert "times" not in finding.values


def test_order_and_number_of_areas() -> None:
    regions = [area(20.0 - index) for index in range(9)]
    found = findings(make_manifest(heatmap=LEVELS), predict(*regions))
    assert [finding.values["peak"] for finding in found] == [20, 19, 18, 17, 16]


def test_a_score_without_an_area() -> None:
    manifest = make_manifest(heatmap=LEVELS)
    (rejected,) = findings(manifest, predict())
    assert rejected.values["threshold"] == manifest.calibration.reject_threshold
    assert rejected.text == (
        "no single area stands out, but the picture as a whole scores 7, above the reject threshold of 0.59"
    )
    (review,) = findings(manifest, predict(decision=Decision.REVIEW))
    assert review.values["threshold"] == manifest.calibration.review_threshold
    assert findings(manifest, predict(decision=Decision.ACCEPT)) == ()


def test_a_score_of_a_method_without_a_heatmap() -> None:
    outputs = (OutputSpec(name="score", kind="score"),)
    (finding,) = findings(make_manifest(heatmap=None, outputs=outputs), predict())
    assert finding.text == "the picture as a whole scores 7, above the reject threshold of 0.59"
