"""SegAD's logistic regression, and the maps before smoothing that it reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize

from flawscope.data.pictures import Pictures
from flawscope.data.training import TrainingData
from flawscope.methods.registry import create
from flawscope.methods.running import score
from flawscope.methods.segad import SegAD
from flawscope.methods.segad.logistic import Logistic, LogisticOptions, fit_logistic
from flawscope.nn.run import Run
from flawscope.testing.rings import damaged_rings, good_rings
from kept_rings import saved

PATCHCORE = {
    "method": "patchcore",
    "options": {"backbone": "resnet18", "weights": "random", "coreset": 0.05, "layers": ["layer2"]},
}


def _rows() -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    random = np.random.default_rng(0)
    defective = np.arange(50) >= 35
    rows = random.normal([3, 0, 7], [1, 5, 0.1], (50, 3)) + defective[:, None] * [1.0, 0.0, 0.1]
    rows[:, 2] = np.exp(rows[:, 2])
    return np.column_stack([rows, np.full(50, 4.0)]).astype(np.float32), defective  # the last is constant


def test_it_is_the_best_of_its_loss_found_by_another_way() -> None:
    rows, defective = _rows()
    found = fit_logistic(rows, defective, LogisticOptions(strength=2.0))
    good = rows[~defective, :3].astype(np.float64)
    unit = (rows[:, :3] - good.mean(0)) / good.std(0)
    moved = np.sign(unit) * np.log1p(np.abs(unit))
    moved = (moved - moved[~defective].mean(0)) / moved.std(0)
    sign, weight = np.where(defective, 1, -1), np.where(defective, 50 / 30, 50 / 70)

    def loss(parameters: NDArray[np.float64]) -> float:
        margins = moved @ parameters[:3] + parameters[3]
        losses = weight * np.logaddexp(0, -sign * margins)
        return float(2.0 * losses.sum() + 0.5 * np.square(parameters[:3]).sum())

    best = minimize(loss, np.zeros(4), tol=1e-10).x
    np.testing.assert_allclose(found.margins(rows), moved @ best[:3] + best[3], atol=1e-3)


def test_the_module_answers_alike_and_its_contributions_sum_to_the_margin() -> None:
    rows, defective = _rows()
    found = fit_logistic(rows, defective, LogisticOptions())
    module = Logistic()
    module.take(found)
    margins, contributions = module(torch.from_numpy(rows))
    np.testing.assert_allclose(margins.numpy(), found.margins(rows), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.bias + contributions.sum(1).numpy(), margins.numpy(), atol=1e-4)
    assert (contributions[:, 3] == 0).all()
    assert contributions[~defective].mean(0).abs().max() < 1e-3


@pytest.fixture
def fitted(tmp_path: Path) -> tuple[SegAD, Pictures]:
    """SegAD with everything that `learn` may take, and the defective pictures."""
    values = {"size": (64, 64), "detectors": [PATCHCORE], "segments": {"kind": "one"}}
    values |= {"detector_scores": True, "unsmoothed": True, "logistic": {}}
    segad = create("segad", values)
    assert isinstance(segad, SegAD)
    normal, tuning = (saved(good_rings(6, seed), tmp_path / f"good {seed}") for seed in (1, 2))
    bad = saved(damaged_rings(4, 3), tmp_path / "bad", "scratch")
    segad.fit(TrainingData(normal, tuning, defective=bad), Run())
    return segad, bad


def test_maps_before_smoothing_join_the_others(fitted: tuple[SegAD, Pictures]) -> None:
    segad, bad = fitted
    names = segad.outputs[3].names
    assert names[0] == "patchcore/0/quantile"
    assert names[4:] == (
        *(f"unsmoothed patchcore/0/{name}" for name in segad.options.statistics),
        "patchcore/score of the picture",
    )
    answer = score(segad, bad, Run())
    features = dict(zip(names, answer["features"].T, strict=True))
    base = segad.bases[0]
    with torch.inference_mode():
        plain, cells = base.forward_unsmoothed(torch.from_numpy(np.stack(list(bad))))
    np.testing.assert_allclose(features["unsmoothed patchcore/0/mean"], cells.mean((1, 2)), rtol=1e-5)
    np.testing.assert_allclose(features["patchcore/score of the picture"], plain["score"], rtol=1e-5)
    np.testing.assert_allclose(answer["heatmap"], plain["heatmap"], rtol=1e-5, atol=1e-6)


def test_a_score_without_steps_is_judged_by_itself(fitted: tuple[SegAD, Pictures]) -> None:
    segad, _ = fitted
    assert segad.outputs[0].parity is None
    assert "forest.ubj" not in segad.learnt.files
    segad.hold({"score": np.ones(1)}, "an engine")
