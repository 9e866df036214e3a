"""Sentences on components that lie where good pictures never show them, by hand."""

from __future__ import annotations

import pytest

from components_model import explain, model, strays
from flawscope.runtime.prediction import Decision, Explanation, Finding

AREA = 0.02  # of the picture: 16 of 800 cells
TOLD = "area 2.0 % of the picture (good pictures 0.0 to 0.1 %)"
NUT = (2, 0, 10, 4, 14)  # upon the screw of compartment 2
SCREW, WASHER = (1, 5, 5, 9, 9), (3, 10, 10, 14, 14)  # upon the washer of compartment 1 and the screw of 6


def only(explanation: Explanation) -> Finding:
    (finding,) = explanation.findings
    return finding


def test_a_stray_is_told_with_its_place_and_what_good_pictures_show_there() -> None:
    finding = only(explain(**strays((1, 0, 36, 4, 40), found={1: AREA})))
    assert finding.text == (
        "screw at the top right corner in compartment 4 of 2×4, around (304, 16), where good pictures show "
        f"background: {TOLD}"
    )
    assert finding.region is not None
    assert finding.region.box == (288, 0, 320, 32)
    told = {name: finding.values[name] for name in ("class", "more", "usual", "cell", "x", "y")}
    assert told == {"class": 1, "more": 1, "usual": 0, "cell": 4, "x": 304, "y": 16}
    assert finding.values["area"] == pytest.approx(AREA)


def test_a_part_in_anothers_place_names_it() -> None:
    finding = only(explain(**strays(NUT, found={2: AREA})))
    assert finding.text.endswith(f"around (96, 16), where good pictures show screw: {TOLD}")
    assert finding.values["usual"] == 1


def test_two_that_lie_in_each_others_places_have_changed_them() -> None:
    finding = only(explain(**strays(SCREW, WASHER, found={1: AREA, 3: AREA})))
    assert finding.text == (
        f"screw and washer have changed places: screw in compartment 1 of 2×4, around (56, 56): {TOLD}; "
        f"washer in compartment 6 of 2×4, around (96, 96): {TOLD}"
    )
    told = {name: value for name, value in finding.values.items() if name.startswith("instead_of")}
    assert told == {"instead_of": 3, "instead_of_cell": 6, "instead_of_x": 96, "instead_of_y": 96}


def test_what_cells_say_of_the_same_exchange_is_not_told_again() -> None:
    cells = {"2x4/0/1": 0.16, "2x4/0/3": 0.0, "2x4/5/3": 0.09, "2x4/5/1": 0.0}
    texts = [f.text for f in explain(cells, **strays(SCREW, WASHER, found={1: AREA, 3: AREA})).findings]
    assert len(texts) == 1
    assert " have changed places: " in texts[0]


def test_cells_alone_tell_an_exchange() -> None:
    finding = only(explain({"2x4/0/1": 0.2, "2x4/0/3": 0.0, "2x4/5/3": 0.1, "2x4/5/1": 0.0}))
    assert finding.text == (
        "washer and screw have changed places: "
        "washer in compartment 6 of 2×4: area 10.0 % (good pictures 4.0 to 5.0 %); "
        "screw in compartment 1 of 2×4: area 20.0 % (good pictures 10.0 to 12.0 %)"
    )


def test_an_extra_component_and_its_stray_are_one_sentence() -> None:
    finding = only(explain({"2x4/1/2": 0.1}, (8, 1, 8), **strays(NUT, found={2: AREA})))
    assert finding.text == (
        "extra nut at the top edge in compartment 2 of 2×4, around (96, 16), where good pictures show screw: "
        "1 found, 0 expected"
    )


def test_a_stray_in_place_of_what_is_missing_is_one_sentence() -> None:
    finding = only(explain(counts=(7, 1, 8), **strays(NUT, found={2: AREA})))
    assert finding.text == (
        "nut instead of screw at the top edge in compartment 2 of 2×4, around (96, 16): "
        "nut 1 found, 0 expected; screw 7 found, 8 expected"
    )
    assert finding.values["instead_of"] == 1
    apart = explain(counts=(8, 1, 7), **strays(NUT, found={2: AREA})).findings
    assert [finding.text.split(" in ")[0] for finding in apart] == [
        "extra nut at the top edge",
        "missing washer: 7 found, 8 expected",
    ]


def test_a_stray_that_another_cell_lacks_is_misplaced() -> None:
    finding = only(explain({"2x4/2/1": 0.0}, **strays((1, 0, 36, 4, 40), found={1: AREA})))
    assert finding.text.startswith(
        "screw at the top right corner in compartment 4 instead of compartment 3 of 2×4, around (304, 16), "
    )
    assert finding.values["instead_of_cell"] == 3
    here = only(explain({"2x4/3/1": 0.0}, **strays((1, 0, 36, 4, 40), found={1: AREA})))
    assert "instead of" not in here.text


def test_several_strays_are_told_largest_first_and_parts_of_a_part_not_at_all() -> None:
    washer, hole, other = (3, 0, 34, 5, 40), (1, 1, 36, 3, 38), (3, 15, 25, 18, 29)
    shares = {3: 42 / 800, 1: 4 / 800}
    texts = [finding.text for finding in explain(**strays(washer, hole, other, found=shares)).findings]
    assert [text.split(", where")[0] for text in texts] == [
        "washer at the right edge in compartment 4 of 2×4, around (296, 20)",
        "washer in compartment 7 of 2×4, around (220, 137)",
    ]


def test_below_the_level_of_good_pictures_nothing_is_told() -> None:
    small = strays((1, 0, 36, 4, 40), found={1: 0.0006})
    assert only(explain(**small)).text.startswith("no single area stands out")
    accepted = explain(**strays(NUT, found={2: AREA}), decision=Decision.ACCEPT)
    assert accepted.findings == ()


def test_strays_are_told_where_there_is_no_histogram() -> None:
    manifest = model()
    others = tuple(output for output in manifest.outputs if output.name != "histogram")
    stage = manifest.stages[0].model_copy(update={"outputs": tuple(output.name for output in others)})
    alone = manifest.model_copy(update={"outputs": others, "stages": (stage,)})
    finding = only(explain(manifest=alone, histogram=False, **strays(NUT, found={2: AREA})))
    assert finding.text.startswith("nut at the top edge, around (96, 16), where good pictures show screw")
