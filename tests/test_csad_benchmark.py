"""The measurement of CSAD: what truths say, when findings are right, overlaps, branches, and a whole row."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from flawscope.runtime.prediction import Finding

Load = Callable[[str], ModuleType]
SMALL = {
    "size": [64, 64],
    "backbone": "test_resnet",
    "weights": "random",
    "segments": {"kind": "object"},
    "structure": None,
    "places": None,
    "hues": None,
    "shapes": None,
    "colours": None,
}
SIZE = (256, 256)
COUNTS = {"train": 6, "validation": 4, "test_good": 3}


@pytest.fixture(autouse=True)
def _torch() -> None:
    pytest.importorskip("torch")


@pytest.mark.parametrize(
    ("product", "flaw", "truth", "expected"),
    [
        (
            "pin_tray",
            "missing_pin",
            "pin missing in compartment 9",
            [("brass pin", False, (5, 6)), ("pin", False, (11, 12))],
        ),
        (
            "pin_tray",
            "extra_pin",
            "two pins in compartment 3",
            [("nickel pin", True, (7, 6)), ("pin", True, (13, 12))],
        ),
        (
            "pin_tray",
            "misplaced_pin",
            "pin of compartment 10 lies in compartment 9",
            [(name, more, None) for name in ("brass pin", "pin") for more in (True, False)],
        ),
        (
            "pin_tray",
            "wrong_pin",
            "brass pin instead of a nickel one in compartment 7",
            [("brass pin", True, (7, 6)), ("nickel pin", False, (5, 6))],
        ),
        (
            "pin_tray",
            "swapped_pins",
            "brass pin in compartment 8 and nickel pin in compartment 9 are swapped",
            [
                *(("brass pin", True, None), ("nickel pin", False, None)),
                *(("nickel pin", True, None), ("brass pin", False, None)),
            ],
        ),
        (
            "connector_block",
            "wrong_colour",
            "yellow wire instead of the black one in place 3",
            [("yellow wire", True, (2, 1)), ("black wire", False, (0, 1))],
        ),
        (
            "connector_block",
            "swapped_wires",
            "red and yellow wires are swapped",
            [
                *(("red wire", False, None), ("red wire", True, None)),
                *(("yellow wire", True, None), ("yellow wire", False, None)),
            ],
        ),
        ("connector_block", "missing_screw", "screw missing in place 1", [("screw", False, (5, 6))]),
        (
            "fastener_bag",
            "missing_screw",
            "short screw missing: 1 instead of 2",
            [("short screw", False, (1, 2))],
        ),
        ("fastener_bag", "extra_nut", "extra nut: 3 instead of 2", [("nut", True, (3, 2))]),
        (
            "fastener_bag",
            "long_for_short",
            "long screw instead of a short screw",
            [("long screw", True, (2, 1)), ("short screw", False, (1, 2))],
        ),
    ],
)
def test_what_a_truth_says(load: Load, product: str, flaw: str, truth: str, expected: list[Any]) -> None:
    found = load("_csad_truth").facts(product, flaw, truth)
    assert [(fact.component, fact.more, fact.count) for fact in found] == expected


def test_every_logical_flaw_has_facts(load: Load) -> None:
    from flawscope.products import PRODUCTS, render

    truth = load("_csad_truth")
    for product in truth.PER_FLAW:
        for flaw, kind in PRODUCTS[product].flaws.items():
            if kind == "logical":
                made = render(product, seed=1, flaw=flaw, size=64)
                assert truth.facts(product, flaw, made.truth, made.masks), (product, flaw)


def finding(**values: float) -> Finding:
    return Finding("said", values)


def test_findings_are_right_by_cell_or_by_count(load: Load) -> None:
    truth, findings = load("_csad_truth"), load("_csad_findings")
    wrong = truth.facts("pin_tray", "missing_pin", "pin missing in compartment 9")

    def named(**values: float) -> tuple[bool, bool]:
        told = findings.judged(
            [finding(**values)], wrong, ["tray", "nickel pin", "brass pin"], "pin_tray", SIZE
        )
        return told["component"], told["named"]

    here = {"rows": 3.0, "columns": 4.0, "cell": 9.0}
    assert named(**{"class": 2, "more": 0, **here}) == (True, True)
    assert named(**{"class": 2, "more": 0, **here, "cell": 10}) == (True, False)
    assert named(**{"class": 2, "more": 1, **here}) == (False, False)
    assert named(**{"class": 1, "more": 0, **here}) == (False, False)
    # a quarter of the tray holds more places than anyone would look into
    assert named(**{"class": 2, "more": 0, "rows": 2, "columns": 2, "cell": 3}) == (True, False)
    assert named(**{"class": 2, "more": 0, "count": 5, "count_low": 6, "count_high": 6}) == (True, True)
    assert named(**{"class": 2, "more": 0, "count": 4, "count_low": 6, "count_high": 6}) == (True, False)
    assert named(**{"class": 1, "more": 1, **here, "instead_of": 2}) == (True, True)
    assert named(x=3.0, y=4.0) == (False, False)


def test_a_pin_in_another_compartment_is_missing_in_its_own(load: Load) -> None:
    truth, findings = load("_csad_truth"), load("_csad_findings")
    wrong = truth.facts("pin_tray", "misplaced_pin", "pin of compartment 10 lies in compartment 9")
    values = {"class": 1.0, "more": 1.0, "rows": 3.0, "columns": 4.0, "cell": 1.0, "instead_of_cell": 10.0}
    assert findings.judged([finding(**values)], wrong, ["", "brass pin"], "pin_tray", SIZE)["named"]
    late = [finding(x=1.0), finding(x=2.0), finding(**values)]
    assert not findings.judged(late, wrong, ["", "brass pin"], "pin_tray", SIZE)["named"]


def test_points_are_right_beside_one_place_alone(load: Load) -> None:
    truth, findings = load("_csad_truth"), load("_csad_findings")
    names = ["", "yellow wire", "blue wire", "washer"]
    moved = truth.facts("connector_block", "misplaced_wire", "yellow wire sits in place 6 instead of 5")

    def named(facts: Any, product: str, **values: float) -> bool:
        told = finding(**{"rows": 2.0, "columns": 2.0, "cell": 2.0, **values})
        return bool(findings.judged([told], facts, names, product, (256, 512))["named"])

    here = {"class": 1.0, "more": 1.0, "y": 90.0}
    block = (moved, "connector_block")
    assert [named(*block, **here, x=x) for x in (350, 378, 385, 412, 440, 460)] == [
        *(False, False, True, True, True, False)
    ]
    assert not named(*block, **here)  # a quarter of the picture says too little
    assert not named(*block, **{**here, "class": 2.0}, x=412)
    assert not named(*block, **{**here, "more": 0.0}, x=412)
    swapped = truth.facts("connector_block", "swapped_wires", "blue and yellow wires are swapped")
    far = {**here, "x": 20.0, "instead_of_y": 90.0}
    exchange = [named(swapped, "connector_block", **far, instead_of=2, instead_of_x=x) for x in (350, 412)]
    assert exchange == [True, False]  # place 5 is where the blue one lies and the yellow one is missing
    mask = np.zeros((256, 512), bool)
    mask[20:40, 10:30] = True
    outside = truth.facts("fastener_bag", "washer_outside", "washer lies outside the bag", [mask])
    values = {"class": 3.0, "more": 1.0, "cell": 4.0, "y": 30.0}
    assert [named(outside, "fastener_bag", **values, x=x) for x in (20, 40, 50)] == [True, True, False]


def test_wires_lean_half_a_place_at_any_height(load: Load) -> None:
    truth, findings = load("_csad_truth"), load("_csad_findings")
    fact = truth.facts("connector_block", "missing_wire", "blue wire missing in place 2")[0]
    cell = findings.Cell
    held = [index for index in range(12) if findings.holds(cell(2, 6, index), fact.place, "connector_block")]
    assert held == [1, 2, 7, 8]
    assert not findings.holds(cell(1, 1, 0), fact.place, "connector_block")


def test_overlaps_of_components_by_hand(load: Load) -> None:
    scores, truth = load("_csad_scores"), load("_csad_truth")
    true = np.array([[[0, 0, 1, 1], [0, 2, 2, 2]]], np.uint8)
    learnt = np.array([[[0, 0, 3, 1], [0, 0, 2, 2]]], np.uint8)
    found = scores.overlaps(
        scores.confusion(learnt, truth.Parts(true, ("ground", "a", "b", "c"))), ("ground", "a", "b", "c")
    )
    assert found["learnt"] == ["ground", "a", "b", "a"]
    assert found["by_class"] == {"ground": 3 / 4, "a": 1.0, "b": 2 / 3}
    assert found["mean"] == pytest.approx((3 / 4 + 1 + 2 / 3) / 3)


def test_film_and_background_are_one_and_pins_are_told_apart(load: Load, tmp_path: Path) -> None:
    from flawscope.runtime.images import Frame

    fits, truth = load("_csad_fits"), load("_csad_truth")
    few = {"train": 1, "validation": 0, "test_good": 2}
    for product in ("fastener_bag", "pin_tray"):
        place = fits.rendered(tmp_path, product, 0, size=64, counts=few, per_flaw=1)
        assert fits.rendered(tmp_path, product, 0, size=64) == place
        good = [sample for sample in place.samples("test") if not sample.defective]
        parts = truth.true_parts(place.root, product, good, Frame(64, 64))
        assert parts.maps.shape == (2, 64, 64)
        if product == "fastener_bag":
            assert parts.names.index("bag") not in parts.maps
    apart = truth.told_apart("pin_tray", parts)
    assert apart.names == ("background", "tray", "brass pin", "nickel pin")
    assert (apart.maps == 2).any()
    assert (apart.maps == 3).any()
    assert not (apart.maps[:, :, :32] == 3).any()
    counts = np.array([[9, 1, 0, 0], [0, 1, 9, 1], [0, 0, 6, 4]])
    assert truth.called(counts, apart.names) == ["background", "brass pin", "pin"]


def test_a_row_is_measured_kept_and_printed(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    csad, fits = load("csad"), load("_csad_fits")
    fits.rendered(tmp_path, "pin_tray", 0, size=64, counts=COUNTS, per_flaw=1)
    out, page = tmp_path / "out.json", tmp_path / "out.md"
    command = ["--work", str(tmp_path), "--products", "pin_tray", "--seeds", "0", "--size", "64"]
    command += ["--json", str(out), "--markdown", str(page), "--methods", "csad", "--no-findings"]
    command += ["--options", json.dumps(SMALL)]
    assert csad.main(command) == 0
    row = json.loads(out.read_text())["rows"][0]
    assert (row["kinds"].count("g"), row["kinds"].count("l"), row["kinds"].count("s")) == (3, 5, 6)
    assert set(row["branches"]) == {"histogram", "counts", "histogram + counts"}
    assert row["branches"]["histogram + counts"]["largest"] == row["image_auroc"]
    assert set(row["cells"]) == {"256", "256, 128", "256, 128, 85", "auto"}
    assert 0 < row["components"]["network"]["mean"] <= 1
    assert set(row["spro"]) == {"0.05", "0.3"}
    assert "| pin_tray | csad | 0 |" in page.read_text()
    # what is there is not measured again, and a fit that was kept is not made again
    measured = load("_csad_measure").measured
    monkeypatch.setattr(csad, "measured", lambda *given, **more: pytest.fail("measured again"))
    assert csad.main(command) == 0
    monkeypatch.setattr(csad, "measured", measured)
    monkeypatch.setattr("flawscope.methods.csad.detector.CSAD.learn", lambda *given: pytest.fail("fitted"))
    out.unlink()
    assert csad.main(command) == 0
    assert json.loads(out.read_text())["rows"] == [row]
    with pytest.raises(SystemExit, match="csad is something else there"):
        csad.main([*command, "--options", "{}"])
    capsys.readouterr()
