"""Knobs of models that look at tiles and at whole pictures: both on one scale, whatever the knob."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import two_filters
from flawscope.errors import OptionError
from flawscope.files import sha256
from flawscope.nn.run import Run
from flawscope.runtime import bundle
from flawscope.runtime.listing import list_images
from flawscope.runtime.manifest import Manifest
from flawscope.runtime.tiling import Overview
from flawscope.station.calibrate import calibrate
from flawscope.training.train import train
from trained import write_pictures

CHOICE = {"size": 32, "stride": 24, "overview": True}
SPLIT = {"calibration": 0.4, "tuning": 0.2}


def trained(folder: Path, pictures: Path, weight: float) -> Path:
    recipe = two_filters.recipe_of(
        pictures,
        options={"local_weight": weight},
        tiling=CHOICE,
        split=SPLIT,
        calibration={"false_rejects": 0.3},
    )
    with pytest.MonkeyPatch.context() as patch:
        two_filters.register(patch)
        return train(recipe, folder, Run()).bundle.folder


def scale_of(manifest: Manifest) -> Overview:
    assert manifest.tiling is not None
    assert manifest.tiling.overview is not None
    return manifest.tiling.overview


@pytest.fixture
def good(tmp_path: Path) -> list[Path]:
    return list_images(write_pictures(tmp_path / "parts" / "good", 40, side=96))


def test_a_turned_knob_gives_what_training_with_its_value_gives(tmp_path: Path, good: list[Path]) -> None:
    model, wanted = (trained(tmp_path / str(weight), tmp_path / "parts", weight) for weight in (0.1, 0.9))
    before, expected = bundle.load(model).manifest, bundle.load(wanted).manifest
    after = calibrate(model, scalars={"local_weight": 0.9}, normals=good).bundle.manifest
    assert after.scalar_values() == expected.scalar_values() == {"local_weight": 0.9}
    assert scale_of(before) != scale_of(after)
    found, told = ((one.gain, one.shift) for one in (scale_of(after), scale_of(expected)))
    np.testing.assert_allclose(found, told, rtol=1e-3, atol=1e-6)
    # the pictures that training set aside for tests calibrate, too
    apart = np.asarray(after.calibration.scores)
    for value in expected.calibration.scores:
        assert np.isclose(apart, value, rtol=1e-3).any()
    again = calibrate(model, scalars={"local_weight": 0.9}, normals=good).bundle.manifest
    assert again.tiling == after.tiling


def test_without_the_pictures_that_told_the_scale_nothing_changes(tmp_path: Path, good: list[Path]) -> None:
    model = trained(tmp_path / "model", tmp_path / "parts", 0.1)
    digest = sha256(model / bundle.MANIFEST)
    roles = {one.name: one.role for one in bundle.load(model).manifest.provenance.pictures}
    apart = [path for path in good if roles.get(path.name) == "calibration"]
    scaled = [path for path in good if roles.get(path.name) == "tuning"]
    with pytest.raises(OptionError, match="the 8 good pictures that scaled the overview") as error:
        calibrate(model, scalars={"local_weight": 0.9}, normals=[*apart, *scaled[1:]])
    assert f"7 of them, and not {scaled[0].name}" in str(error.value)
    assert sha256(model / bundle.MANIFEST) == digest
    kept = calibrate(model, scalars={"local_weight": 0.1}, normals=apart).bundle.manifest
    assert kept.tiling is not None
    turned = calibrate(model, scalars={"local_weight": 0.9}, normals=[*apart, *scaled])
    assert (turned.added, turned.known) == (len(apart), len(scaled))
