"""Sentences on components of an unusual shape, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from components_model import explain, model
from flawscope.errors import BundleError
from flawscope.runtime.manifest import Manifest, OutputSpec
from flawscope.runtime.prediction import Decision

ENTRIES = ("distance", "area", "length", "width", "along", "across", "threefold across")
LOW = (1.0, 0.9, 0.96, 0.92, 0.2, 0.1, 0.2)
HIGH = (4.0, 1.1, 1.04, 1.08, 0.4, 0.3, 0.6)
SHORT = {"distance": 12.0, "area": 0.7, "length": 0.61}
BENT = {"distance": 20.0, "width": 1.25, "across": 0.5, "threefold across": 1.84}
WASHER, SCREW = (25, 65, 35, 75), (4, 84, 14, 94)  # of compartments 2 and 3: top, left, bottom, right


def named() -> Manifest:
    """The hand-made model, with the shapes of two components."""
    manifest = model()
    names = tuple(f"{index}/{entry}" for index in range(2) for entry in ENTRIES)
    outputs = (*manifest.outputs, OutputSpec(name="shapes", kind="vector", names=names))
    stage = manifest.stages[0].model_copy(update={"outputs": tuple(output.name for output in outputs)})
    return manifest.model_copy(update={"outputs": outputs, "stages": (stage,)})


def shapes(*parts: tuple[tuple[int, int, int, int], dict[str, float]]) -> dict[str, NDArray[Any]]:
    """Outputs of components, each a box (top, left, bottom, right) of the frame and what is amiss."""
    odd = np.zeros((40, 80), np.uint8)  # squares of two pixels a side
    rows = np.zeros((3, 2, len(ENTRIES)), np.float32)
    for index, ((top, left, bottom, right), amiss) in enumerate(parts):
        odd[top // 2 : bottom // 2, left // 2 : right // 2] = index + 1
        usual = {name: (low + high) / 2 for name, low, high in zip(ENTRIES, LOW, HIGH, strict=True)}
        rows[:, index] = [*(usual | amiss).values()], LOW, HIGH
    found, low, high = rows.reshape(3, -1)
    return {"shapes": found, "shapes_low": low, "shapes_high": high, "odd": odd, "manifest": named()}


def texts(*given: Any, **further: Any) -> list[str]:
    return [finding.text for finding in explain(*given, **further).findings]


def test_a_component_is_told_with_its_place_and_in_what_it_differs() -> None:
    (finding,) = explain(**shapes((SCREW, SHORT))).findings
    assert finding.text == (
        "screw shorter than usual in compartment 3 of 2×4, around (178, 18): "
        "length 61 % (good pictures 96 to 104 %), area 70 % (good pictures 90 to 110 %)"
    )
    assert finding.region is not None
    assert finding.region.box == (168, 8, 188, 28)
    told = {name: finding.values[name] for name in ("class", "cell", "x", "y")}
    assert told == {"class": 1, "cell": 3, "x": 178, "y": 18}
    length = [finding.values[name] for name in ("length", "length_low", "length_high")]
    assert length == pytest.approx([0.61, 0.96, 1.04])
    assert finding.values["distance"] == 12


def test_what_reaches_over_most_of_the_picture_lies_at_no_one_place() -> None:
    (finding,) = explain(**shapes(((4, 4, 76, 156), SHORT))).findings
    assert " shorter than usual: length 61 %" in finding.text
    assert not finding.values.keys() & {"cell", "x", "y"}


def test_the_clearest_comes_first_and_what_is_measured_in_two_ways_once() -> None:
    washer, screw = texts(**shapes((SCREW, SHORT), (WASHER, BENT)))
    assert washer.endswith(
        ": lopsidedness 1.84 (good pictures 0.20 to 0.60), width 125 % (good pictures 92 to 108 %)"
    )
    assert washer.startswith("washer more bent or lopsided than usual in compartment 2 of 2×4, around ")
    assert screw.startswith("screw shorter than usual")


def test_what_no_single_measure_tells_is_told_by_its_distance() -> None:
    (text,) = texts(**shapes((SCREW, {"distance": 9.0})))
    assert text.startswith("screw of an unusual shape in compartment 3 of 2×4, ")
    assert text.endswith(": 2.2 times as far from good ones as 19 of 20 good pictures show")


def test_what_is_missing_comes_first_and_mere_amounts_last_or_not_at_all() -> None:
    odd = shapes((SCREW, SHORT))
    assert [text[:13] for text in texts(None, (8, 0, 7), **odd)] == ["missing washe", "screw shorter"]
    less = texts({"2x4/2/1": 0.08, "2x4/4/3": 0.06}, **odd)
    assert [text[:13] for text in less] == ["screw shorter", "more washer t"]


COLOURS = ("distance", "light", "red", "blue", "contrast")
LEAST = (15.0, 0.9, 0.97, 0.95, 0.8)
MOST = (21.0, 1.1, 1.03, 1.05, 1.2)


def colours(box: tuple[int, int, int, int], **amiss: float) -> dict[str, NDArray[Any]]:
    """Outputs that tell the colours of one component."""
    manifest = named()
    names = tuple(f"0/{entry}" for entry in COLOURS)
    outputs = (*manifest.outputs, OutputSpec(name="colours", kind="vector", names=names))
    stage = manifest.stages[0].model_copy(update={"outputs": tuple(output.name for output in outputs)})
    unlike = np.zeros((40, 80), np.uint8)
    unlike[box[0] // 2 : box[2] // 2, box[1] // 2 : box[3] // 2] = 1
    found = np.array(
        [amiss.get(name, (MOST[index] + LEAST[index]) / 2) for index, name in enumerate(COLOURS)]
    )
    ends = {"colours_low": np.array(LEAST), "colours_high": np.array(MOST), "unlike": unlike}
    updated = manifest.model_copy(update={"outputs": outputs, "stages": (stage,)})
    return {"colours": found, **ends, "manifest": updated}


def test_a_component_of_unusual_colours_is_told_by_them() -> None:
    plain = shapes()
    (rusty,) = texts(**plain | colours(SCREW, distance=60.0, light=0.6, red=1.12))
    assert rusty == (
        "screw darker than usual in compartment 3 of 2×4, around (178, 18): light 60 % (good pictures 90 to "
        "110 %), red against green 112 % (good pictures 97 to 103 %)"
    )
    (other,) = texts(**plain | colours(WASHER, distance=42.0))
    assert other.startswith("washer of unusual colours in compartment 2 of 2×4, ")
    assert other.endswith(": 2 times as far from good ones as 19 of 20 good pictures show")
    (within,) = texts(**plain | colours(WASHER, distance=22.0, light=0.6))
    assert within.startswith("no single area stands out")


def test_a_component_of_which_shape_and_colours_are_unusual_is_told_once() -> None:
    given = shapes((SCREW, SHORT))
    (uneven,) = explain(**given | colours(SCREW, distance=28.0, contrast=1.5)).findings
    assert uneven.text == (
        "screw shorter and more uneven than usual in compartment 3 of 2×4, around (178, 18): "
        "length 61 % (good pictures 96 to 104 %), area 70 % (good pictures 90 to 110 %), "
        "contrast 150 % (good pictures 80 to 120 %)"
    )
    assert (uneven.values["distance"], uneven.values["contrast"]) == (12, 1.5)
    (of_unusual,) = texts(**given | colours(SCREW, distance=28.0))
    assert of_unusual.startswith("screw shorter than usual and of unusual colours in compartment 3 of 2×4")
    (neither,) = texts(**shapes((SCREW, {"distance": 9.0})) | colours(SCREW, distance=28.0))
    assert neither.startswith("screw of an unusual shape and of unusual colours in ")
    apart = texts(**given | colours(WASHER, distance=60.0))
    assert [text[:5] for text in apart] == ["washe", "screw"], "the clearer one first"


def test_within_what_good_pictures_show_nothing_is_told() -> None:
    (text,) = texts(**shapes((SCREW, {**SHORT, "distance": 5.4})))
    assert text.startswith("no single area stands out")
    assert explain(**shapes((SCREW, SHORT)), decision=Decision.ACCEPT).findings == ()


def test_refuses_shapes_that_the_manifest_does_not_name() -> None:
    given = {**shapes((SCREW, SHORT)), "manifest": model()}
    with pytest.raises(BundleError, match=r"shapes: expected 0 entries.* got 14 entries"):
        explain(**given)
