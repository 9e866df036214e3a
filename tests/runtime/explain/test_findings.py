"""Sentences and their numbers, by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from brightness_model import make_manifest
from flawscope.runtime.explain import explainer
from flawscope.runtime.images import Frame
from flawscope.runtime.manifest import HeatmapRange, Manifest, OutputSpec
from flawscope.runtime.prediction import Decision, Finding, Prediction, Region
from flawscope.runtime.tiling import Tiling

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


def sized(peak: float, pixels: int) -> Region:
    return Region(box=(0, 0, pixels, 1), area=pixels, peak=(0, 0), peak_score=peak)


@pytest.mark.parametrize(
    ("changes", "least"),
    [
        (
            {"frame": Frame(150, 200), "cells": (15, 20)},
            400,
        ),  # 10 × 10, and each shows 2 × 2
        ({"frame": Frame(150, 200, "pad"), "cells": (15, 20)}, 400),
        ({"frame": Frame(300, 300, "pad"), "cells": (30, 30)}, 10 * 10 * (4 / 3) ** 2),
        (
            {
                "frame": Frame(100, 100),
                "cells": (10, 10),
                "tiling": Tiling(size=(100, 100), stride=(80, 80), scale=0.5),
            },
            400,
        ),
    ],
)
def test_areas_smaller_than_a_cell_are_no_findings_but_the_highest(
    changes: dict[str, Any], least: float
) -> None:
    manifest = make_manifest(heatmap=LEVELS, **changes)
    small, large = math.floor(least - 1e-9), math.ceil(least)
    found = findings(manifest, predict(sized(9, 1), sized(8, small), sized(7, large), sized(6, small)))
    assert [finding.values["peak"] for finding in found] == [9, 7]
    assert len(findings(manifest, predict(sized(2.01, 1)))) == 1
    unknown = manifest.model_copy(update={"cells": None})
    assert len(findings(unknown, predict(sized(9, 1), sized(8, 1)))) == 2


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
