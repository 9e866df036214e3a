"""Draws, plans and folds of pictures in groups keep each part together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flawscope.data.groups import GroupChoice, group_dataset
from flawscope.data.layouts import read_dataset
from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Dataset
from flawscope.data.splits import folds, scale_within, split_dataset, split_normals
from flawscope.data.tiles import cut, groups_of, units_of
from flawscope.data.training import TrainingData
from flawscope.methods.registry import create
from flawscope.runtime.images import Frame
from flawscope.runtime.tiling import Tiling
from flawscope.training.fold_scores import HeldOut
from flawscope.training.pack import Wish
from flawscope.training.recipe import Recipe
from flawscope.training.selection import select
from part_views import PATTERN, VIEWS, write_both


@pytest.fixture(scope="module")
def grouped(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    pictures = read_dataset(write_both(tmp_path_factory.mktemp("views")))
    return group_dataset(pictures, GroupChoice.parse(PATTERN))[0]


def parts(samples: tuple[object, ...]) -> set[str | None]:
    return {sample.group for sample in samples}  # type: ignore[attr-defined]


def test_all_draws_keep_parts_together(grouped: Dataset) -> None:
    good = grouped.select(defective=False)
    split = split_dataset(grouped, seed=1, calibration=0.25, tuning=0.1)
    roles = [split.training, split.tuning, split.calibration, split.test]
    assert [len(parts(role)) for role in roles] == [14, 2, 6, 6]
    assert len(set().union(*map(parts, roles))) == 28
    assert {len(role) / len(parts(role)) for role in roles} == {VIEWS}
    scaled = scale_within(split, 0.2)
    assert not parts(scaled.training) & parts(scaled.tuning)
    assert len(scaled.tuning) == VIEWS * len(parts(scaled.tuning)) > 0
    for training, held_out in folds(good, 5, seed=0):
        assert not parts(training) & parts(held_out)
    counted = split_normals(good, seed=0, calibration=5, parts=True)
    assert len(counted.calibration) == 5 * VIEWS
    frame = Frame(16, 16)
    normal, tuning = PictureFiles(split.training, frame), PictureFiles(split.tuning, frame)
    inner = TrainingData(normal, tuning).for_detector(0.3)
    assert not parts(tuple(inner.normal.samples)) & parts(tuple(inner.tuning.samples))


def test_plans_count_parts(grouped: Dataset) -> None:
    """84 pictures would leave a quarter, 21, to calibrate on; of 28 parts a quarter is too few."""
    assert split_dataset(grouped, seed=0, test=0.0).folds == 5
    alone = replace(grouped, samples=tuple(replace(one, group=None) for one in grouped))
    assert split_dataset(alone, seed=0, test=0.0).folds == 0


def test_validation_pictures_of_parts_that_are_learnt_from_do_not_calibrate(grouped: Dataset) -> None:
    good = grouped.select(defective=False)
    views = [replace(one, split="validation") if "_v2" in one.path.name else one for one in good]
    mixed = replace(grouped, samples=tuple(views))
    assert len(split_dataset(mixed, seed=0).training) >= 2 * 28
    apart = [replace(one, split="validation") if (one.group or "") > "019" else one for one in good]
    split = split_dataset(replace(grouped, samples=tuple(apart)), seed=0)
    assert parts(split.calibration + split.tuning) == {f"{number:03d}" for number in range(20, 28)}


def test_good_views_of_parts_whose_defects_are_learnt_from_do_not_calibrate(grouped: Dataset) -> None:
    mates = {"040": "003", "041": "004"}
    samples = tuple(replace(one, group=mates.get(one.group or "", one.group)) for one in grouped)
    data = replace(grouped, samples=samples)
    wish = Recipe.parse({"data": {"folder": "x"}, "split": {"calibration": 0.3, "defective": 12}})
    segad = create(
        "segad", {"size": [64, 64], "detectors": [{"method": "padim", "options": {"size": [64, 64]}}]}
    )
    chosen = select(data, segad, wish)
    assert {"003", "004"} <= parts(chosen.training)
    assert not parts(chosen.split.calibration + chosen.split.tuning) & parts(chosen.defective)


def test_tiles_of_all_views_of_a_part_stay_together(grouped: Dataset) -> None:
    good = grouped.select(defective=False)[:6]
    tiles = cut(good, Frame(32, 32), Tiling(size=(32, 32), stride=(32, 32)))
    assert len(tiles) == 24
    assert units_of(tiles.samples) == [0] * 12 + [1] * 12
    assert groups_of(tiles) == tuple(one.group for one in good)
    inner = TrainingData(tiles, tiles.subset([])).for_detector(0.5)
    assert not parts(tuple(inner.normal.samples)) & parts(tuple(inner.tuning.samples))


def test_scores_of_folds_bring_their_parts() -> None:
    scores = tuple(np.array(fold, np.float32) for fold in ([1, 2, 3], [4, 5], [6, 7, 8]))
    held_out = HeldOut(scores, None, in_folds=True, groups=(("a", "a", None), ("b", "b"), ("c", None, "c")))
    wish = Wish(0.2, 0.05, judge="part", grouped_by=PATTERN)
    calibration = wish.thresholds(held_out)
    assert (calibration.count, calibration.groups) == (5, (0, 0, 1, 2, 2, 3, 4, 3))
    assert (calibration.judge, calibration.cross_conformal) == ("part", True)
    alone = replace(wish, judge="picture", grouped_by="").thresholds(held_out)
    assert (alone.count, alone.groups) == (8, ())
    unnamed = replace(held_out, groups=((None,) * 3, (None,) * 2, (None,) * 3))
    assert wish.thresholds(unnamed).count == 8
