"""What SegAD reads of a detector's network: its looks, margins that no picture taught itself, the graph."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from flawscope.data.training import TrainingData
from flawscope.errors import OptionError
from flawscope.methods.registry import create
from flawscope.methods.running import restored, score
from flawscope.methods.segad import SegAD
from flawscope.methods.segad.appearance import (
    Appearance,
    AppearanceOptions,
    Direction,
    Heard,
    apart_margins,
    fit_direction,
    looks_of,
    networks_of,
)
from flawscope.methods.segad.final import with_appearance
from flawscope.metrics import auroc
from flawscope.nn.run import Run
from flawscope.runtime.engines import installed
from flawscope.runtime.pipeline import Pipeline
from flawscope.testing.rings import damaged_rings, good_rings
from flawscope.training.export import export
from kept_rings import saved

PATCHCORE = {
    "method": "patchcore",
    "options": {"backbone": "test_resnet", "weights": "random", "coreset": 0.05, "layers": ["layer2"]},
}
SETTINGS = AppearanceOptions()


def _segad(**options: Any) -> SegAD:
    values = {"size": (64, 64), "detectors": [PATCHCORE], "segments": {"kind": "one"}, "appearance": {}}
    made = create("segad", {**values, **options})
    assert isinstance(made, SegAD)
    return made


@pytest.fixture
def data(tmp_path: Path) -> TrainingData:
    normal, tuning = (saved(good_rings(6, seed), tmp_path / f"good {seed}") for seed in (1, 2))
    return TrainingData(normal, tuning, defective=saved(damaged_rings(5, 3), tmp_path / "bad", "scratch"))


def test_looks_are_the_means_of_all_places_and_of_the_highest() -> None:
    random = np.random.default_rng(0)
    grid = random.normal(size=(2, 3, 4, 5)).astype(np.float32)
    heatmap = random.normal(size=(2, 4, 5)).astype(np.float32)
    found = looks_of(Heard({"a": torch.from_numpy(grid)}), torch.from_numpy(heatmap), 0.2).numpy()
    for picture, heights, row in zip(grid, heatmap, found, strict=True):
        highest = np.argsort(-heights.ravel())[:4]
        expected = [*picture.mean((1, 2)), *picture.reshape(3, -1)[:, highest].mean(1)]
        np.testing.assert_allclose(row, expected, rtol=1e-5, atol=1e-6)


def test_looks_pass_over_places_that_do_not_count() -> None:
    grid = torch.arange(8.0).view(1, 1, 2, 4)
    kept = torch.tensor([[[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]])
    found = looks_of(Heard({"a": grid}), torch.tensor([[[9.0, 1, 1, 1], [1, 1, 1, 1]]]), 0.1, kept)
    np.testing.assert_allclose(found, [[0.5, 0.0]])
    narrow = torch.zeros(1, 8, 8)
    narrow[:, 1:3, 1:3] = 1  # between the cells' centres
    cells = torch.arange(16.0).view(1, 1, 4, 4)
    np.testing.assert_allclose(looks_of(Heard({"a": cells}), narrow, 0.5, narrow), [[2.5, 2.5]])


def test_no_picture_has_a_say_in_its_own_margin() -> None:
    random = np.random.default_rng(1)
    looks = random.normal(size=(30, 6)).astype(np.float32)
    defective, folds = np.arange(30) % 3 == 0, np.arange(30) % 5
    apart = apart_margins(looks, defective, folds, SETTINGS)
    moved = looks.copy()
    moved[7] += 100
    again = apart_margins(moved, defective, folds, SETTINGS)
    held = folds == 7 % 5
    others = np.flatnonzero(held & (np.arange(30) != 7))
    np.testing.assert_array_equal(again[others], apart[others])
    assert (again[~held] != apart[~held]).all()
    expected = fit_direction(looks[~held], defective[~held], SETTINGS).margins(looks[held])
    np.testing.assert_array_equal(apart[held], expected)


def test_it_tells_kinds_apart_and_a_nearly_dead_channel_weighs_little() -> None:
    random = np.random.default_rng(2)
    looks = random.normal(size=(60, 8)).astype(np.float32)
    defective = np.arange(60) < 20
    looks[defective, 3] += 3
    found = fit_direction(looks, defective, SETTINGS)
    assert np.abs(found.weight).argmax() == 3
    assert auroc(defective, found.margins(looks)) > 0.95
    looks[:, 5] = 0.5
    looks[0, 5] = np.nextafter(np.float32(0.5), np.float32(1))
    assert np.abs(fit_direction(looks, defective, SETTINGS).weight[5]) < 1e-3


def test_folds_that_leave_no_defect_tell_nothing() -> None:
    looks = np.random.default_rng(3).normal(size=(11, 4)).astype(np.float32)
    defective = np.arange(11) == 10
    looks[10] += 9
    apart = apart_margins(looks, defective, np.arange(11) % 2, SETTINGS)
    told = apart[1:10:2]
    np.testing.assert_allclose(apart[::2], told.mean(), rtol=1e-5)


def test_the_margin_joins_the_features_also_in_the_graph(data: TrainingData, tmp_path: Path) -> None:
    segad = _segad(detector_scores=True, logistic={"weights": "alike"}).fit(data, Run())
    assert segad.outputs[3].names[-1] == "the picture/likeness to known defects"
    assert data.defective is not None
    expected = score(segad, data.defective, Run())
    graphs = export(segad, tmp_path)
    for name, _ in installed():
        found = Pipeline.in_engine(graphs, name, threads=1).score(data.defective)
        for outputs, margin, own in zip(found, expected["score"], expected["features"], strict=True):
            np.testing.assert_allclose(outputs["score"], margin, rtol=1e-3, atol=1e-3)
            np.testing.assert_allclose(outputs["features"], own, rtol=1e-3, atol=1e-3)
    again = restored("segad", segad.options.model_dump(), segad.state_dict(), segad.learnt.facts)
    np.testing.assert_array_equal(score(again, data.defective, Run())["score"], expected["score"])


def test_the_final_classifier_sees_margins_of_others(data: TrainingData) -> None:
    segad = _segad(logistic={})
    segad.fit(data, Run())
    table = segad.collect(data.unseen(), Run())
    joined, direction = with_appearance(table, segad.options, 0)
    assert joined.features.shape[1] == table.features.shape[1] + 1
    assert not np.allclose(joined.features[:, -1], direction.margins(table.seen()))
    assert joined.features[:, -1].min() >= np.float32(direction.floor)


def test_what_is_unlike_known_defects_counts_as_a_good_picture() -> None:
    direction = Direction(np.zeros(2, np.float32), np.array([1, 0], np.float32), 0.5, floor=-1.0)
    looks = np.array([[2, 9], [-4, 9]], np.float32)
    np.testing.assert_allclose(direction.margins(looks), [2.5, -1.0])
    module = Appearance()
    module.take(direction)
    np.testing.assert_allclose(module(torch.from_numpy(looks)), [2.5, -1.0])


def test_weighed_alike_score_and_likeness_count_and_nothing_else(data: TrainingData) -> None:
    segad = _segad(detectors=[PATCHCORE, PATCHCORE], detector_scores=True, logistic={"weights": "alike"})
    segad.fit(data, Run())
    names, weight = segad.outputs[3].names, segad.final.weight
    assert [weight[names.index(name)] for name in names if "/0/" in name] == [0] * 8
    assert weight[-3:].tolist() == [0.5, 0.5, 1.0]
    table, _ = with_appearance(segad.collect(data.unseen(), Run()), segad.options, 0)
    good = table.features[~table.defective]
    unit = (table.features - good.mean(0)) / good.std(0)
    moved = np.sign(unit) * np.log1p(np.abs(unit))
    margins = (moved - moved[~table.defective].mean(0))[:, -3:] @ [0.5, 0.5, 1.0]
    middle = (margins[table.defective].mean() + margins[~table.defective].mean()) / 2
    found, _ = segad.final(torch.from_numpy(table.features))
    np.testing.assert_allclose(found, margins - middle, atol=1e-3)
    with pytest.raises(OptionError, match="detector_scores"):
        _segad(logistic={"weights": "alike"})


def test_a_classifiers_score_beside_counts_as_much(data: TrainingData) -> None:
    classifier = {
        "method": "classifier",
        "options": {"backbone": "test_resnet", "weights": "random", "steps": 1},
    }
    weighed = {"logistic": {"weights": "alike"}, "classifier": classifier, "classifier_folds": 2}
    segad = _segad(detector_scores=True, **weighed).fit(data, Run())
    assert segad.outputs[3].names[-2:] == ("the classifier/score", "the picture/likeness to known defects")
    assert segad.final.weight.tolist() == [0, 0, 0, 0, 1, 1, 1]


def test_a_network_runs_once_and_keeps_no_hook(data: TrainingData) -> None:
    segad = _segad(logistic={}).fit(data, Run())
    (network,) = networks_of(segad.bases[0])
    passes: list[int] = []
    network.register_forward_hook(lambda *_: passes.append(1))
    with torch.inference_mode():
        segad(torch.zeros(1, 3, 64, 64))
    assert passes == [1]
    assert len(network._forward_hooks) == 1


def test_a_network_that_is_never_asked_gives_way_to_one_that_is(data: TrainingData) -> None:
    segad = _segad(logistic={}).fit(data, Run())
    idle = copy.deepcopy(networks_of(segad.bases[0])[0])
    segad.bases[0]._modules = {"idle": idle, **segad.bases[0]._modules}
    assert networks_of(segad.bases[0])[0] is idle
    with torch.inference_mode():
        assert segad(torch.zeros(1, 3, 64, 64))["features"].shape == (1, 5)
    assert segad.reader.hears()


def test_detectors_without_a_frozen_network_have_no_looks() -> None:
    student = {"method": "efficientad", "options": {"steps": 1}}
    with pytest.raises(OptionError, match="frozen network"):
        _segad(detectors=[student], size=(256, 256))
