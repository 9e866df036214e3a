"""The recipes of tables 1 to 7 of CSAD hold what the paper prints, with the settings that it names."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from flawscope.benchmark.measures import measured
from flawscope.benchmark.plan import resolved_options
from flawscope.benchmark.recipe import load_benchmark
from flawscope.metrics import RegionOverlap
from flawscope.station.evaluate import Rates

PRODUCTS = ("breakfast box", "juice bottle", "pushpins", "screw bag", "splicing connectors")
# tables 1 and 6, copied a second time
LOGICAL, STRUCTURAL = (94.4, 94.9, 99.5, 99.9, 94.8), (91.1, 95.6, 97.8, 93.2, 92.2)
SPRO = ((84.0, 78.1, 89.9), (95.3, 91.7, 98.8), (88.1, 99.0, 77.2), (84.6, 82.1, 87.1), (94.5, 94.8, 94.1))
LGST = ((83.2, 76.7, 89.6), (95.2, 95.2, 95.3), (87.8, 98.5, 77.1), (81.1, 73.9, 88.3), (94.4, 94.9, 93.9))
# logical, structural, mean
MEANS = {
    "csad_settings": {
        "patch histogram alone": (91.4, 75.4, 83.4),
        "LGST, one output": (72.5, 63.5, 68.06),
        "LGST, doubled channels": (88.0, 92.8, 90.40),
        "LGST, heads": (87.7, 93.1, 90.38),
        "class histogram without LSA": (96.5, 92.4, 94.45),
        "class histogram": (96.7, 93.8, 95.25),
        "patch histogram": (96.7, 94.0, 95.34),
    },
    "csad_augmentation": {
        "none": (89.2, 71.0, 80.1),
        "CutPaste": (89.0, 70.1, 79.6),
        "LSA": (89.9, 73.7, 81.8),
    },
    "csad_patch_sizes": {
        "256": (89.9, 73.7, 81.8),
        "256 and 128": (91.4, 75.4, 83.4),
        "256, 128 and 85": (91.6, 76.0, 83.8),
        "256, 128 and 64": (90.8, 75.2, 83.0),
        "256, 128, 85 and 64": (91.1, 75.7, 83.4),
    },
}


def printed(name: str) -> dict[str, dict[str, Any]]:
    rows = load_benchmark(name).rows
    return {row.label: row.paper.model_dump(exclude_none=True, exclude={"std"}) for row in rows}


def spro(figures: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip(("au_spro_30", "au_spro_30_logical", "au_spro_30_structural"), figures, strict=True))


def test_loco_by_product() -> None:
    rows = printed("csad_loco")
    for index, product in enumerate(PRODUCTS):
        aurocs = {"image_auroc_logical": LOGICAL[index], "image_auroc_structural": STRUCTURAL[index]}
        assert rows[f"CSAD, {product}"] == aurocs | spro(SPRO[index])
        assert rows[f"LGST, {product}"] == spro(LGST[index])
        assert rows[f"Lite0, {product}"] == {}
    means = {"image_auroc_logical": 96.7, "image_auroc_structural": 94.0, "image_auroc_mean": 95.3}
    assert rows["CSAD"] == means | spro((89.3, 89.1, 89.4))
    assert rows["LGST"] == spro((88.3, 87.8, 88.8))
    assert np.mean(LOGICAL) == pytest.approx(96.7, abs=0.06)
    assert np.mean(STRUCTURAL) == pytest.approx(94.0, abs=0.06)


@pytest.mark.parametrize("name", MEANS)
def test_ablations(name: str) -> None:
    benchmark = load_benchmark(name)
    means = {row.label: row for row in benchmark.rows if row.mean_of}
    assert means.keys() == MEANS[name].keys()
    for label, (logical, structural, mean) in MEANS[name].items():
        paper = means[label].paper
        found = (paper.image_auroc_logical, paper.image_auroc_structural, paper.image_auroc_mean)
        assert found == (logical, structural, mean)
        assert means[label].mean_of == tuple(f"{label}, {product}" for product in PRODUCTS)


@pytest.mark.parametrize("name", ["csad_loco", *MEANS])
def test_rows_are_the_papers_settings(name: str) -> None:
    benchmark = load_benchmark(name)
    recipes = {row.label: benchmark.resolve(row, Path("data")) for row in benchmark.runs}
    assert len({recipe.to_yaml() for recipe in recipes.values()}) == len(recipes)
    for row in benchmark.runs:
        options = resolved_options(recipes[row.label])
        students = (options["structure"] or {}).get("kind") == "students"
        assert row.natural == students
        assert not students or options["structure"]["steps"] == 70_000
        if row.label.startswith("Lite0"):
            assert options["backbone"] == "tf_efficientnet_lite0"
            assert options["segments"]["proposer"]["kind"] == "areas"
            continue
        assert (options["backbone"], options["size"]) == ("wide_resnet50_2", [256, 256])
        assert options["counts"] is None
        segments = options["segments"]
        if segments["kind"] == "components":
            bag = row.label.endswith("screw bag")
            assert segments["labels"]["bandwidth"] == (3.0 if bag else 3.5)
            assert segments["proposer"]["tags"]
            assert (segments["epochs"], segments["losses"]["dice"]) == (120, 10)
        else:
            assert options["histogram"] is None


def test_logical_and_structural_defects_are_measured_apart() -> None:
    heatmap = np.zeros((4, 4), np.float32)
    heatmap[0] = 1
    defects = {}
    for name, row in (("logical", 0), ("structural", 3)):
        mask = np.zeros((1, 4, 4), bool)
        mask[0, row] = True
        defects[name] = RegionOverlap()
        defects[name].update_defects(mask, heatmap)
        defects[name].update_defects(None, heatmap * 0)
    kinds = {
        f"{name}_anomalies": Rates(1, 0, 0, 1, defective=True, auroc=value)
        for name, value in (("logical", 0.9), ("structural", 0.7))
    }
    evaluation: Any = SimpleNamespace(
        localisation={},
        readable=[],
        truth=lambda seen=None: (np.array([]), np.array([])),
        kinds=kinds,
        defects=defects,
    )
    found = measured(evaluation)
    assert found["image_auroc_mean"] == pytest.approx(0.8)
    assert (found["image_auroc_logical"], found["image_auroc_structural"]) == (0.9, 0.7)
    assert found["au_spro_30_logical"] == 1.0
    assert found["au_spro_30"] == (found["au_spro_30_logical"] + found["au_spro_30_structural"]) / 2
    assert 0.5 <= found["au_spro_05"] <= found["au_spro_10"] < 1
