"""Large pictures where nobody names a method: whole where parts lie at any angle, else in tiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from flawscope.methods.joined_banks import JoinedBanks
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.training import product
from flawscope.training.recipe import Recipe
from flawscope.training.settings import read_recipe
from flawscope.training.train import TrainResult, train
from turning_parts import SIDE, write_wheels
from zoo import ZOO

TIMES = 3  # that pictures are as high as the frame
ANYWHERE = (
    "Parts lie at any angle in good pictures: these are seen whole, each part turned to how one of them "
    f"lies; a flaw of 4 pixels would be 3. --tiling {SIDE} sees tiles of them."
)
FINER = (
    f"Pictures are seen at {2 * SIDE}×{2 * SIDE} (height×width), so that small flaws last. "
    f"--method joined_banks --tiling none sees them at {SIDE}×{SIDE}, in less time."
)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    options = dict(ZOO["joined_banks"][1].options) | {"size": (SIDE, SIDE), "upright": True}
    monkeypatch.setattr(JoinedBanks, "presets", {"default": options})
    monkeypatch.setattr(product, "FINE_PIXELS", (2 * SIDE) ** 2)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return large(tmp_path_factory.mktemp("wheels"), turned=True)


def large(folder: Path, *, turned: bool) -> Path:
    write_wheels(folder, 45, seed=3, turned=turned)
    for path in folder.iterdir():
        Image.open(path).resize((TIMES * SIDE, TIMES * SIDE)).save(path)
    return folder


def trained(folder: Path, out: Path, said: list[str], **changes: Any) -> TrainResult:
    values = {
        "data": {"folder": str(folder)},
        "split": {"calibration": 0.3},
        "engine": {"name": "onnxruntime"},
    }
    wish = Recipe.parse(values | {"calibration": {"false_rejects": 0.3}} | changes)
    return train(wish, out, Run(), Watch(say=said.append))


@pytest.mark.parametrize("changes", [{}, {"tiling": "auto"}], ids=["nothing said", "auto"])
def test_parts_at_any_angle_are_seen_whole_and_turned(
    wheels: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    made = trained(wheels, tmp_path / "model", said := [], **changes)
    manifest = made.bundle.manifest
    assert (manifest.tiling, manifest.frame.height) == (None, 2 * SIDE)
    assert (made.proposal.tiling, made.proposal.sentence) == (None, ANYWHERE)
    assert any(output.name == "pose" for output in manifest.outputs)
    assert said.index(ANYWHERE) < said.index(FINER)
    kept = Recipe.parse(read_recipe(made.bundle.folder / "recipe.yaml"))
    assert kept.tiling.size == "none"


def test_how_parts_lie_is_asked_in_their_own_shape(tmp_path: Path) -> None:
    folder = tmp_path / "wide"
    write_wheels(folder, 45, seed=4)
    for path in folder.iterdir():
        wide = Image.new("RGB", (4 * SIDE // 3, SIDE), (60, 60, 60))
        wide.paste(Image.open(path), (SIDE // 6, 0))
        wide.resize((8 * SIDE // 3, 2 * SIDE + 2)).save(path)
    made = trained(folder, tmp_path / "model", said := [])
    assert made.bundle.manifest.tiling is None
    assert any(output.name == "pose" for output in made.bundle.manifest.outputs)
    assert any(line.startswith("Parts lie at any angle in good pictures: ") for line in said)


@pytest.mark.parametrize("turned", [True, False])
def test_small_pictures_are_seen_in_their_shape_where_parts_are_turned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turned: bool
) -> None:
    monkeypatch.setattr(product, "_STEP", 8)
    folder = tmp_path / "wide"
    write_wheels(folder, 45, seed=4, turned=turned)
    for path in folder.iterdir():
        wide = Image.new("RGB", (4 * SIDE // 3, SIDE), (60, 60, 60))
        wide.paste(Image.open(path), (SIDE // 6, 0))
        wide.save(path)
    manifest = trained(folder, tmp_path / "model", said := []).bundle.manifest
    frame = manifest.frame
    assert (frame.height, frame.width) == ((80, 112) if turned else (SIDE, SIDE))
    assert any(output.name == "pose" for output in manifest.outputs) is turned
    assert any("in their shape, so that parts, which lie at any angle" in line for line in said) is turned


def test_parts_that_lie_alike_are_seen_in_tiles(tmp_path: Path) -> None:
    made = trained(large(tmp_path / "good", turned=False), tmp_path / "model", said := [])
    assert made.proposal.sentence in said
    assert made.bundle.manifest.tiling is not None
    assert not any(line.startswith("Parts lie at any angle") for line in said)


@pytest.mark.parametrize(
    "changes",
    [
        {"tiling": {"overview": True}},
        {"method": "joined_banks"},
        {"tiling": str(SIDE)},
        {"options": {"upright": False}},
    ],
    ids=["an overview", "a method", "tiles", "parts as they lie"],
)
def test_what_somebody_asked_for_is_taken(
    wheels: Path, tmp_path: Path, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(product, "lie_anywhere", None)  # nobody looks
    made = trained(wheels, tmp_path / "model", [], **changes)
    assert made.bundle.manifest.tiling is not None


def test_parts_that_would_be_shrunk_too_far_stay_in_tiles(
    wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(product, "SHRUNK", 1.4)
    made = trained(wheels, tmp_path / "model", said := [])
    assert made.bundle.manifest.tiling is not None
    assert ANYWHERE not in said


def test_pictures_of_fewer_pixels_than_a_finer_frame_stay_in_tiles(
    wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(product, "FINE_PIXELS", (4 * SIDE) ** 2)
    monkeypatch.setattr(product, "lie_anywhere", None)  # nobody looks
    made = trained(wheels, tmp_path / "model", [])
    assert made.bundle.manifest.tiling is not None


def test_views_of_few_parts_tell_nothing(wheels: Path, tmp_path: Path) -> None:
    named = tmp_path / "named"
    named.mkdir()
    for index, path in enumerate(sorted(wheels.iterdir())):
        (named / f"part{index // 2}_{index}.png").symlink_to(path)
    data = {"folder": str(named), "groups": "part([0-9]+)_"}
    made = trained(named, tmp_path / "model", said := [], data=data)
    assert made.bundle.manifest.tiling is not None
    assert ANYWHERE not in said


def test_too_few_pictures_tell_nothing(wheels: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted(wheels.iterdir())[:18]:
        (few / path.name).symlink_to(path)
    made = trained(few, tmp_path / "model", said := [])
    assert made.bundle.manifest.tiling is not None
    assert ANYWHERE not in said
