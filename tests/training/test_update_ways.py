"""Models that are taught otherwise: of few pictures, of tiles, or trained again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flawscope.errors import DataError, OptionError
from flawscope.nn.run import Run
from flawscope.runtime import bundle
from flawscope.station.calibrate import calibrate
from flawscope.training.settings import read_recipe
from flawscope.training.train import train
from flawscope.training.update import update
from trained import LIMITED, Trained, recipe, write_pictures
from two_filters import register


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of twenty pictures, which calibrated in folds; beside it these, odd, more and fresh ones."""
    root = tmp_path_factory.mktemp("few")
    wish = recipe(write_pictures(root / "good", 20), split={"folds": 2}, options=LIMITED)
    train(wish, root / "model", Run())
    write_pictures(root / "odd", 2, seed=21, spot=True)
    write_pictures(root / "more", 6, seed=31)
    write_pictures(root / "fresh", 16, seed=41)
    return root


def test_few_pictures_are_fitted_and_taught_in_folds_again(few: Path, tmp_path: Path) -> None:
    before = bundle.load(few / "model").manifest.calibration
    result = update(few / "model", [few / "more"], tmp_path / "out")
    after = result.bundle.manifest.calibration
    assert after.cross_conformal
    assert (len(after.scores), result.calibrated, result.missing) == (len(before.scores),) * 2 + (0,)
    assert after.scores != before.scores
    provenance = result.bundle.manifest.provenance
    assert (provenance.count("calibration"), provenance.count("normal"), len(provenance.calibrating)) == (
        0,
        26,
        20,
    )


def test_pictures_that_were_added_to_folds_are_not_lost_without_a_word(few: Path, tmp_path: Path) -> None:
    model = shutil.copytree(few / "model", tmp_path / "model")
    fresh = sorted((few / "fresh").iterdir())[:3]
    added = calibrate(model, normals=fresh).added
    result = update(model, [few / "more"])
    assert (result.calibrated, result.missing) == (20, added)
    assert calibrate(model, normals=fresh).added == added == 3


def test_held_out_pictures_take_the_place_of_folds(few: Path, tmp_path: Path) -> None:
    sources = [few / "fresh", few / "good"]
    result = update(few / "model", [few / "more"], tmp_path / "out", calibration=sources)
    calibration = result.bundle.manifest.calibration
    assert not calibration.cross_conformal
    assert calibration.promise == "with_confidence"
    provenance = result.bundle.manifest.provenance
    assert len(calibration.scores) == provenance.count("calibration") == len(provenance.calibrating) == 16


def test_taught_pictures_that_are_gone_are_named(few: Path, tmp_path: Path) -> None:
    more = shutil.copytree(few / "more", tmp_path / "more")
    update(few / "model", [more], tmp_path / "taught")
    more.rename(tmp_path / "moved")
    with pytest.raises(DataError, match=r"good, and in \S+more/000\.png and such.*got 6 missing"):
        update(tmp_path / "taught", [few / "fresh"], tmp_path / "again")


def test_another_products_pictures_do_not_train_it_again(few: Path, tmp_path: Path) -> None:
    """They lie where the old ones did."""
    (few / "good").rename(tmp_path / "away")
    write_pictures(few / "good", 20, seed=77)
    try:
        with pytest.raises(DataError, match=r"got 20 of 20 gone or changed"):
            update(few / "model", [few / "more"], tmp_path / "out", retrain=True)
    finally:
        shutil.rmtree(few / "good")
        (tmp_path / "away").rename(few / "good")


def test_folds_need_all_pictures(few: Path, tmp_path: Path) -> None:
    root = shutil.copytree(few, tmp_path / "copy")
    model = root / "model"
    moved = model / bundle.RECIPE
    assert str(few) in moved.read_text()
    next((few / "good").iterdir()).rename(few / "away.png")
    try:
        with pytest.raises(DataError, match=r"got 1 missing\. Name a folder of good pictures"):
            update(model, [few / "odd"])
    finally:
        (few / "away.png").rename(few / "good" / "000.png")


def test_a_model_of_tiles_is_taught_tiles(tmp_path: Path) -> None:
    good = write_pictures(tmp_path / "good", 30, side=96)
    wish = {"split": {"calibration": 0.4}, "calibration": {"false_rejects": 0.3}}
    tiles = recipe(good, tiling="64", options=LIMITED, **wish)
    train(tiles, tmp_path / "model", Run())
    odd = write_pictures(tmp_path / "odd", 2, seed=9, side=96, spot=True)
    result = update(tmp_path / "model", [odd], growth=4.0)
    assert result.rejected[0] == 2
    assert result.rejected[1] < 2
    frames = [one.frames for one in result.bundle.manifest.provenance.pictures if one.role == "normal"]
    assert frames == [4] * len(frames)
    assert result.bundle.manifest.tiling == bundle.load(tmp_path / "model").manifest.tiling


def test_a_method_that_cannot_be_taught_is_trained_again(
    knobbed: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch)
    odd = write_pictures(tmp_path / "odd", 4, seed=21, spot=True)
    with pytest.raises(
        OptionError, match=r"got one that can only be trained again\. Add --retrain, which trains"
    ):
        update(knobbed.folder, [odd], tmp_path / "out")
    result = update(knobbed.folder, [odd], tmp_path / "out", retrain=True)
    assert (result.taught, result.retrained, result.banks) == (4, True, {})
    assert result.normal == (66, 70)
    opened = bundle.load(tmp_path / "out")
    assert opened.manifest.calibration.alpha == knobbed.result.bundle.manifest.calibration.alpha
    assert read_recipe(tmp_path / "out" / bundle.RECIPE)["data"]["taught"] == [
        str(path) for path in sorted(odd.iterdir())
    ]


def test_taught_pictures_that_lie_in_the_folder_too_never_calibrate(
    knobbed: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch)
    pictures = shutil.copytree(knobbed.pictures, tmp_path / "product")
    odd = write_pictures(tmp_path / "odd", 3, seed=21, spot=True)
    for path in odd.iterdir():
        shutil.copy(path, pictures / "good" / f"odd {path.name}")
    values = read_recipe(knobbed.folder / bundle.RECIPE)
    values["data"] = {"folder": str(pictures), "taught": [str(odd)]}
    made = train(recipe(pictures, **values), tmp_path / "model", Run()).bundle
    roles = {one.name: one.role for one in made.manifest.provenance.pictures if one.name.startswith("odd")}
    assert roles == {f"odd 00{index}.png": "normal" for index in range(3)}


@pytest.mark.parametrize(
    ("below", "said"),
    [
        ("models/base", "Update models/base, then: flawscope learn --recipe .*/learnt/recipe.yaml --out NEW"),
        (
            "models/base.versions/16ddd34cd7e8",  # which stays as it is
            "Run: flawscope update models/base.versions/16ddd34cd7e8 --normals FOLDER --out BASE; "
            "flawscope learn BASE --recipe .*/learnt/recipe.yaml --out NEW",
        ),
    ],
)
def test_a_model_of_known_defects_says_what_to_update(
    few: Path, tmp_path: Path, below: str, said: str
) -> None:
    model = shutil.copytree(few / "model", tmp_path / "model")
    opened = bundle.load(model)
    with bundle.writing(tmp_path / "learnt") as draft:
        for name in opened.manifest.files:
            shutil.copy(model / name, draft.folder / name)
        (draft.folder / bundle.RECIPE).write_text(f"model: {below}\nnormals: [a]\ndefects: b\n")
        draft.manifest = opened.manifest
    with pytest.raises(OptionError, match=said):
        update(tmp_path / "learnt", [few / "odd"])
