"""Bootstrap intervals: the vectorised road, coverage and refusals."""

import numpy as np
import pytest

from flawscope import metrics
from flawscope.errors import InputError, OptionError
from flawscope.metrics import bootstrap


def _scores(seed, good=40, defective=30, shift=1.0):
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], [good, defective])
    return labels, np.round(rng.normal(size=labels.size) + shift * labels, 1)


def test_the_vectorised_road_gives_the_same_rounds_as_the_plain_one():
    def plainly(labels, scores):
        return metrics.auroc(labels, scores)

    labels, scores = _scores(0)
    fast = metrics.bootstrap_interval(metrics.auroc, labels, scores, rounds=200)
    plain = metrics.bootstrap_interval(plainly, labels, scores, rounds=200)
    assert fast == pytest.approx(plain, abs=1e-12)


def test_blocks_cover_every_round(monkeypatch):
    monkeypatch.setattr(bootstrap, "BLOCK", 350)
    sizes = [g.shape for g, _ in bootstrap._draws(40, 30, 12, seed=0)]
    assert sizes == [(5, 40), (5, 40), (2, 40)]


def test_interval_holds_the_value_and_widens_with_level():
    labels, scores = _scores(1)
    narrow = metrics.bootstrap_interval(metrics.auroc, labels, scores, level=0.5)
    wide = metrics.bootstrap_interval(metrics.auroc, labels, scores, level=0.99)
    assert narrow.value == metrics.auroc(labels, scores)
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


def test_seed_decides_the_interval():
    labels, scores = _scores(2)
    first, again, other = (
        metrics.bootstrap_interval(metrics.auroc, labels, scores, seed=seed, rounds=50) for seed in (3, 3, 4)
    )
    assert first == again != other


def test_the_truth_lies_inside_about_as_often_as_promised():
    truth = 0.7602499389065233  # Phi(1 / sqrt(2)) for unit normals one apart
    inside = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        labels = np.repeat([0, 1], 60)
        scores = rng.normal(size=120) + labels
        interval = metrics.bootstrap_interval(metrics.auroc, labels, scores, level=0.9, rounds=200)
        inside += interval.low <= truth <= interval.high
    assert 80 <= inside <= 98


def test_rounds_keep_both_classes():
    labels, scores = [0] * 50 + [1], [*range(50), 25.5]
    interval = metrics.bootstrap_interval(metrics.average_precision, labels, scores, rounds=50)
    assert 0 < interval.low <= interval.high <= 1


def test_refusals():
    with pytest.raises(InputError, match="good ones only"):
        metrics.bootstrap_interval(metrics.auroc, [0, 0], [1.0, 2.0])
    with pytest.raises(OptionError, match="level"):
        metrics.bootstrap_interval(metrics.auroc, [0, 1], [1.0, 2.0], level=95)
    with pytest.raises(OptionError, match="rounds"):
        metrics.bootstrap_interval(metrics.auroc, [0, 1], [1.0, 2.0], rounds=0)


def test_pictures_of_one_group_are_drawn_together():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 20)
    scores = rng.normal(size=40) + labels
    five_labels, five_scores = np.repeat(labels, 5), np.repeat(scores, 5)
    once = metrics.bootstrap_interval(metrics.auroc, labels, scores, rounds=400)
    grouped = metrics.bootstrap_interval(
        metrics.auroc, five_labels, five_scores, rounds=400, groups=np.arange(200) // 5
    )
    counted = metrics.bootstrap_interval(metrics.auroc, five_labels, five_scores, rounds=400)
    assert grouped.value == pytest.approx(once.value)
    assert grouped.high - grouped.low == pytest.approx(once.high - once.low, rel=0.15)
    assert counted.high - counted.low < 0.6 * (grouped.high - grouped.low)
    shared = metrics.bootstrap_interval(
        metrics.auroc, labels, scores, rounds=20, groups=["part"] * 40
    )  # of either class
    assert (shared.low, shared.high) == (shared.value, shared.value)
