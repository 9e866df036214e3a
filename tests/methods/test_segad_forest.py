"""The packed forest answers as XGBoost does, and is seeded."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xgboost
from numpy.typing import NDArray

from flawscope.errors import BundleError
from flawscope.methods.segad.forest import Forest, ForestOptions, grow, margins, require_agreement

KINDS = ("boosted random forest", "random forest", "boosted trees")
PAPERS = {"trees": ForestOptions.trees, "rounds": ForestOptions.rounds}  # tests grow fewer


def _table(rows: int = 120, columns: int = 9) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    random = np.random.default_rng(3)
    features = random.gamma(1.0, 1.0, (rows, columns)).astype(np.float32)
    defective = (features[:, 0] + features[:, 4] * features[:, 5] + random.normal(0, 0.5, rows)) > 2.2
    return features, defective


@pytest.mark.parametrize("kind", KINDS)
def test_margins_and_contributions_are_xgboosts(kind: str) -> None:
    features, defective = _table()
    options = ForestOptions(kind=kind)  # type: ignore[arg-type]
    booster = grow(features, defective, options, seed=1)
    forest = Forest()
    forest.pack(booster, features)
    other = np.random.default_rng(4).gamma(1.0, 1.5, (64, 9)).astype(np.float32)
    margin, contributions = forest(torch.from_numpy(other))
    np.testing.assert_allclose(margin.numpy(), margins(booster, other), rtol=1e-4, atol=1e-4)
    table = xgboost.DMatrix(other)
    expected = booster.predict(table, pred_contribs=True, approx_contribs=True)  # (N, F + 1), the bias last
    np.testing.assert_allclose(contributions.numpy(), expected[:, :-1], rtol=1e-3, atol=2e-4)
    root = float(forest.bias + forest.value[:, 0].sum())
    np.testing.assert_allclose(root, expected[0, -1], rtol=1e-4, atol=1e-4)


def test_values_that_split_go_where_xgboost_sends_them() -> None:
    features, defective = _table()
    booster = grow(features, defective, ForestOptions(), seed=0)
    forest = Forest()
    forest.pack(booster, features)
    on_edges = features[:32].copy()
    thresholds = forest.threshold[torch.isfinite(forest.threshold)].numpy()
    on_edges[:, :] = np.random.default_rng(0).choice(thresholds, on_edges.shape)
    np.testing.assert_allclose(
        forest(torch.from_numpy(on_edges))[0].numpy(), margins(booster, on_edges), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    ("kind", "trees", "rate", "columns", "rounds"),
    [(KINDS[0], 200, 0.3, 0.6, 10), (KINDS[1], 2000, 1.0, 0.6, 1), (KINDS[2], 1, 0.3, 1.0, 2000)],
)
def test_the_papers_settings_reach_xgboost(
    monkeypatch: pytest.MonkeyPatch, kind: str, trees: int, rate: float, columns: float, rounds: int
) -> None:
    features, defective = _table()
    for name, of_the_paper in PAPERS.items():
        monkeypatch.setattr(ForestOptions, name, of_the_paper)
    asked = {}

    def train(parameters: dict[str, object], table: xgboost.DMatrix, num_boost_round: int) -> xgboost.Booster:
        asked.update(parameters, rounds=num_boost_round)
        return original({**parameters, "num_parallel_tree": 1}, table, num_boost_round=1)

    original = xgboost.train
    monkeypatch.setattr(xgboost, "train", train)
    grow(features, defective, ForestOptions(kind=kind), seed=0)  # type: ignore[arg-type]
    wanted = {
        "objective": "binary:logitraw",
        "num_parallel_tree": trees,
        "eta": rate,
        "max_depth": 5,
        "subsample": 0.6,
        "colsample_bytree": columns,
        "colsample_bynode": 0.6,
        "alpha": 1.0,
        "scale_pos_weight": pytest.approx((len(defective) - defective.sum()) / defective.sum()),
        "rounds": rounds,
    }
    assert {name: asked[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("good", "bad", "weighted", "expected"),
    [(90, 10, True, 9.0), (1000, 1000, True, 1.0), (200, 100, True, 2.0), (200, 100, False, 1.0)],
)
def test_defects_weigh_as_good_pictures_per_defective_one(
    monkeypatch: pytest.MonkeyPatch, good: int, bad: int, weighted: bool, expected: float
) -> None:
    """VisA: 90 good, 10 defective; VAD with 1000 of each: no weight at all."""
    features = np.random.default_rng(0).random((good + bad, 2), np.float32)
    asked: list[object] = []

    def train(parameters: dict[str, object], table: xgboost.DMatrix, num_boost_round: int) -> xgboost.Booster:
        asked.append(parameters["scale_pos_weight"])
        return original({**parameters, "num_parallel_tree": 1}, table, num_boost_round=1)

    original = xgboost.train
    monkeypatch.setattr(xgboost, "train", train)
    grow(features, np.arange(good + bad) >= good, ForestOptions(weighted=weighted), seed=0)
    assert asked == [expected]


def test_growing_is_seeded() -> None:
    features, defective = _table()
    first = grow(features, defective, ForestOptions(), seed=5)
    again = grow(features, defective, ForestOptions(), seed=5)
    other = grow(features, defective, ForestOptions(), seed=6)
    assert np.array_equal(margins(first, features), margins(again, features))
    assert not np.array_equal(margins(first, features), margins(other, features))


def test_thresholds_lie_midway_between_training_values() -> None:
    features, defective = _table()
    forest = Forest()
    forest.pack(grow(features, defective, ForestOptions(), seed=0), features)
    for column in range(features.shape[1]):
        values = np.unique(features[:, column])
        middles = ((values[1:].astype(np.float64) + values[:-1]) / 2).astype(np.float32)
        used = forest.threshold[(forest.feature == column) & torch.isfinite(forest.threshold)].numpy()
        assert len(used) > 0
        assert np.isin(used, middles).all()


def test_a_forest_of_bare_roots_says_its_bias() -> None:
    features = np.ones((6, 2), np.float32)
    defective = np.array([True, False] * 3)
    booster = grow(features, defective, ForestOptions(), seed=0)
    forest = Forest()
    forest.pack(booster, features)
    np.testing.assert_allclose(forest(torch.from_numpy(features))[0], margins(booster, features), atol=1e-5)


def test_other_margins_are_refused() -> None:
    features, defective = _table()
    booster = grow(features, defective, ForestOptions(), seed=0)
    with pytest.raises(BundleError, match="XGBoost's"):
        require_agreement(booster, features, margins(booster, features) + 0.1, "graph")
