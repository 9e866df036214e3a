"""What good pictures show and one does not, in a sentence."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from flawscope.errors import BundleError
from flawscope.runtime.calibration import Calibration
from flawscope.runtime.explain import explainer
from flawscope.runtime.images import Frame
from flawscope.runtime.manifest import HeatmapRange, Manifest, OutputSpec, StageSpec
from flawscope.runtime.overlay import find_regions
from flawscope.runtime.prediction import Decision, Finding, Look, Prediction
from flawscope.runtime.provenance import Provenance

FACTS: dict[str, Any] = {
    "shown": [[0, 0.1, 0.2], [1, 0.25, 0.5], [0, 0.5, 0.5]],
    "places": [None, [0.25, 0.75], None],
}


def model(learnt: dict[str, Any] = FACTS, **frame: Any) -> Manifest:
    return Manifest(
        flawscope="0",
        method="another",
        explains="absence",
        options={},
        frame=Frame(**{"height": 64, "width": 64, **frame}),
        outputs=(
            OutputSpec(name="score", kind="score"),
            OutputSpec(name="heatmap", kind="heatmap"),
            OutputSpec(name="absent", kind="vector"),
        ),
        stages=(StageSpec(file="model.onnx", inputs=("pixels",), outputs=("score", "heatmap", "absent")),),
        calibration=Calibration(scores=tuple(np.linspace(0, 1, 299)), alpha=0.01, delta=0.05),
        heatmap=HeatmapRange(low=0.0, high=0.2, threshold=0.1),
        learnt=learnt,
        provenance=Provenance.now(0, ()),
    )


def answer(*ratios: float, area: bool = False, **frame: Any) -> Prediction:
    heatmap = np.zeros((100, 200), np.float32)
    if area:
        heatmap[40:60, 40:80] = 0.5
    outputs = {"absent": np.array(ratios, np.float32)} if ratios else {}
    look = Look(model(**frame).frame.placement(100, 200), outputs)
    found = Prediction(score=2.0, p_value=0.001, decision=Decision.REJECT, looks=(look,), heatmap=heatmap)
    return dataclasses.replace(found, regions=find_regions(heatmap, 0.1))


def findings(manifest: Manifest, prediction: Prediction) -> tuple[Finding, ...]:
    return explainer("absence")(manifest, prediction).findings


def test_what_is_farthest_from_being_there_is_told_with_its_usual_place() -> None:
    (told,) = findings(model(), answer(0.4, 2.5, 1.9))
    assert told.text == (
        "something is missing around (150, 25): no patch is like the one at (50%, 25%) of training picture "
        "2, 2.5 times as far out as in any good one learnt from"
    )
    assert told.values == {"kind": 1, "times": 2.5, "picture": 1, "x": 150, "y": 25}


def test_without_a_usual_place_none_is_told() -> None:
    (told,) = findings(model(), answer(1.9, 0.4, 0.1))
    assert told.text.startswith("something is missing: no patch is like the one at (20%, 10%) of")
    assert "x" not in told.values


def test_places_are_those_of_the_picture_where_it_is_padded() -> None:
    (told,) = findings(model(aspect="pad"), answer(0.4, 2.5, 1.9, aspect="pad"))
    assert (told.values["x"], told.values["y"]) == pytest.approx((150, 0))  # a frame of 200×200 pixels


def test_areas_come_after_it_and_stand_alone_where_nothing_is_missing() -> None:
    missing, area = findings(model(), answer(0.4, 2.5, 1.9, area=True))
    assert missing.text.startswith("something is missing")
    assert area.text.startswith("unusual area 40 × 20 px")
    for given in (answer(0.4, 1.25, 1.1, area=True), answer(area=True)):
        assert [told.text.split()[0] for told in findings(model(), given)] == ["unusual"]
    (whole,) = findings(model(), answer(0.4, 1.0, 1.1))
    assert "the picture as a whole scores 2" in whole.text


def test_accepted_pictures_have_no_sentence() -> None:
    accepted = dataclasses.replace(answer(0.4, 2.5, 1.9), decision=Decision.ACCEPT)
    assert findings(model(), accepted) == ()


@pytest.mark.parametrize("facts", [{}, {**FACTS, "places": [None]}])
def test_facts_that_do_not_fit_are_told(facts: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match=r"learnt fact '(shown|places)' of 3 kinds.*Train again"):
        findings(model(facts), answer(0.4, 2.5, 1.9))
