"""The parts of SADSeM's comparison: what it renders, which recipes it trains, what its tables say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flawscope.products import write_loco

Load = Callable[[str], ModuleType]


def row(name: str, side: int, product: str = "impeller", **figures: float) -> dict[str, Any]:
    return {"name": name, "product": product, "seed": 0, "side": side, **figures}


def test_pictures_lie_anywhere_and_ten_are_annotated(load: Load, tmp_path: Path) -> None:
    rows = load("_sadsem_rows")
    job = rows.Job(tmp_path, "sadsem", "vent_cover", 0, 64)
    folder = rows.made(job, {"train": 12, "validation": 1, "test_good": 1, "per_flaw": 0})
    shown = [np.asarray(Image.open(path)) > 0 for path in sorted((folder / "parts/train/good").glob("*.png"))]
    assert len(shown) == 12
    centres = np.array([np.argwhere(mask).mean(0) for mask in shown])
    assert np.ptp(centres, 0).min() > 4  # of 64 pixels
    annotations = job.annotations
    assert annotations == folder.with_name("vent_cover-annotations")
    assert len(list(annotations.rglob("*.png"))) == 10
    assert (annotations / "names.json").exists()


def test_photographs_are_taken_as_large_as_they_are(load: Load, tmp_path: Path) -> None:
    rows, tables = load("_sadsem_rows"), load("_sadsem_tables")
    job = rows.Job(tmp_path / "work", "sadsem", "bsdata", 0, rows.NATIVE, tmp_path / "photographs")
    assert str(job) == "sadsem, bsdata, native size, seed 0"
    recipe = rows.recipe_of(job, rows.rows_of()["sadsem"])
    assert recipe["tiling"] == {"size": 256, "stride": 256, "overview": False}
    assert recipe["data"]["folder"] == str(tmp_path / "photographs")
    assert recipe["data"]["annotations"] == str(tmp_path / "work/d0/0/bsdata-annotations")
    found = [row("sadsem", 256, image_auroc=0.9), row("sadsem", 0, "bsdata", image_auroc=0.7)]
    text = tables.page({"runs": [], "rows": found}, crop=256)
    assert "| sadsem | 90.0 |" in text  # whose mean has no photographs
    assert "| sadsem | bsdata | 0 | 70.0 |" in text


def test_photographs_have_drafts_for_annotations(load: Load, tmp_path: Path) -> None:
    rows = load("_sadsem_rows")
    write_loco(tmp_path, "vent_cover", seed=0, size=64, train=12, validation=0, test_good=1)
    job = rows.Job(tmp_path / "work", "sadsem", "bsdata", 0, rows.NATIVE, tmp_path / "vent_cover")
    assert rows.made(job) == tmp_path / "vent_cover"
    assert len(list(job.annotations.rglob("*.json"))) >= 10


def test_large_pictures_are_cut_and_small_ones_are_not(load: Load, tmp_path: Path) -> None:
    rows = load("_sadsem_rows")
    specs = rows.rows_of(500)
    small, large = (rows.Job(tmp_path, "patchcore", "impeller", 0, side) for side in (256, 1024))
    assert rows.recipe_of(small, specs["patchcore"])["tiling"] == {"size": "none"}
    assert rows.recipe_of(large, specs["patchcore"])["tiling"] == {
        "size": 256,
        "stride": 128,
        "overview": False,
    }
    assert rows.recipe_of(large, specs["sadsem"])["tiling"]["stride"] == 256
    whole = rows.recipe_of(large, specs["patchcore, positions"])
    assert whole["tiling"] == {"size": "none"}
    assert whole["options"]["size"] == [1024, 1024]
    assert whole["options"]["positions"] == [2, 2]
    assert "annotations" in rows.recipe_of(large, specs["sadsem"])["data"]
    assert "annotations" not in rows.recipe_of(large, specs["sadsem, no annotations"])["data"]
    assert specs["efficientad, 500 steps"]["options"] == {"steps": 500}
    assert all(spec["options"] is not None for spec in specs.values())


def test_figures_of_an_evaluation(load: Load) -> None:
    rates = {
        "structural_anomalies": SimpleNamespace(auroc=0.9),
        "logical_anomalies": SimpleNamespace(auroc=None),
    }
    overlaps = {kind: SimpleNamespace(compute=lambda limit: limit * 5) for kind in ("structural", "logical")}
    evaluation = SimpleNamespace(
        truth=lambda: (np.array([0, 1]), np.array([0.1, 0.2])),
        kinds=rates,
        defects=overlaps,
        localisation={"pixel_auroc": 0.75},
    )
    found = load("_sadsem_rows").figures(evaluation)
    assert found == {
        "image_auroc": 1.0,
        "image_auroc_structural": 0.9,
        "pixel_auroc": 0.75,
        "au_spro_10_structural": 0.5,
        "au_spro_10_logical": 0.5,
        "au_spro_10": 0.5,
    }


def test_tables_hold_means_of_whole_rows_alone(load: Load) -> None:
    tables = load("_sadsem_tables")
    rows = [
        row("sadsem", 256, image_auroc=0.9, seconds_a_picture=0.1),
        row("sadsem", 256, "pin_tray", image_auroc=0.8, seconds_a_picture=0.3),
        row("sadsem", 1024, image_auroc=0.9),
    ]
    result = {"runs": [{"command": "python sadsem.py"}], "rows": rows}
    assert tables.mean_of(rows, "sadsem", 256, "image_auroc") == pytest.approx(0.85)
    assert tables.mean_of(rows, "sadsem", 1024, "image_auroc") is None
    text = tables.page(result, crop=256)
    assert "| sadsem | 85.0 | – |" in text
    assert "| sadsem | 0.20 | – |" in text
    rows.append(row("sadsem", 1024, "pin_tray", image_auroc=0.9))
    assert not tables.curves(result)  # two points are no curve
    rows += [row("sadsem", 512, image_auroc=0.9), row("sadsem", 512, "pin_tray", image_auroc=0.8)]
    assert set(tables.curves(result)) == {"image_auroc"}


def test_rows_that_are_there_are_not_measured_again(load: Load, tmp_path: Path) -> None:
    sadsem = load("sadsem")
    out = tmp_path / "out.json"
    given = sadsem.parse(["--work", str(tmp_path), "--json", str(out), "--sides", "256", "512"])
    first = next(iter(sadsem.missing(given, [])))
    assert str(first) == "sadsem, impeller, 256 pixels, seed 0"
    assert len(list(sadsem.missing(given, []))) == 12
    assert first not in list(sadsem.missing(given, [first.key]))
    out.write_text(json.dumps({"runs": [], "specs": {"sadsem": {"method": "another"}}, "rows": []}))
    with pytest.raises(SystemExit, match="sadsem is something else there"):
        sadsem.opened(out, {"sadsem": given.specs["sadsem"]})
    with pytest.raises(SystemExit):
        sadsem.parse(["--work", str(tmp_path), "--json", str(out), "--rows", "nonsense"])
