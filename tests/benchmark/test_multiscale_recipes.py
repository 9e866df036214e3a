"""The recipes of tables 1 to 7 of multi-scale patch representation learning hold what the paper prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flawscope.benchmark.plan import resolved_options
from flawscope.benchmark.recipe import load_benchmark

TEXTURES = ("carpet", "grid", "leather", "tile", "wood")
OBJECTS = (
    "bottle", "cable", "capsule", "hazelnut", "metal_nut",
    "pill", "screw", "toothbrush", "transistor", "zipper",
)  # fmt: skip
# columns "Ours" of tables 1, 2 and 3 and "Patch SVDD" of tables 1 and 2, down the page
OURS = {
    "image_auroc": (93.4, 100, 99.3, 96.2, 99.7, 100, 98.8, 97.2, 99.6, 97.8, 97.7, 94.1, 100, 98.9, 99.5),
    "pixel_auroc": (98.4, 98.5, 99.1, 94.4, 97.5, 98.6, 98.2, 97.9, 97.8, 99.1, 98.8, 98.5, 99, 97.7, 98.6),
    "aupro_30": (92.7, 97.9, 99.2, 88.8, 96.2, 95.3, 96.7, 97.8, 97.8, 88.8, 96.1, 98.3, 94.4, 95, 97),
}
PATCH_SVDD = {
    "image_auroc": (92.9, 94.6, 90.9, 97.8, 96.5, 98.6, 90.3, 76.7, 92, 94, 86.1, 81.3, 100, 91.5, 97.9),
    "pixel_auroc": (92.6, 96.2, 97.4, 91.4, 90.8, 98.1, 96.8, 95.8, 97.5, 98, 95.1, 95.7, 98.1, 97, 95.1),
}
# its column of tables 2 and 3; table 1 prints the mean alone
PADIM = {
    "pixel_auroc": (99.1, 97.3, 99.2, 94.1, 94.9, 98.3, 96.7, 98.5, 98.2, 97.2, 95.7, 98.5, 98.8, 97.5, 98.5),
    "aupro_30": (96.2, 94.6, 97.8, 86, 91.1, 94.8, 88.8, 93.5, 92.6, 85.6, 92.7, 94.4, 93.1, 84.5, 95.9),
}
# textures, objects, all: detection and segmentation
SCALES = {
    "one scale": ([64], (81.5, 84.6), (93.2, 95.2), (89.3, 91.7)),
    "two scales": ([64, 32], (97.0, 95.8), (97.1, 97.9), (97.1, 97.2)),
    "three scales": ([64, 32, 16], (97.7, 97.6), (98.4, 98.4), (98.1, 98.1)),
}
LOSSES = {
    "without SVDD": ("svdd", (96.0, 95.5), (96.0, 97.3), (96.0, 96.7)),
    "without Cos": ("cos", (94.8, 93.4), (97.8, 98.0), (96.8, 96.5)),
    "without SSL": ("ssl", (89.9, 93.8), (88.9, 95.7), (89.3, 95.0)),
    "without K-means": ("kmeans", (94.8, 93.9), (97.2, 98.2), (96.4, 96.8)),
    "all losses": ("", (97.7, 97.6), (98.4, 98.4), (98.1, 98.1)),
}


def printed(name: str) -> dict[str, dict[str, Any]]:
    return {
        row.label: row.paper.model_dump(exclude_none=True, exclude={"std"})
        for row in load_benchmark(name).rows
    }


@pytest.mark.parametrize(
    ("prefix", "columns"), [("", OURS), ("Patch SVDD, ", PATCH_SVDD), ("PaDiM, ", PADIM)]
)
def test_mvtec_ad_by_product(prefix: str, columns: dict[str, tuple[float, ...]]) -> None:
    rows = printed("multiscale_patch_mvtec")
    for index, product in enumerate((*TEXTURES, *OBJECTS)):
        group = "textures" if product in TEXTURES else "objects"
        expected = {measure: values[index] for measure, values in columns.items()}
        assert rows[f"{prefix}{group}, {product}"] == expected


def test_mvtec_ad_means() -> None:
    rows = printed("multiscale_patch_mvtec")
    assert rows["textures"] == {"image_auroc": 97.7, "pixel_auroc": 97.6, "aupro_30": 95.0}
    assert rows["objects"] == {"image_auroc": 98.4, "pixel_auroc": 98.4, "aupro_30": 95.7}
    assert rows["all products"] == {"image_auroc": 98.1, "pixel_auroc": 98.1, "aupro_30": 95.5}
    assert rows["Patch SVDD, textures"] == {"image_auroc": 94.5, "pixel_auroc": 93.7}
    assert rows["Patch SVDD, objects"] == {"image_auroc": 90.8, "pixel_auroc": 96.7}
    assert rows["Patch SVDD, all products"] == {"image_auroc": 92.1, "pixel_auroc": 95.7}
    assert rows["PaDiM, textures"] == {"pixel_auroc": 96.9, "aupro_30": 93.2}
    assert rows["PaDiM, objects"] == {"pixel_auroc": 97.8, "aupro_30": 91.6}
    assert rows["PaDiM, all products"] == {"image_auroc": 97.9, "pixel_auroc": 97.5, "aupro_30": 92.1}


@pytest.mark.parametrize(("group", "rows"), [("textures", slice(0, 5)), ("objects", slice(5, 15))])
def test_the_papers_means_are_those_of_its_rows(group: str, rows: slice) -> None:
    for columns, prefix in ((OURS, ""), (PATCH_SVDD, "Patch SVDD, "), (PADIM, "PaDiM, ")):
        found = printed("multiscale_patch_mvtec")[f"{prefix}{group}"]
        for measure, values in columns.items():
            part = values[rows]
            assert found[measure] == pytest.approx(sum(part) / len(part), abs=0.06)


def test_btad() -> None:
    assert printed("multiscale_patch_btad") == {
        "ours, 01": {"image_auroc": 100.0, "pixel_auroc": 97.3},
        "ours, 02": {"image_auroc": 85.3, "pixel_auroc": 96.8},
        "ours, 03": {"image_auroc": 100.0, "pixel_auroc": 99.0},
        "ours": {"image_auroc": 95.1, "pixel_auroc": 97.7},
        "Patch SVDD, 01": {"image_auroc": 96.3, "pixel_auroc": 94.9},
        "Patch SVDD, 02": {"image_auroc": 70.3, "pixel_auroc": 92.7},
        "Patch SVDD, 03": {"image_auroc": 91.1, "pixel_auroc": 91.7},
        "Patch SVDD": {"image_auroc": 85.9, "pixel_auroc": 93.1},
    }
    benchmark = load_benchmark("multiscale_patch_btad")
    for row in benchmark.runs:
        assert resolved_options(benchmark.resolve(row, Path("data")))["size"] == [512, 512]


@pytest.mark.parametrize("table", [SCALES, LOSSES])
def test_ablations(table: dict[str, Any]) -> None:
    name = "multiscale_patch_scales" if table is SCALES else "multiscale_patch_losses"
    benchmark, rows = load_benchmark(name), printed(name)
    for label, (change, *figures) in table.items():
        for group, (detection, segmentation) in zip((", textures", ", objects", ""), figures, strict=True):
            assert rows[f"{label}{group}"] == {"image_auroc": detection, "pixel_auroc": segmentation}
        of = next(row for row in benchmark.rows if row.label == label).mean_of
        assert [part.rpartition(", ")[2] for part in of] == [*TEXTURES, *OBJECTS]
        for row in benchmark.runs:
            if row.label in of:
                options = resolved_options(benchmark.resolve(row, Path("data")))
                assert (options["scales"] == change) if table is SCALES else (change not in options["losses"])


@pytest.mark.parametrize("name", ["mvtec", "btad", "scales", "losses", "tsne"])
def test_rows_are_the_papers_settings(name: str) -> None:
    benchmark = load_benchmark(f"multiscale_patch_{name}")
    for row in benchmark.runs:
        recipe = benchmark.resolve(row, Path("data"))
        options = resolved_options(recipe)
        assert recipe.method == ("padim" if row.label.startswith("PaDiM") else "multiscale_patch")
        if recipe.method == "padim":
            assert options["size"] == [256, 256]
            continue
        svdd = row.label.startswith("Patch SVDD")
        assert options["learning_rate"] == (1e-4 if svdd else 1e-5)
        assert options["combination"] == ("product" if svdd else "sum")
        assert options["closeness"] == (1.0 if "Patch SVDD, textures" in row.label else 1e-3)
        assert (options["batch"], options["bank_limit"], options["coreset"]) == (64, None, 1.0)
        assert (options["patches"], options["together"]) == (100, 1)


def test_the_pair_of_figure_5_keeps_its_models() -> None:
    benchmark = load_benchmark("multiscale_patch_tsne")
    assert benchmark.keep_models
    losses = {
        row.label: resolved_options(benchmark.resolve(row, Path("data")))["losses"] for row in benchmark.runs
    }
    for product in ("grid", "wood", "screw"):
        assert losses[f"all losses, {product}"] == ["svdd", "cos", "ssl", "kmeans"]
        assert losses[f"without K-means, {product}"] == ["svdd", "cos", "ssl"]
