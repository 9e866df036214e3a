"""Sentences on surfaces, outlines and numbers of components, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flawscope.errors import BundleError
from flawscope.runtime.calibration import Calibration
from flawscope.runtime.explain import Explanation, explainer
from flawscope.runtime.images import Frame
from flawscope.runtime.manifest import HeatmapRange, Manifest, OutputSpec
from flawscope.runtime.placement import Placement
from flawscope.runtime.prediction import Decision, Look, Prediction, Region
from quadrants_model import quadrants_manifest

FRAME = (40, 80)
PARTS = tuple(f"{label}/{kind}" for label in (1, 3) for kind in ("surface", "outline"))


def model(**learnt: Any) -> Manifest:
    parts = OutputSpec(name="parts", kind="vector", names=PARTS)
    others = tuple(output for output in quadrants_manifest().outputs if output.kind in ("score", "heatmap"))
    outputs = (*others, parts)
    stage = quadrants_manifest().stages[0].model_copy(update={"outputs": tuple(one.name for one in outputs)})
    known = {"names": ["background", "component 1", "nut", "wheel"], "usual": [[2, 3], [1, 1], [1, 1]]}
    return quadrants_manifest(
        outputs=outputs,
        stages=(stage,),
        explains="judged_components",
        learnt={**known, **learnt},
        frame=Frame(height=FRAME[0], width=FRAME[1]),
        heatmap=HeatmapRange(low=0, high=2, threshold=1),
        calibration=Calibration(scores=tuple(1 + np.arange(59) / 1000), alpha=0.05),
    )


def explain(
    parts: tuple[float, ...] = (0.5, 0.5, 0.5, 0.5),
    counts: tuple[int, ...] | None = (2, 1, 1),
    *,
    decision: Decision = Decision.REJECT,
    regions: tuple[Region, ...] = (),
    manifest: Manifest | None = None,
) -> Explanation:
    """What the reader says of a picture of twice the frame's size: 1 lies at the left, 3 at the right."""
    labels = np.zeros(FRAME, np.uint8)
    labels[10:20, 10:20], labels[10:20, 50:60] = 1, 3
    heatmap = np.zeros((80, 160), np.float32)
    heatmap[24, 30], heatmap[30, 104] = 0.5, 3
    outputs = {"components": labels, "parts": np.array(parts, np.float32)}
    if counts is not None:
        outputs["counts"] = np.array(counts, np.float32)
    manifest = manifest or model()
    looks = (Look(manifest.frame.placement(*heatmap.shape), outputs),)
    prediction = Prediction(2.0, 0.01, decision, heatmap=heatmap, regions=regions, looks=looks)
    return explainer(manifest.explains)(manifest, prediction)


def texts(explanation: Explanation) -> list[str]:
    return [finding.text for finding in explanation.findings]


def test_surface_and_outline_are_told_with_their_place() -> None:
    explanation = explain((0.5, 0.5, 2.5, 1.25))
    assert texts(explanation) == [
        "component 3 (wheel): surface unlike any good one at (104, 30) (2.5, good ones up to 1); "
        "outline unlike any good one at (104, 30) (1.25, good ones up to 1)"
    ]
    (finding,) = explanation.findings
    assert finding.values == {"component": 3, "surface": 2.5, "outline": 1.25}
    assert finding.region is not None
    assert finding.region.peak == (104, 30)
    assert explanation.segments is not None
    assert explanation.segments.marks == {1: "component 1", 2: "nut", 3: "wheel"}
    assert explanation.segments.values == ("component",)


def test_numbers_come_first_and_the_clearest_component_leads() -> None:
    found = texts(explain((1.5, 0, 3, 0), (5, 1, 2)))
    assert found == [
        "component 1: 5 times, expected 2 to 3 times; surface unlike any good one at (30, 24) "
        "(1.5, good ones up to 1)",
        "component 3 (wheel): twice, expected once; surface unlike any good one at (104, 30) "
        "(3, good ones up to 1)",
    ]


def test_an_absent_component() -> None:
    assert texts(explain(counts=(2, 1, 0)))[0] == "component 3 (wheel): absent, expected once"
    found = explain(counts=(2, 1, 1), manifest=model(usual=[[2, 3], [1, 1], [0, 0]])).findings[0]
    assert found.text == "component 3 (wheel): once, expected nowhere"
    assert found.values["count_high"] == 0


def test_components_that_are_not_judged_are_not_told() -> None:
    assert texts(explain((0.5, 0.5, 1.5, 0.5), (2, 7, 1)))[0].startswith("component 3")
    assert not any("nut" in text for text in texts(explain(counts=(2, 7, 1))))


def test_what_the_thresholds_find_is_told_below_the_limit_too() -> None:
    calibration = Calibration(scores=(0.1, 0.2, 0.3, 0.4, 0.5), alpha=0.3, delta=0.5, promise="on_average")
    manifest = model().model_copy(update={"calibration": calibration})
    assert calibration.review_threshold < 0.9
    found = texts(explain((0.05, 0.0, 0.9, 0.1), manifest=manifest))[0]
    assert found == "component 3 (wheel): surface unusual at (104, 30) (0.9, good ones up to 1)"


def test_without_anything_clear_the_areas_are_told() -> None:
    area = Region((100, 25, 110, 35), 9, (104, 30), 3.0)
    assert texts(explain(regions=(area,)))[0].startswith("unusual area 10 × 10 px")
    assert texts(explain())[0].startswith("no single area stands out")
    both = texts(explain((0.5, 0.5, 2, 0.5), regions=(area,)))
    assert [text.split()[0] for text in both] == ["component", "unusual"]
    accepted = explain((0.5, 0.5, 2, 0.5), decision=Decision.ACCEPT)
    assert accepted.findings == ()
    assert accepted.segments is not None


def test_a_flaw_across_a_border_is_told_of_the_clearest_component() -> None:
    area = Region((20, 20, 110, 35), 900, (104, 30), 3.0)  # in which both components' peaks lie
    surfaces = (1.5, 0.5, 2, 0.5)
    assert [text.split()[:2] for text in texts(explain(surfaces, regions=(area,)))] == [
        ["component", "3"],
        ["unusual", "area"],
    ]
    for amiss, counts in (((1.5, 1.2, 2, 0.5), (2, 1, 1)), (surfaces, (5, 1, 1))):
        assert sum("component 1" in text for text in texts(explain(amiss, counts, regions=(area,)))) == 1
    elsewhere = Region((100, 25, 110, 35), 9, (104, 30), 3.0)
    assert len(texts(explain(surfaces, regions=(elsewhere,)))) == 3


@pytest.mark.parametrize(("apart", "told"), [(1, 1), (8, 2)])
def test_peaks_that_are_near_each_other_are_one_place(apart: int, told: int) -> None:
    labels, heatmap = np.zeros(FRAME, np.uint8), np.zeros(FRAME, np.float32)
    labels[10:20, 10:20], labels[10:20, 20:40] = 1, 3
    heatmap[12, 19], heatmap[12, 19 + apart] = 2, 3
    outputs = {"components": labels, "parts": np.array((1.5, 0.5, 2, 0.5), np.float32)}
    look = Look(model().frame.placement(*FRAME), outputs)
    prediction = Prediction(2.0, 0.01, Decision.REJECT, heatmap=heatmap, looks=(look,))
    found = texts(explainer("judged_components")(model(), prediction))
    assert len([text for text in found if text.startswith("component")]) == told


def test_a_method_that_does_not_count() -> None:
    assert texts(explain((0.5, 0.5, 2, 0.5), None))[0].startswith("component 3 (wheel): surface unlike")


def test_outputs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BundleError, match="the model's parts: expected 4 entries, as the manifest names"):
        explain((1.0, 2.0))


def test_of_a_picture_in_tiles_the_tile_that_tells_most_speaks() -> None:
    """Two tiles of 40×80 pixels, one below the other; both show component 3, the lower one flawed."""
    heatmap = np.zeros((80, 80), np.float32)
    heatmap[55, 54] = 3
    looks = []
    for top, surface, count in ((0, 1.5, 1), (40, 2.5, 2)):
        labels = np.zeros(FRAME, np.uint8)
        labels[10:20, 50:60] = 3
        parts = np.array((0.5, 0.5, surface, 0.5), np.float32)
        outputs = {"components": labels, "parts": parts, "counts": np.array((2, 1, count), np.float32)}
        looks.append(Look(Placement(FRAME, (80, 80), (-top, 0), (80, 80)), outputs))
    prediction = Prediction(2.5, 0.01, Decision.REJECT, heatmap=heatmap, looks=tuple(looks))
    explanation = explainer("judged_components")(model(), prediction)
    assert texts(explanation) == [
        "component 3 (wheel): twice, expected once in the tile of 80 × 40 px at (0, 40); surface unlike any "
        "good one at (54, 55) (2.5, good ones up to 1)"
    ]
    region = explanation.findings[0].region
    assert region is not None
    assert region.box == (54, 55, 55, 56)
    assert explanation.segments is None
