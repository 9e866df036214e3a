"""Which map an area is owed to."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from flawscope.runtime.calibration import Calibration
from flawscope.runtime.explain import explainer
from flawscope.runtime.images import Frame
from flawscope.runtime.manifest import HeatmapRange, Manifest, OutputSpec, ScalarSpec, StageSpec
from flawscope.runtime.overlay import find_regions
from flawscope.runtime.prediction import Decision, Finding, Look, Prediction
from flawscope.runtime.provenance import Provenance


def findings(manifest: Manifest, prediction: Prediction) -> tuple[Finding, ...]:
    return explainer(manifest.explains)(manifest, prediction).findings


def model(weight: float = 0.5, **frame: Any) -> Manifest:
    maps = ("heatmap", "local_map", "global_map")
    return Manifest(
        flawscope="0",
        method="another",
        explains="two_maps",
        options={},
        frame=Frame(**{"height": 64, "width": 64, **frame}),
        outputs=(
            OutputSpec(name="score", kind="score"),
            *(OutputSpec(name=name, kind="heatmap") for name in maps),
        ),
        stages=(StageSpec(file="model.onnx", inputs=("pixels", "local_weight"), outputs=("score", *maps)),),
        scalars=(ScalarSpec(name="local_weight", value=weight, low=0, high=1),),
        calibration=Calibration(scores=tuple(np.linspace(0, 1, 299)), alpha=0.01, delta=0.05),
        heatmap=HeatmapRange(low=0.0, high=0.2, threshold=0.1),
        provenance=Provenance.now(0, ()),
    )


def answer(local: float, whole: float, *, height: int = 128, width: int = 128, **frame: Any) -> Prediction:
    """An area in the picture's lower right quarter, with these heights of the two maps there."""
    heatmap = np.zeros((height, width), np.float32)
    heatmap[height * 3 // 4 : height * 3 // 4 + 8, width * 3 // 4 : width * 3 // 4 + 8] = 0.5
    maps = {"local_map": np.zeros((16, 16), np.float32), "global_map": np.zeros((16, 16), np.float32)}
    maps["local_map"][12, 12], maps["global_map"][12, 12] = local, whole
    maps["local_map"][2, 2] = 9.0  # elsewhere
    look = Look(model(**frame).frame.placement(height, width), maps)
    prediction = Prediction(score=2.0, p_value=0.001, decision=Decision.REJECT, looks=(look,))
    return dataclasses.replace(prediction, heatmap=heatmap, regions=find_regions(heatmap, 0.1))


@pytest.mark.parametrize(
    ("local", "whole", "weight", "share", "words"),
    [
        (0.8, 0.2, 0.5, 0.8, "flaw of the spot itself"),
        (0.1, 0.9, 0.5, 0.1, "missing, extra or misplaced"),
        (0.5, 0.5, 0.5, 0.5, "in the spot itself and in the arrangement"),
        (0.5, 0.5, 0.9, 0.9, "flaw of the spot itself"),
        (0.5, -0.5, 0.5, 1.0, "flaw of the spot itself"),
    ],
)
def test_the_share_of_the_local_map_is_told(
    local: float, whole: float, weight: float, share: float, words: str
) -> None:
    (finding,) = findings(model(weight), answer(local, whole))
    assert finding.values["local_share"] == pytest.approx(share)
    assert words in finding.text
    assert finding.text.startswith("unusual area")


def test_padded_frames_are_followed() -> None:
    # a 64 × 128 picture fills rows 16 to 47 of the frame: its area at row 48 lies at frame row 40, cell 10
    prediction = answer(0.0, 0.0, height=64, width=128, aspect="pad")
    prediction.outputs["local_map"][10, 12] = 1.0
    (finding,) = findings(model(aspect="pad"), prediction)
    assert finding.values["local_share"] == 1.0


def test_a_picture_without_areas_keeps_its_finding() -> None:
    prediction = dataclasses.replace(answer(1, 1), regions=())
    (finding,) = findings(model(), prediction)
    assert "no single area" in finding.text
