"""Sentences on hues that good pictures do not show near there, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from components_model import explain, model, strays
from flawscope.errors import BundleError
from flawscope.methods.csad.hues import NAMES
from flawscope.runtime.manifest import Manifest, OutputSpec
from flawscope.runtime.prediction import Decision

LOW, HIGH = -0.5, 0.9
AWAY = (50, 130, 60, 144)  # of the frame: top, left, bottom, right; no part lies there
WASHER = (25, 65, 35, 75)


def named(names: tuple[str, ...] = NAMES) -> Manifest:
    """The hand-made model, with hues."""
    manifest = model()
    outputs = (*manifest.outputs, OutputSpec(name="hues", kind="vector", names=names))
    stage = manifest.stages[0].model_copy(update={"outputs": tuple(output.name for output in outputs)})
    return manifest.model_copy(update={"outputs": outputs, "stages": (stage,)})


def hues(
    box: tuple[int, int, int, int], hue: str, names: tuple[str, ...] = NAMES, **excess: float
) -> dict[str, Any]:
    """Outputs of a picture with a box (top, left, bottom, right) of the frame in which a hue exceeds."""
    tinted: NDArray[np.uint8] = np.zeros((40, 80), np.uint8)  # squares of two pixels a side
    top, left, bottom, right = box
    tinted[top // 2 : bottom // 2, left // 2 : right // 2] = NAMES.index(hue) + 1
    found = np.array([excess.get(name, 0.3) for name in NAMES], np.float32)
    ends = {"hues_low": np.full(4, LOW, np.float32), "hues_high": np.full(4, HIGH, np.float32)}
    return {"hues": found, **ends, "tinted": tinted, "manifest": named(names)}


def test_a_hue_is_told_with_its_place_and_by_how_much() -> None:
    given = hues(AWAY, "red", red=5.14, yellow=3.0)
    given["tinted"][26:28, 66:68] = NAMES.index("yellow") + 1
    (finding,) = explain(**given).findings
    assert finding.text == (
        "redder and yellower around (274, 110) than good pictures are near there: "
        "5.1 deviations beyond all that were learnt from (good pictures up to 0.9)"
    )
    assert finding.region is not None
    assert finding.region.box == (260, 100, 288, 120)
    expected = {
        "x": 274,
        "y": 110,
        "hue_red": 5.14,
        "hue_red_low": -0.5,
        "hue_red_high": 0.9,
        "hue_yellow": 3.0,
    }
    assert {name: finding.values[name] for name in expected} == pytest.approx(expected)
    assert not any("green" in name for name in finding.values)


def test_hues_of_good_pictures_are_not_told() -> None:
    texts = [finding.text for finding in explain(**hues(AWAY, "blue", blue=1.4)).findings]
    assert not any("than good pictures are near there" in text for text in texts)
    within = hues(AWAY, "blue", blue=0.4)
    within["hues_low"][:], within["hues_high"][:] = -1.6, -1.2  # good pictures stay far below their limits
    assert not any("deviations beyond" in finding.text for finding in explain(**within).findings)
    accepted = explain(**hues(AWAY, "red", red=9.0), decision=Decision.ACCEPT)
    assert not accepted.findings


def test_what_is_told_lies_in_one_place_and_does_not_contradict_itself() -> None:
    given = hues(AWAY, "red", red=5.0, green=9.0, yellow=4.0)
    given["tinted"][25:30, 65:69] = NAMES.index("green") + 1  # beside the red, in the same box
    given["tinted"][5:8, 10:13] = NAMES.index("yellow") + 1  # elsewhere
    (finding,) = explain(**given).findings
    assert finding.text.startswith(
        "greener around (268, 110) than good pictures are near there: 9.0 deviations"
    )
    assert not any("red" in name for name in finding.values)


def test_the_farthest_of_what_is_clear_is_told() -> None:
    given = hues(AWAY, "red", red=20.0, yellow=80.0)
    given["tinted"][25:30, 65:69] = NAMES.index("yellow") + 1
    assert explain(**given).findings[0].text.startswith("yellower and redder around")


def test_a_clear_hue_without_a_place_gives_way_to_one_that_has_a_place() -> None:
    given = hues(AWAY, "yellow", red=9.0, yellow=4.0)
    assert explain(**given).findings[0].text.startswith("yellower around (274, 110)")


def test_only_hues_that_are_clear_say_where() -> None:
    given = hues(AWAY, "green", red=1.0, green=4.0)
    given["tinted"][2:4, 2:4] = NAMES.index("red") + 1
    (finding,) = explain(**given).findings
    assert finding.text.startswith("greener around (274, 110)")
    assert finding.region is not None
    assert finding.region.box == (260, 100, 288, 120)


def test_what_is_missing_or_extra_comes_first_and_explains_the_hue_at_its_place() -> None:
    extra = {"2x4/1/2": 0.05, "1x1/0/2": 0.006}
    texts = [finding.text for finding in explain(extra, (8, 1, 8), **hues(AWAY, "blue", blue=6.0)).findings]
    assert texts[0].startswith("extra nut")
    assert texts[1].startswith("bluer around")
    stray = strays((3, 11, 31, 15, 36), found={3: 0.01})  # a washer where good pictures show none
    told = [
        finding.text for finding in explain(**stray, **hues((48, 128, 56, 140), "blue", blue=6.0)).findings
    ]
    assert [text[:6] for text in told] == ["washer"]


def test_what_is_missing_from_a_large_compartment_hides_no_stain_elsewhere_in_it() -> None:
    less = {"2x4/1/3": 0.0, "1x1/0/3": 0.039}
    told = [
        finding.text[:14] for finding in explain(less, (8, 0, 7), **hues(WASHER, "red", red=6.0)).findings
    ]
    assert told == ["missing washer", "redder around "]  # a compartment is an eighth of the picture


def test_a_model_that_names_other_hues_is_refused() -> None:
    with pytest.raises(BundleError, match="expected 3 entries"):
        explain(**hues(AWAY, "red", NAMES[:3], red=6.0))
