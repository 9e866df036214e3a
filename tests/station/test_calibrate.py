"""Calibration of a model of folds by good pictures that it has not seen: what then tells of which scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brightness_model import SIDE, save_model
from flawscope.runtime.bundle import Bundle
from flawscope.runtime.calibration import Calibration
from flawscope.runtime.inspector import Inspector
from flawscope.runtime.manifest import heatmap_range, map_level
from flawscope.runtime.provenance import Provenance, seen
from flawscope.station.calibrate import calibrate


def good(folder: Path, count: int, seed: int) -> list[Path]:
    """Pictures of random colours."""
    random = np.random.default_rng(seed)
    folder.mkdir()
    for index in range(count):
        Image.fromarray(random.integers(0, 200, (SIDE, SIDE, 3), np.uint8)).save(folder / f"{index}.png")
    return sorted(folder.iterdir())


@pytest.fixture
def folds(tmp_path: Path) -> Bundle:
    """A model of two pictures, which calibrated in folds."""
    learnt = good(tmp_path / "learnt", 2, 1)
    calibration = Calibration.from_folds([[0.1], [0.2]], alpha=0.4, delta=0.2)
    came = Provenance(created="2025-01-01T00:00:00+00:00", seed=0, pictures=seen(learnt, "normal"))
    return save_model(
        tmp_path / "model", calibration=calibration, provenance=came.calibrated_in_folds(learnt)
    )


def test_too_few_pictures_join_those_of_folds(folds: Bundle, tmp_path: Path) -> None:
    result = calibrate(folds.folder, normals=good(tmp_path / "few", 1, 2))
    manifest = result.bundle.manifest
    assert (len(manifest.calibration.scores), result.replaced) == (3, 0)
    assert len(Inspector.load(result.bundle).in_force.calibrated_on) == 3
    assert manifest.heatmap == folds.manifest.heatmap


def test_pictures_that_suffice_set_all_levels(folds: Bundle, tmp_path: Path) -> None:
    calibrate(folds.folder, normals=good(tmp_path / "few", 1, 2))
    result = calibrate(folds.folder, normals=(fresh := good(tmp_path / "enough", 5, 3)))
    manifest, inspector = result.bundle.manifest, Inspector.load(result.bundle)
    assert (len(manifest.calibration.scores), result.replaced) == (5, 3)
    assert [name for name, _ in inspector.in_force.calibrated_on] == [path.name for path in fresh]
    maps = [inspector.inspect(path).heatmap for path in fresh]
    assert manifest.heatmap == heatmap_range([map_level(one) for one in maps if one is not None])
    assert [one.role for one in manifest.provenance.pictures] == ["normal"] * 2 + ["calibration"] * 5


def test_pictures_that_came_in_two_calls_suffice_together(folds: Bundle, tmp_path: Path) -> None:
    """Four are needed."""
    calibrate(folds.folder, normals=(few := good(tmp_path / "few", 1, 2)))
    three = good(tmp_path / "three", 3, 3)
    joined = calibrate(folds.folder, normals=[*few, *three]).bundle.manifest
    assert (len(joined.calibration.scores), joined.calibration.cross_conformal) == (4, False)
    assert [one.role for one in joined.provenance.pictures] == ["normal"] * 2 + ["calibration"] * 4


def test_pictures_that_do_not_suffice_count_once(folds: Bundle, tmp_path: Path) -> None:
    calibrate(folds.folder, normals=(few := good(tmp_path / "few", 1, 2)))
    result = calibrate(folds.folder, normals=[*few, *good(tmp_path / "one", 1, 3)])
    assert (len(result.bundle.manifest.calibration.scores), result.added, result.known) == (4, 1, 1)
