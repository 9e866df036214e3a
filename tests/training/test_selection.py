"""What a recipe sets aside, and which defective pictures it draws."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from annotated import Quarter, annotated
from flawscope.data.annotations.always_learnt import always_learnt
from flawscope.data.layouts import read_dataset
from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Dataset
from flawscope.data.splits import NormalSplit
from flawscope.data.training import TrainingData
from flawscope.errors import DataError
from flawscope.methods.registry import create
from flawscope.runtime.images import Frame
from flawscope.training.recipe import Recipe
from flawscope.training.selection import Selection, defects_of, select, split_for, taught_of
from trained import write_pictures

SMALL: dict[str, dict[str, Any]] = {
    "patchcore": {"size": [64, 64], "weights": "random", "backbone": "test_resnet"},
    "efficientad": {"size": [64, 64], "weights": "random", "channels": 16},
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("parts")
    write_pictures(root / "good", 40, side=16)
    write_pictures(root / "spot", 8, seed=1, side=16)
    return read_dataset(root)


def recipe(**split: Any) -> Recipe:
    return Recipe.parse({"data": {"folder": "x"}, "split": {"calibration": 0.1, **split}, "seed": 5})


@pytest.mark.parametrize("method", ["patchcore", "efficientad"])
def test_a_detector_alone_learns_what_it_learns_inside_segad(dataset: Dataset, method: str) -> None:
    detector = create(method, SMALL[method])
    segad = create("segad", {"size": [64, 64], "detectors": [{"method": method, "options": SMALL[method]}]})
    inside = split_for(segad, dataset, recipe(tuning=0.4))
    alone = split_for(detector, dataset, recipe(aside=0.4, tuning=0.2))
    normal, tuning = (PictureFiles(part, detector.options.frame) for part in (inside.training, inside.tuning))
    learnt = TrainingData(normal, tuning).for_detector(0.2 if detector.needs().tuning else 0.0)
    assert alone.training == tuple(learnt.normal.samples)
    assert alone.tuning == tuple(learnt.tuning.samples)
    assert bool(alone.tuning) == bool(detector.needs().tuning)
    assert (alone.calibration, alone.test) == (inside.calibration, inside.test)
    assert not set(inside.tuning) & set(alone.training + alone.tuning + alone.calibration)


def test_annotated_pictures_are_those_of_the_training_ones_that_have_parts(dataset: Dataset) -> None:
    good, frame = dataset.select(defective=False), Frame(16, 16)
    split = NormalSplit(
        (*annotated(good[:3]), *good[3:9]), tuning=annotated(good[9:12]), calibration=(), test=()
    )
    parts = Selection(split).data(frame).parts
    assert parts is not None
    assert [sample.path for sample in parts.samples] == [sample.path for sample in good[:3]]
    assert Selection(split).data(frame, split.training[3:]).parts is None


@pytest.mark.parametrize(("count", "kept"), [(1, 1), (7, 7), (40, 10)])
def test_a_few_annotated_pictures_are_always_learnt_from(dataset: Dataset, count: int, kept: int) -> None:
    good = dataset.select(defective=False)
    some = {sample.path: sample for sample in annotated(good[:count])}
    marked = replace(dataset, samples=tuple(some.get(sample.path, sample) for sample in dataset))
    chosen = select(marked, create("patchcore", SMALL["patchcore"]), recipe(calibration=None))
    assert chosen.split.folds
    assert len(chosen.annotated) == kept
    for data, held_out in chosen.folds(Frame(16, 16), 0):
        assert data.parts is not None
        seen = {sample.path for sample in data.normal.samples}
        assert seen >= {sample.path for sample in chosen.annotated}
        assert not seen & {sample.path for sample in held_out.samples}
    parts = (chosen.training, chosen.split.tuning, chosen.split.test)
    roles = [sample.path for part in parts for sample in part]
    assert sorted(roles) == sorted(sample.path for sample in good)
    assert [one.role for one in chosen.seen()].count("normal") == len(chosen.training)


def test_the_rarest_components_are_kept_first_and_enough_stays_to_be_drawn(dataset: Dataset) -> None:
    good = dataset.select(defective=False)
    some = list(annotated(good[:20]))
    some[17] = replace(some[17], parts=(Quarter("washer"),))
    found = always_learnt(replace(dataset, samples=tuple(some)))
    assert len(found) == 10
    assert some[17] in found
    assert len(always_learnt(replace(dataset, samples=tuple(some[:8])))) == 3
    assert always_learnt(replace(dataset, samples=tuple(some[:5]))) == ()


def test_other_views_of_an_annotated_piece_are_learnt_from_too(dataset: Dataset) -> None:
    good = [replace(one, group=f"{index // 2}") for index, one in enumerate(dataset.select(defective=False))]
    good[4] = annotated(good[4:5])[0]
    assert always_learnt(replace(dataset, samples=tuple(good))) == (good[4], good[5])


def test_taught_pictures_that_are_gone_are_told(dataset: Dataset, tmp_path: Path) -> None:
    here = dataset.select(defective=False)[0].path
    wish = recipe().teaching([str(here), str(tmp_path / "gone.png")])
    with pytest.raises(DataError, match=r"1 of 2 taught pictures: .* got no file .*gone\.png\. Put"):
        taught_of(wish, dataset)


def test_the_draw_of_defects_has_a_seed_of_its_own_where_one_is_named(dataset: Dataset) -> None:
    drawn = defects_of(dataset, recipe(defective=3))
    assert len(drawn) == 3
    assert defects_of(dataset, recipe(defective=3, draw=5)) == drawn
    assert any(defects_of(dataset, recipe(defective=3, draw=seed)) != drawn for seed in range(5))
    assert defects_of(dataset, recipe(defective=0)) == ()
