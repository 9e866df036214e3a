"""The demo: enough pictures for its promise, and what it says of the flaws that it finds and misses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flawscope.cli import demo_command
from flawscope.data.label_folder import LabelFolder
from flawscope.data.layouts import read_dataset
from flawscope.data.samples import Dataset
from flawscope.data.segment_maps import read_labels
from flawscope.methods.csad.options import CSADOptions
from flawscope.methods.registry import options_of
from flawscope.products import PRODUCTS, write_loco
from flawscope.runtime.calibration import normals_needed
from flawscope.segmenters.components.options import ComponentsOptions
from flawscope.segmenters.proposers import GivenOptions
from flawscope.training import train
from flawscope.training.recipe import Recipe
from trained import Trained

Run = Callable[..., Any]
PRODUCT = PRODUCTS["vent_cover"]
CLASSES = ("background", "component 1", "component 2", "component 3", "component 4")


@pytest.fixture
def out(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a demo lands whose pictures are small and few, and whose model is the small one of the tests."""

    def trained_before(recipe: Recipe, *_: Any, **__: Any) -> Any:
        goods = read_dataset(recipe.data.folder).select(split="validation", defective=False)
        assert len(goods) == demo_command.CALIBRATION
        return trained.result

    def small(*arguments: Any, **counts: Any) -> Path:
        return write_loco(*arguments, **counts | {"size": 64})

    monkeypatch.setattr("flawscope.training.train.train", trained_before)
    monkeypatch.setattr("flawscope.products.write_loco", small)
    for name, count in (("TRAIN", 1), ("CALIBRATION", 2), ("TEST_GOOD", 3), ("PER_FLAW", 1)):
        monkeypatch.setattr(demo_command, name, count)
    return tmp_path / "demo"


def test_the_pictures_are_enough_for_the_promise() -> None:
    promise = Recipe.parse({"data": {"folder": "."}}).calibration
    assert normals_needed(promise.false_rejects, 1 - promise.confidence) <= demo_command.CALIBRATION


def test_it_counts_rejected_pictures_by_flaw_and_says_what_it_cannot_see(flawscope: Run, out: Path) -> None:
    ended = flawscope("demo", "--out", out, "--json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    structural = sum(kind == "structural" for kind in PRODUCT.flaws.values())
    assert told["rejected"]["good"]["pictures"] == 3
    assert told["rejected"]["structural"]["pictures"] == structural
    assert told["rejected"]["logical"]["pictures"] == len(PRODUCT.flaws) - structural
    assert {flaw: told["rejected"][flaw]["pictures"] for flaw in PRODUCT.flaws} == dict.fromkeys(
        PRODUCT.flaws, 1
    )
    kinds = told["evaluation"]["kinds"]
    share = kinds["structural_anomalies"]["reject"]
    assert told["rejected"]["structural"]["rejected"] == pytest.approx(share * structural)
    assert "counts nothing" in told["cannot_see"]
    assert Path(told["report"]).is_file()


def test_its_last_lines_are_the_shares_and_what_comes_next(flawscope: Run, out: Path) -> None:
    for _ in range(2):  # the second takes the place of the first
        ended = flawscope("demo", "--out", out, "--product", "ground_plate")
        assert ended.code == 0, ended.err
    assert "Structural flaws rejected: " in ended.out
    assert "Good pictures rejected: " in ended.out
    assert "misplaced parts" not in ended.out  # a bare surface has no parts
    assert "What it cannot see: " in ended.out
    assert "Next:   flawscope inspect" in ended.out


def test_missed_flaws_are_named() -> None:
    counts = {flaw: demo_command.Rejected(8, 8) for flaw in PRODUCT.flaws}
    counts["flash"] = demo_command.Rejected(8, 6)
    kinds = {"structural": demo_command.Rejected(48, 46), "logical": demo_command.Rejected(24, 24)}
    counts |= kinds | {"good": demo_command.Rejected(60, 0)}
    said = list(demo_command._summary(PRODUCT, counts, demo_command.LIMIT))
    assert said[:4] == [
        "Structural flaws rejected: 46 of 48 (96%).",
        "Good pictures rejected: 0 of 60 (0%).",
        "Missing, extra or misplaced parts rejected: 24 of 24 (100%).",
        "Not always rejected: flash 6 of 8 (75%).",
    ]


def divided(pictures: Path, labels: Path) -> None:
    """Label maps of a tray as `segments components` makes them: tray, bench, and pins of two metals."""
    folder = LabelFolder(labels, pictures)
    for sample in read_dataset(pictures).good():
        parts = read_labels(pictures / "parts" / sample.path.relative_to(pictures))
        maps = np.choose(parts, (2, 1, 3)).astype(np.uint8)  # (H, W)
        right = maps[:, maps.shape[1] // 2 :]
        right[right == 3] = 4
        folder.write(sample, maps, labelled=True)
    folder.write_names(CLASSES, made=True)
    folder.note()


@pytest.fixture
def logical(out: Path, monkeypatch: pytest.MonkeyPatch) -> list[Recipe]:
    """Recipes that a logical demo trains by; label maps are those of `divided`."""

    def components(dataset: Dataset, labels: Path, *_: Any, **__: Any) -> Any:
        divided(dataset.root, labels)
        return SimpleNamespace(names=CLASSES, sheet=labels / "contact_sheet.png")

    recipes: list[Recipe] = []
    trained_before = train.train

    def recorded(recipe: Recipe, *arguments: Any, **options: Any) -> Any:
        recipes.append(recipe)
        return trained_before(recipe, *arguments, **options)

    monkeypatch.setattr("flawscope.training.logical_demo.write_components", components)
    monkeypatch.setattr("flawscope.training.train.train", recorded)
    return recipes


def test_the_logical_demo_learns_named_classes(flawscope: Run, out: Path, logical: list[Recipe]) -> None:
    ended = flawscope("demo", "--logical", "--out", out, "--json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    labels, pictures = out / "labels" / "pin_tray", out / "pictures" / "pin_tray"
    names = json.loads((labels / "names.json").read_text(encoding="utf-8"))
    assert names == ["background", "tray", "ground", "yellow pin", "grey pin"]
    (recipe,) = logical
    options = CSADOptions.model_validate(options_of(recipe.method, recipe.preset, recipe.options))
    assert isinstance(options.segments, ComponentsOptions)
    assert options.segments.proposer == GivenOptions(maps=labels, pictures=pictures)
    assert options.segments.labels.trust == "neighbours"  # the rest is the preset's
    flaws = PRODUCTS["pin_tray"].flaws
    for one in told["says"]:
        assert flaws[one["flaw"]] == "logical"
        assert one["truth"]
        assert one["says"]
    assert told["rejected"]["logical"]["pictures"] == sum(kind == "logical" for kind in flaws.values())


def test_corrected_label_maps_outlive_another_demo(flawscope: Run, out: Path, logical: list[Recipe]) -> None:
    for _ in range(2):  # what nobody has changed gives way to the second
        assert flawscope("demo", "--logical", "--out", out).code == 0
    corrected = out / "labels" / "pin_tray" / "train" / "good" / "000.png"
    Image.open(corrected).point(lambda label: min(label, 3)).save(corrected)
    before = corrected.read_bytes()
    ended = flawscope("demo", "--logical", "--out", out)
    assert ended.code == 7
    assert "000.png" in ended.err
    assert corrected.read_bytes() == before
    assert len(logical) == 2


def test_a_product_without_parts_has_no_logical_demo(flawscope: Run, out: Path) -> None:
    ended = flawscope("demo", "--logical", "--product", "ground_plate", "--out", out)
    assert ended.code == 2
    assert "parts that can be missing" in ended.err
    assert not out.exists()


def test_a_model_that_no_demo_has_made_is_left_alone(flawscope: Run, out: Path, trained: Trained) -> None:
    own = shutil.copytree(trained.result.bundle.folder, out / "model")
    before = {path.name: path.read_bytes() for path in own.iterdir() if path.is_file()}
    ended = flawscope("demo", "--out", out)
    assert (ended.code, list(out.iterdir())) == (2, [own])
    assert "model: expected a new or empty folder, got a model. Choose another --out." in ended.err
    assert {path.name: path.read_bytes() for path in own.iterdir() if path.is_file()} == before
    recipe = {"data": {"folder": str(out / "pictures" / "vent_cover")}, "method": "patchcore"}
    (own / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    assert flawscope("demo", "--out", out).code == 0  # an earlier demo's


def test_an_unknown_product_is_named_before_anything_is_made(flawscope: Run, out: Path) -> None:
    ended = flawscope("demo", "--out", out, "--product", "vent_cver")
    assert ended.code != 0
    assert 'Did you mean "vent_cover"' in ended.err
    assert not out.exists()
