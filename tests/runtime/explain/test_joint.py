"""Findings of a committee: who fired, how far out, in what sense, and then what each member says itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from brightness_model import make_manifest
from flawscope.errors import BundleError
from flawscope.runtime.explain import explainer
from flawscope.runtime.manifest import HeatmapRange, Manifest, OutputSpec
from flawscope.runtime.placement import Placement
from flawscope.runtime.prediction import Decision, Explanation, Look, Prediction, Region

FRAME = (30, 40)
LEVELS = HeatmapRange(low=1.0, high=3.0, threshold=2.0)
AREA = Region(box=(12, 4, 20, 10), area=40, peak=(14, 6), peak_score=6.4)
MAPS = [OutputSpec(name=name, kind="heatmap").model_dump(mode="json") for name in ("local_map", "global_map")]
BRANCHES = OutputSpec(name="branches", kind="vector", names=("banks", "shares"))
PARTS = [BRANCHES, OutputSpec(name="components", kind="label_map")]
MEMBERS: list[dict[str, Any]] = [
    {"name": "twins", "sense": "structural", "explains": "two_maps", "outputs": MAPS, "learnt": {}},
    {
        "name": "parts",
        "sense": "logical",
        "senses": {"output": "branches", "of": {"banks": "structural"}},
        "explains": "components",
        "outputs": [output.model_dump(mode="json") for output in PARTS],
        "learnt": {"names": ["background", "pin"]},
    },
]


def model(**learnt: Any) -> Manifest:
    facts = {"members": MEMBERS, "join": "largest", "levelled_on": 24, **learnt}
    return make_manifest(explains="joint", learnt=facts, heatmap=LEVELS)  # for review above 0.5 or so


def explain(
    manifest: Manifest,
    levels: tuple[float, ...],
    *regions: Region,
    raw: tuple[float, ...] = (1.0, 5.0),
    decision: Decision = Decision.REJECT,
    branches: tuple[float, float] = (1.0, 5.0),
) -> Explanation:
    outputs = {
        "members": np.array(levels, np.float32),
        "raw_scores": np.array(raw, np.float32),
        "twins.local_map": np.full((3, 4), 0.1, np.float32),
        "twins.global_map": np.ones((3, 4), np.float32),
        "parts.branches": np.array(branches, np.float32),
        "parts.components": np.ones(FRAME, np.uint8),
        "parts.counts": np.array([3.0]),
        "parts.counts_low": np.array([4.0]),
        "parts.counts_high": np.array([4.0]),
    }
    score = max(levels) if manifest.learnt["join"] == "largest" else sum(levels)
    prediction = Prediction(
        score=score,
        p_value=0.01,
        decision=decision,
        heatmap=np.zeros(FRAME, np.float32),
        regions=regions,
        looks=(Look(Placement(FRAME, FRAME, (0, 0), FRAME), outputs),),
    )
    return explainer(manifest.explains)(manifest, prediction)


def texts(explanation: Explanation) -> list[str]:
    return [finding.text for finding in explanation.findings]


def test_who_fired_comes_before_what_it_says() -> None:
    found = explain(model(), (0.1, np.log(400)))
    assert texts(found) == [
        "parts, logical: as far out as 1 in 400 good pictures, by the tail fitted to 24",
        "missing pin: 3 found, 4 expected",
    ]
    assert found.findings[0].values == {
        "member": 1.0,
        "level": pytest.approx(np.log(400)),
        "one_in": pytest.approx(400),
        "score": 5.0,
    }
    assert found.segments is not None


def test_areas_are_told_once_in_the_words_that_say_most() -> None:
    told = texts(explain(model(), (7.0, 0.2), AREA))
    assert told[0] == "twins, structural: as far out as 1 in 1100 good pictures, by the tail fitted to 24"
    assert len(told) == 2
    assert told[1].startswith("unusual area 8 × 6 px around (16, 7), ")
    assert "something wrong with the arrangement" in told[1]
    silent = texts(explain(model(), (0.2, 7.0), AREA))
    assert "arrangement" not in silent[-1]
    assert len(silent) == 3


def test_knobs_of_a_member_are_known_to_its_reader() -> None:
    knob = {"name": "local_weight", "value": 0.95, "low": 0.0, "high": 1.0}
    turned = model(members=[{**MEMBERS[0], "scalars": [knob]}, MEMBERS[1]])
    (_, area) = texts(explain(turned, (7.0, 0.2), AREA))
    assert "in the spot itself and in the arrangement (local map 66%)" in area


def test_all_that_fired_are_told_the_highest_first() -> None:
    found = explain(model(), (3.0, 9.0))
    told = texts(found)
    assert found.contributions == ()
    assert [text.partition(",")[0] for text in told] == ["parts", "missing pin: 3 found", "twins"]


def test_what_lies_beyond_all_reason_gets_no_number() -> None:
    (first, *_) = texts(explain(model(), (80.0, 0.0)))
    assert (
        first == "twins, structural: farther out than 1 in a million good pictures, by the tail fitted to 24"
    )


def test_a_part_that_made_the_score_tells_the_sense() -> None:
    banks = explain(model(), (0.0, 4.0), branches=(5.0, 2.0))
    assert texts(banks)[0].startswith("parts, structural: as far out as 1 in 55 ")
    neither = explain(model(), (0.0, 4.0), branches=(3.0, 2.0))  # counts, of which the vector knows nothing
    assert texts(neither)[0].startswith("parts, logical: ")


def test_of_a_sum_those_have_fired_that_give_their_share() -> None:
    found = explain(model(join="sum"), (2.0, 3.0))
    assert found.contributions == (("parts", 3.0), ("twins", 2.0))
    told = texts(found)
    assert [text.partition(",")[0] for text in told] == ["parts", "missing pin: 3 found"]


def test_accepted_pictures_get_areas_alone() -> None:
    found = explain(model(), (0.1, 0.2), AREA, decision=Decision.ACCEPT)
    (area,) = texts(found)
    assert area.startswith("unusual area 8 × 6 px around (16, 7), ")
    assert "arrangement" not in area
    assert found.segments is not None


def test_outputs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BundleError, match="the model's members: expected 2 levels"):
        explain(model(), (1.0, 2.0, 3.0))
    with pytest.raises(BundleError, match="explanations of the model"):
        explain(model(members=[{**MEMBERS[0], "explains": "unheard"}, MEMBERS[1]]), (1.0, 2.0))
