"""Sentences and bars of statistics over segments, by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from flawscope.errors import BundleError
from flawscope.runtime.calibration import Calibration
from flawscope.runtime.explain import Explanation, explainer
from flawscope.runtime.explain.segment_statistics import Feature, features_of
from flawscope.runtime.images import Frame
from flawscope.runtime.manifest import Manifest
from flawscope.runtime.prediction import Decision, Finding, Look, Prediction, Region
from quadrants_model import SEGMENTS, names, quadrants, quadrants_manifest

STATISTICS = ["quantile", "skewness", "kurtosis", "mean"]
THRESHOLDS = Calibration(scores=tuple(np.linspace(0, 1, 59)), alpha=0.05)  # rejects above 1


def model(statistics: Sequence[str] = STATISTICS, *, scores: tuple[str, ...] = (), **learnt: Any) -> Manifest:
    """One detector's statistics over four segments, or those that `learnt` names, and further scores."""
    found = {"segments": SEGMENTS, "marks": ["0", "1", "2", "3"], **learnt}
    features = (*names(("nearest",), statistics, len(found["segments"])), *scores)
    plain = quadrants_manifest()
    outputs = tuple(
        output.model_copy(update={"names": features}) if output.name == "features" else output
        for output in plain.outputs
    )
    return quadrants_manifest(outputs=outputs, learnt=found, calibration=THRESHOLDS)


def explain(manifest: Manifest, prediction: Prediction) -> Explanation:
    return explainer(manifest.explains)(manifest, prediction)


def findings(manifest: Manifest, prediction: Prediction) -> tuple[Finding, ...]:
    return explain(manifest, prediction).findings


def contributions(manifest: Manifest, prediction: Prediction) -> tuple[tuple[str, float], ...]:
    return explain(manifest, prediction).contributions


def answer(
    moved: dict[int, float],
    *regions: Region,
    count: int = 16,
    decision: Decision = Decision.REJECT,
    labels: Any = None,
) -> Prediction:
    """Contributions by feature, 0 for others; feature i has the value i / 10, good pictures 0.2 to 0.42."""
    vector = np.zeros(count, np.float32)
    vector[list(moved)] = list(moved.values())
    score = {Decision.REJECT: 2.0, Decision.REVIEW: 0.97, Decision.ACCEPT: 0.1}[decision]
    outputs = {
        "segments": quadrants() if labels is None else labels,
        "contributions": vector,
        "features": np.arange(count, dtype=np.float32) / 10,
        "usual_low": np.full(count, 0.2, np.float32),
        "usual_high": np.full(count, 0.42, np.float32),
    }
    heatmap = np.zeros((160, 320), np.float32)
    looks = (Look(quadrants_manifest().frame.placement(*heatmap.shape), outputs),)
    return Prediction(score, 0.01, decision, heatmap=heatmap, regions=regions, looks=looks)


def area(x: int, y: int, size: int = 100) -> Region:
    return Region(box=(x, y, x + 10, y + 10), area=size, peak=(x, y), peak_score=0.9)


def test_features_are_told_by_their_names() -> None:
    found = features_of(model(["mean"], scores=("nearest 2/score of the picture", "the classifier/score")), 6)
    assert found[3] == Feature("nearest", 3, "mean")
    assert found[4:] == (
        Feature("nearest 2", None, "score of the picture"),
        Feature("the classifier", None, "score"),
    )


@pytest.mark.parametrize("count", [0, 15, 17])
def test_a_number_that_does_not_fit_is_refused(count: int) -> None:
    with pytest.raises(BundleError, match=f"features: expected 16 entries.*got {count} entries"):
        features_of(model(), count)


def test_the_strongest_contributions_are_told_first() -> None:
    found = findings(model(), answer({12: 2.1, 3: 0.9, 5: 0.8, 6: 0.7, 7: 0.6, 8: 0.3, 1: -3.0}))
    assert [finding.text for finding in found] == [
        "segment 3: the highest values of nearest's map (99.5 % quantile 1.2, good pictures 0.2 to 0.42) "
        "raise the score by 2.1",
        "segment 0: the average of nearest's map (mean 0.3, good pictures 0.2 to 0.42) "
        "raises the score by 0.9",
        "segment 1: the imbalance of few high against many low values in nearest's map (skewness 0.5, "
        "good pictures 0.2 to 0.42) raises the score by 0.8",
        "segment 1: the weight of rare, extreme values in nearest's map (kurtosis 0.6, good pictures "
        "0.2 to 0.42) raises the score by 0.7",
    ]
    assert found[0].values == pytest.approx(
        {"value": 1.2, "contribution": 2.1, "segment": 3, "usual_low": 0.2, "usual_high": 0.42}
    )


def test_small_contributions_are_not_told() -> None:
    assert len(findings(model(), answer({12: 2.0, 3: 0.41, 5: 0.39}))) == 2


def test_accepted_pictures_get_their_areas_alone() -> None:
    assert findings(model(), answer({12: 2.0}, decision=Decision.ACCEPT)) == ()
    (finding,) = findings(model(), answer({12: 2.0}, area(5, 5), decision=Decision.ACCEPT))
    assert finding.text.startswith("unusual area")


def test_a_negative_contribution_is_told_where_it_decides() -> None:
    # 0.97 lies below the reject threshold of 1, 0.97 + 0.5 above it, and 0.97 + 0.01 does not
    moved = {3: 0.4, 4: -0.5, 5: -0.01, 6: 0.3, 7: 0.2, 8: 0.1}
    *raising, last = findings(model(), answer(moved, decision=Decision.REVIEW))
    assert [finding.values["contribution"] for finding in raising] == pytest.approx([0.4, 0.3, 0.2])
    assert last.text.endswith("lower the score by 0.5, without which the picture would be rejected")
    (only,) = findings(model(), answer({3: 0.4, 5: -0.01}, decision=Decision.REVIEW))
    assert only.text.endswith("raises the score by 0.4")


def test_contributions_that_are_small_beside_a_deciding_one_are_not_told() -> None:
    lowering, whole = findings(model(), answer({3: 0.05, 4: -1.1}, decision=Decision.REVIEW))
    assert lowering.text.endswith("without which the picture would be rejected")
    assert "the picture as a whole scores 0.97, above the review threshold" in whole.text


def test_each_finding_holds_the_largest_region_of_its_segment() -> None:
    regions = (area(10, 10), area(30, 30, 200), area(300, 150), area(10, 150, 900))
    first, second, third, *areas = findings(model(), answer({0: 2.0, 12: 1.9, 4: 1.8}, *regions))
    assert first.region == regions[1]
    assert second.region == regions[2]
    assert third.region is None
    assert [finding.region for finding in areas] == list(regions)


def test_padded_frames_are_followed() -> None:
    # a 160 × 320 picture fills rows 4 to 11 of the frame: y = 70 lies in row 7, y = 90 in row 8
    manifest = model().model_copy(update={"frame": Frame(height=16, width=16, aspect="pad")})
    prediction = answer({0: 2.0, 8: 1.9}, area(10, 70), area(10, 90))
    assert [finding.region for finding in findings(manifest, prediction)[:2]] == list(prediction.regions)
    drawn = explain(manifest, prediction).segments
    assert drawn is not None
    assert drawn.marks == {0: "0", 1: "1", 2: "2", 3: "3"}
    np.testing.assert_array_equal(drawn.labels, quadrants())


def test_a_segment_that_the_picture_lacks_is_said_to_be_absent() -> None:
    (finding,) = findings(model(), answer({12: 2.0}, labels=np.minimum(quadrants(), 2)))
    assert finding.text.startswith("segment 3 (absent from this picture): the highest values")


@pytest.mark.parametrize(
    ("learnt", "index", "place"),
    [
        ({"segments": ["the whole picture"]}, 3, "the whole picture"),
        ({"segments": ["the background", "the object"], "marks": ["", ""]}, 3, "the background"),
        ({"segments": ["the background", "the object"], "marks": ["", ""]}, 7, "the object"),
    ],
)
def test_segments_have_the_names_that_fit_gave_them(learnt: dict[str, Any], index: int, place: str) -> None:
    manifest = model(**({"marks": None} | learnt))
    single = len(learnt["segments"]) == 1
    labels = np.minimum(quadrants(), 0 if single else 1)
    prediction = answer({index: 1.0}, count=4 * len(learnt["segments"]), labels=labels)
    (finding,) = findings(manifest, prediction)
    assert finding.text.startswith(f"{place}: the average of nearest's map (mean 0.")
    assert contributions(manifest, prediction)[0] == (f"{place} · nearest · mean", 1.0)
    drawn = explain(manifest, prediction).segments
    assert drawn is None if single else drawn is not None and drawn.marks == {}


def test_scores_of_the_whole_picture_are_told_too() -> None:
    manifest = model(["maximum"], scores=("nearest/score of the picture", "the classifier/score"))
    first, second, third = findings(manifest, answer({5: 2.0, 4: 1.0, 1: 0.9}, area(5, 5), count=6))[:3]
    assert first.text == "the classifier's score (0.5, good pictures 0.2 to 0.42) raises the score by 2"
    assert (
        second.text == "nearest's score of the picture (0.4, good pictures 0.2 to 0.42) raises the score by 1"
    )
    assert third.text.startswith("segment 1: the highest value of nearest's map (maximum 0.1,")
    assert first.region is None
    assert "segment" not in first.values
    assert contributions(manifest, answer({5: 2.0}, count=6))[0] == ("classifier · score", 2.0)


def test_bars_are_the_strongest_and_all_others_together() -> None:
    moved = {index: (-1) ** index * (index + 1.0) for index in range(16)}
    bars = contributions(model(), answer(moved))
    assert len(bars) == 9
    assert bars[0] == ("segment 3 · nearest · mean", -16.0)
    assert bars[1] == ("segment 3 · nearest · kurtosis", 15.0)
    assert bars[-1] == ("8 others together", -4.0)
    assert sum(value for _, value in bars) == pytest.approx(sum(moved.values()))
    few = model(["maximum"])
    assert len(contributions(few, answer({0: 1.0}, count=4))) == 4


def test_a_picture_that_nothing_raises_keeps_the_plain_finding() -> None:
    (finding,) = findings(model(), answer({3: -1.0}))
    assert "the picture as a whole scores 2" in finding.text


def test_models_without_these_outputs_are_explained_by_their_areas() -> None:
    prediction = Prediction(2.0, 0.01, Decision.REJECT, heatmap=np.zeros((160, 320), np.float32))
    assert "as a whole" in findings(model(), prediction)[0].text
    assert contributions(model(), prediction) == ()
    assert explain(model(), prediction).segments is None
    other = explain(quadrants_manifest(explains="levels"), answer({0: 1.0}))
    assert other.contributions == ()
    assert other.segments is None


def test_outputs_of_another_length_are_refused() -> None:
    with pytest.raises(BundleError, match="Train again"):
        findings(model(), answer({0: 1.0}, count=17))
