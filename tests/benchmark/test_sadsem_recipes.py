"""The recipes of tables 1 to 7 of SADSeM hold what the paper prints, with the settings that it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flawscope.benchmark.plan import resolved_options
from flawscope.benchmark.recipe import load_benchmark

OBJECTS = (
    *("bottle", "cable", "capsule", "hazelnut", "metal_nut"),
    *("pill", "screw", "toothbrush", "transistor", "zipper"),
)
BTAD = ("01", "02", "03")
LOCO = ("breakfast_box", "juice_bottle", "pushpins", "screw_bag", "splicing_connectors")
METHODS = ("PatchCore", "PNI", "EfficientAD", "SADSeM")
# the paper's figures, copied a second time: image AUROC, then pixel AUROC or, on LOCO, AUsPRO up to 10 %
TABLES: dict[str, dict[str, tuple[float, float]]] = {
    "sadsem_ablation": {
        "no masks": (0.964, 0.947),
        "neutral backbone": (0.982, 0.975),
        "fine-tuned backbone": (0.982, 0.976),
        "complete": (0.987, 0.976),
        "complete, neutral backbone": (0.977, 0.974),
    },
    "sadsem_btad": dict(
        zip(METHODS, ((0.998, 0.982), (0.995, 0.979), (0.976, 0.956), (0.996, 0.980)), strict=True)
    ),
    "sadsem_mvtec": dict(
        zip(METHODS, ((0.987, 0.988), (0.988, 0.988), (0.960, 0.927), (0.987, 0.976)), strict=True)
    ),
    "sadsem_loco": dict(
        zip(METHODS, ((0.844, 0.646), (0.835, 0.624), (0.786, 0.511), (0.773, 0.538)), strict=True)
    ),
    "sadsem_mvtec_large": {
        f"{method}, 1024": pair
        for method, pair in zip(
            METHODS, ((0.938, 0.944), (0.946, 0.931), (0.879, 0.847), (0.979, 0.960)), strict=True
        )
    },
    "sadsem_btad_large": dict(
        zip(METHODS, ((0.987, 0.971), (0.987, 0.973), (0.891, 0.871), (0.995, 0.975)), strict=True)
    ),
    "sadsem_loco_large": dict(
        zip(METHODS, ((0.724, 0.473), (0.704, 0.472), (0.666, 0.35), (0.768, 0.543)), strict=True)
    ),
    "sadsem_strides": {
        "PatchCore, stride 64": (0.987, 0.984),
        "PatchCore, stride 128": (0.987, 0.985),
        "PatchCore, stride 256": (0.986, 0.975),
        "PNI, stride 64": (0.988, 0.986),
        "PNI, stride 128": (0.990, 0.987),
        "PNI, stride 256": (0.990, 0.988),
        "EfficientAD, stride 64": (0.925, 0.866),
        "EfficientAD, stride 128": (0.941, 0.868),
        "EfficientAD, stride 256": (0.904, 0.813),
    },
}


@pytest.mark.parametrize("name", TABLES)
def test_means_are_the_papers(name: str) -> None:
    second = "au_spro_10" if "loco" in name else "pixel_auroc"
    products = {"btad": BTAD, "loco": LOCO}.get(name.split("_")[1], OBJECTS)
    rows = {row.label: row for row in load_benchmark(name).rows if row.mean_of}
    printed = {label: row.paper.model_dump(exclude_none=True, exclude={"std"}) for label, row in rows.items()}
    wanted = {
        label: {"image_auroc": pytest.approx(100 * image), second: pytest.approx(100 * pixels)}
        for label, (image, pixels) in TABLES[name].items()
    }
    assert {label: figures for label, figures in printed.items() if figures} == wanted
    for label, row in rows.items():
        assert row.mean_of == tuple(f"{label}, {product}" for product in products)


@pytest.mark.parametrize("name", TABLES)
def test_rows_are_the_papers_settings(name: str) -> None:
    benchmark = load_benchmark(name)
    recipes = {row.label: benchmark.resolve(row, Path("data")) for row in benchmark.runs}
    assert len({recipe.to_yaml() for recipe in recipes.values()}) == len(recipes)
    for row in benchmark.runs:
        recipe = recipes[row.label]
        options: dict[str, Any] = resolved_options(recipe)
        assert options["size"] == [256, 256]
        assert row.natural == (recipe.method == "efficientad")
        cut = "large" in name or "strides" in name
        assert (recipe.tiling.size == (256, 256)) == cut
        if recipe.method == "sadsem":
            assert options["segments"]["kind"] == "instances"
            assert options["segments"]["steps"] > 0
            assert options["counts"] is None
            neutral = "neutral" in row.label
            assert options["features"] == ("backbone" if neutral else "segmenter")
            fixed = [2, 3] if name == "sadsem_ablation" and "complete" not in row.label else None
            assert options["choice"]["fixed"] == fixed
            assert (options["masks"] is None) == row.label.startswith("no masks")
        if cut and "strides" not in name:
            best = {"patchcore": 128, "efficientad": 128}.get(recipe.method, 256)
            assert recipe.tiling.stride == (best, best)
