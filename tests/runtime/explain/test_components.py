"""Sentences on missing, extra, swapped and misplaced components, by hand."""

from __future__ import annotations

import pytest

from components_model import ENTRIES, explain, model
from flawscope.errors import BundleError
from flawscope.runtime.explain import Explanation
from flawscope.runtime.prediction import Decision, Finding, Region


def only(explanation: Explanation) -> Finding:
    (finding,) = explanation.findings
    return finding


def test_a_missing_component_is_told_by_its_count_and_its_cell() -> None:
    finding = only(explain({"2x4/6/1": 0.0}, (7, 0, 8)))
    assert finding.text == "missing screw in compartment 7 of 2×4: 7 found, 8 expected"
    assert finding.values["class"] == 1
    assert finding.values["cell"] == 7
    assert (finding.values["count"], finding.values["count_low"]) == (7, 8)
    assert finding.values["area"] == 0
    assert finding.region is not None
    assert finding.region.box == (160, 80, 240, 160)  # the cell, in the picture's pixels


def test_a_part_that_is_seen_turned_is_told_where_it_lies() -> None:
    """By half a turn: its compartment 7 of 2×4 lies where 2 of 2×4 does."""
    finding = only(explain({"2x4/6/1": 0.0}, (7, 0, 8), turned_round=True))
    assert finding.text == (
        "missing screw in compartment 7 of 2×4 of the part as it is turned, around (120, 40): "
        "7 found, 8 expected"
    )
    assert finding.region is not None
    assert finding.region.box == (80, 0, 160, 80)
    assert (finding.values["x"], finding.values["y"]) == (120, 40)


def test_without_a_count_the_area_tells() -> None:
    finding = only(explain({"2x4/6/3": 0.0, "1x1/0/3": 0.039}))
    assert finding.text == "missing washer in compartment 7 of 2×4: area 0.0 % (good pictures 4.0 to 5.0 %)"


def test_an_extra_component_has_the_region_of_its_own() -> None:
    finding = only(explain({"2x4/2/1": 0.22}, (9, 0, 8)))
    assert finding.text == "extra screw in compartment 3 of 2×4: 9 found, 8 expected"
    assert finding.region is not None
    assert finding.region.box == (168, 8, 188, 28)
    assert finding.region.area == 400


def test_where_no_cell_is_known_the_count_alone_tells() -> None:
    finding = only(explain(counts=(9, 0, 8)))
    assert finding.text == "extra screw: 9 found, 8 expected"
    assert finding.region is not None  # the screw over which the heatmap is highest
    assert finding.region.peak == (172, 12)
    assert only(explain(counts=(7, 0, 8))).region is None


def test_one_class_in_anothers_place_is_one_sentence() -> None:
    finding = only(explain({"2x4/4/2": 0.045, "2x4/4/3": 0.0}, (8, 1, 7)))
    assert finding.text == (
        "nut instead of washer in compartment 5 of 2×4: nut 1 found, 0 expected; washer 7 found, 8 expected"
    )
    assert (finding.values["class"], finding.values["instead_of"], finding.values["cell"]) == (2, 3, 5)
    loose = only(explain(counts=(8, 1, 7)))
    assert loose.text == "nut instead of washer: nut 1 found, 0 expected; washer 7 found, 8 expected"


def test_two_classes_that_change_places_are_two_sentences() -> None:
    texts = [
        finding.text
        for finding in explain({"2x4/0/1": 0.0, "2x4/0/2": 0.1, "2x4/3/1": 0.22, "2x4/3/3": 0.0}).findings
    ]
    assert len(texts) == 2
    assert texts[0].startswith("nut instead of screw in compartment 1 of 2×4: nut area 10.0 %")
    assert texts[1].startswith("screw instead of washer in compartment 4 of 2×4")


def test_a_component_in_another_cell_is_misplaced() -> None:
    finding = only(explain({"2x4/0/3": 0.0, "2x4/1/3": 0.09}))
    assert finding.text == (
        "washer in compartment 2 instead of compartment 1 of 2×4: area 9.0 % (good pictures 4.0 to 5.0 %)"
    )
    assert (finding.values["cell"], finding.values["instead_of_cell"]) == (2, 1)


def test_what_merely_shows_more_is_told_alone_but_not_beside_components() -> None:
    assert only(explain({"2x4/1/1": 0.14})).text == (
        "more screw than usual in compartment 2 of 2×4: area 14.0 % (good pictures 10.0 to 12.0 %)"
    )
    assert len(explain({"2x4/1/1": 0.14, "2x4/6/3": 0.0}).findings) == 1


def test_classes_without_names_have_numbers() -> None:
    assert (
        only(explain(counts=(7, 0, 8), manifest=model(names=[]))).text
        == "missing class 1: 7 found, 8 expected"
    )


def test_accepted_pictures_get_no_sentences_but_the_map() -> None:
    explanation = explain({"2x4/6/1": 0.0}, (7, 0, 8), decision=Decision.ACCEPT)
    assert explanation.findings == ()
    assert explanation.segments is not None
    assert explanation.segments.marks == {1: "screw", 2: "nut", 3: "washer"}
    assert explanation.segments.values == ("class", "instead_of")


def test_areas_follow_and_stand_alone_where_components_are_as_usual() -> None:
    region = Region(box=(10, 10, 20, 20), area=80, peak=(12, 12), peak_score=1.5)
    texts = [finding.text for finding in explain(counts=(7, 0, 8), regions=(region,)).findings]
    assert texts[0].startswith("missing screw")
    assert texts[1].startswith("unusual area")
    assert only(explain(regions=(region,))).text.startswith("unusual area")
    assert only(explain()).text.startswith("no single area stands out")


def test_a_histogram_of_another_model_is_refused() -> None:
    manifest = model()
    outputs = tuple(
        output.model_copy(update={"names": tuple(ENTRIES[:3])}) if output.name == "histogram" else output
        for output in manifest.outputs
    )
    with pytest.raises(BundleError, match="3 entries"):
        explain(manifest=manifest.model_copy(update={"outputs": outputs}))
