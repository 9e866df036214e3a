"""Models of large pictures that see tiles: training, thresholds, overviews, evaluation and learning."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flawscope.cli import main
from flawscope.data.layouts import read_dataset
from flawscope.errors import OptionError
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.runtime import bundle
from flawscope.runtime.images import decode, to_frame
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.pipeline import Pipeline
from flawscope.runtime.record import Record
from flawscope.runtime.tiling import Overview
from flawscope.station.calibrate import calibrate
from flawscope.station.evaluate import evaluate
from flawscope.station.inspection import Summary, inspect_pictures
from flawscope.station.picture import inspect_one
from flawscope.training.learn import learn
from flawscope.training.recipe import LearnRecipe, Recipe
from flawscope.training.settings import read_recipe
from flawscope.training.tiling import TilingChoice
from flawscope.training.train import TrainResult, train
from spotted import SIDE, spotted, tiled
from trained import write_pictures
from two_filters import NAME, register

QUICK: dict[str, Any] = {"method": NAME, "options": {}}  # without a network


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainResult, list[str]]:
    """A folder of pictures, the model of their tiles, and what training said."""
    root, said = tmp_path_factory.mktemp("tiled"), list[str]()
    write_pictures(root / "parts" / "good", 30, side=SIDE)
    spotted(root / "parts" / "spot", 4)
    return root / "parts", train(tiled(root / "parts"), root / "model", Run(), Watch(say=said.append)), said


def test_a_model_of_tiles_finds_what_is_small(made: tuple[Path, TrainResult, list[str]]) -> None:
    parts, result, said = made
    manifest = result.bundle.manifest
    assert manifest.tiling is not None
    assert (manifest.frame.height, manifest.tiling.size, manifest.tiling.stride) == (32, (32, 32), (24, 24))
    assert manifest.options["size"] == [32, 32]
    assert any("4×4 tiles of 32 with overlap 8" in line for line in said)
    inspector = Inspector.load(result.bundle)
    for index, path in enumerate(sorted((parts / "spot").iterdir())):
        prediction = inspector.inspect(path)
        assert prediction.heatmap is not None
        assert prediction.heatmap.shape == (SIDE, SIDE)
        row, column = np.unravel_index(prediction.heatmap.argmax(), prediction.heatmap.shape)
        assert abs(int(row) - (10 * index + 3)) < 10
        assert abs(int(column) - 73) < 10


def test_thresholds_are_those_of_whole_pictures(made: tuple[Path, TrainResult, list[str]]) -> None:
    parts, result, _ = made
    manifest = result.bundle.manifest
    names = {picture.name for picture in manifest.provenance.pictures if picture.role == "calibration"}
    assert len(manifest.calibration.scores) == len(names) == result.counts["calibration"]
    inspector = Inspector.load(result.bundle)
    scores = sorted(inspector.inspect(parts / "good" / name).score for name in names)
    np.testing.assert_allclose(scores, manifest.calibration.scores, rtol=1e-5)
    normal = [picture.frames for picture in manifest.provenance.pictures if picture.role == "normal"]
    assert normal == [16] * result.counts["training"]
    assert manifest.calibrated_tiles == 16


def test_pictures_of_more_tiles_than_calibrated_are_told(
    made: tuple[Path, TrainResult, list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts, result, _ = made
    model = Path(shutil.copytree(result.bundle.folder, tmp_path / "model"))
    large = write_pictures(tmp_path / "large", 12, seed=5, side=2 * SIDE)
    some = [next(large.iterdir()), next((parts / "good").iterdir())]

    def told() -> tuple[list[Record], Summary]:
        records = list[Record]()
        return records, inspect_pictures(Inspector.load(model), some, emit=records.append)

    (first, second), summary = told()
    assert first.findings[0].text.startswith(
        "The picture has 64 tiles, those that calibrated the model up to 16"
    )
    assert first.findings[0].values == {"tiles": 64, "tiles_calibrated": 16}
    assert all("tiles" not in finding.values for finding in second.findings)
    assert summary.large == 1
    monkeypatch.setattr("sys.argv", ["flawscope", "inspect", str(model), *map(str, some)])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert "more tiles than those that calibrated the model: 1." in capsys.readouterr().err
    calibrate(model, normals=sorted(large.iterdir()))
    (first, second), summary = told()
    assert (summary.large, bundle.load(model).manifest.calibrated_tiles) == (0, 64)


def test_models_that_do_not_know_how_many_tiles_calibrated_them_say_nothing(
    made: tuple[Path, TrainResult, list[str]], tmp_path: Path
) -> None:
    manifest = made[1].bundle.manifest.model_copy(update={"calibrated_tiles": None})
    older = replace(made[1].bundle, manifest=manifest)
    large = next(write_pictures(tmp_path / "large", 1, side=2 * SIDE).iterdir())
    record = inspect_one(Inspector.load(older), large).record
    assert all("tiles" not in finding.values for finding in record.findings)


def test_the_overview_is_on_the_scale_of_the_tiles_and_counts_in_every_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch)
    write_pictures(tmp_path / "good", 40, side=SIDE)
    choice = {"size": 32, "stride": 24, "overview": True}
    values = {"tiling": choice, "split": {"calibration": 0.4, "tuning": 0.2}, **QUICK}
    result = train(tiled(tmp_path / "good", **values), tmp_path / "model", Run())
    manifest = result.bundle.manifest
    assert result.counts["tuning"] == 8
    assert manifest.tiling is not None
    assert manifest.tiling.overview not in (None, Overview())
    roles = {picture.name: picture.role for picture in manifest.provenance.pictures}
    inspector = Inspector.load(result.bundle)
    by_role = {
        role: [
            inspector.inspect(tmp_path / "good" / name).score for name, own in roles.items() if own == role
        ]
        for role in ("calibration", "tuning")
    }
    np.testing.assert_allclose(sorted(by_role["calibration"]), manifest.calibration.scores, rtol=1e-4)
    shares = []
    for name in (name for name, role in roles.items() if role == "tuning"):
        grid = manifest.tiling.grid(SIDE, SIDE)
        image = decode(tmp_path / "good" / name, None)
        frames = [to_frame(image, manifest.frame, placement=tile.placement) for tile in grid.tiles()]
        found = [float(out["score"]) for out in Pipeline.open(result.bundle).score(frames)]
        gain, shift = manifest.tiling.overview.gain, manifest.tiling.overview.shift
        shares.append((gain * found[-1] + shift, max(found[:-1])))
    whole, tiles = np.array(shares).T
    np.testing.assert_allclose([whole.mean(), whole.std()], [tiles.mean(), tiles.std()], rtol=1e-3)
    again = Recipe.parse(read_recipe(result.bundle.folder / "recipe.yaml"))
    assert again.tiling.overview


def test_folds_bring_their_overviews_to_scale_by_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch)
    write_pictures(tmp_path / "good", 16, side=SIDE)
    values = {
        "tiling": {"size": 32, "stride": 32, "overview": True},
        "split": {"folds": 2, "tuning": 0.4},
        "calibration": {"false_rejects": 0.3, "promise": "on_average"},
        **QUICK,
    }
    manifest = train(tiled(tmp_path / "good", **values), tmp_path / "model", Run()).bundle.manifest
    assert len(manifest.calibration.scores) == 10
    assert manifest.tiling is not None
    assert manifest.tiling.overview not in (None, Overview())


def test_evaluation_and_calibration_of_a_model_of_tiles(
    made: tuple[Path, TrainResult, list[str]], tmp_path: Path
) -> None:
    parts, result, _ = made
    inspector = Inspector.load(result.bundle)
    assert evaluate(inspector, read_dataset(parts), views=2).detection["auroc"].value > 0.9
    fresh = sorted(write_pictures(tmp_path / "fresh", 3, seed=9, side=SIDE).iterdir())
    changed = calibrate(result.bundle.folder, normals=fresh).bundle.manifest.calibration.scores
    added = sorted(inspector.inspect(path).score for path in fresh)
    np.testing.assert_allclose(sorted(set(changed) - set(result.bundle.manifest.calibration.scores)), added)


def test_the_kept_recipe_says_the_tiles(made: tuple[Path, TrainResult, list[str]]) -> None:
    again = Recipe.parse(read_recipe(made[1].bundle.folder / "recipe.yaml"))
    assert again.tiling == TilingChoice(size=(32, 32), stride=(24, 24), scale=1, overview=False)
    assert again.tiling.sized(again.options) == again.options | {"size": [32, 32]}


def test_known_defects_are_learnt_on_tiles(made: tuple[Path, TrainResult, list[str]], tmp_path: Path) -> None:
    parts, result, _ = made
    write_pictures(tmp_path / "good", 30, seed=21, side=SIDE)
    spotted(tmp_path / "bad", 4, masks=True)
    values: dict[str, Any] = {
        "model": str(result.bundle.folder),
        "normals": [str(tmp_path / "good")],
        "defects": str(tmp_path / "bad"),
        "options": {
            "logistic": {},
            "segments": {"kind": "one"},
            "detector_scores": True,
            "unsmoothed": False,
        },
        "engine": {"name": "onnxruntime"},
    }
    said: list[str] = []
    found = learn(LearnRecipe.parse(values), tmp_path / "model", watch=Watch(say=said.append))
    manifest = found.bundle.manifest
    assert manifest.tiling == result.bundle.manifest.tiling
    assert any("Of 4 defective pictures" in line for line in said)
    assert found.gains[0].pictures == (found.counts["forest"], 4)  # pictures, not tiles
    assert len(manifest.calibration.scores) == found.counts["calibration"]
    inspector = Inspector.load(found.bundle)
    worst = max(inspector.inspect(path).score for path in (parts / "good").iterdir())
    for path in (parts / "spot").iterdir():
        prediction = inspector.inspect(path)
        assert prediction.score > worst
        assert prediction.segments is None
        assert prediction.contributions
    placed = values | {"options": {"segments": {"kind": "drafted"}}}
    with pytest.raises(OptionError, match="that kind lies in whole pictures"):
        learn(LearnRecipe.parse(placed), tmp_path / "other")
