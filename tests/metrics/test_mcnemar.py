"""McNemar's exact test against scipy's binomial test, and the paired difference of AUROC."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from flawscope.errors import InputError
from flawscope.metrics import auroc, auroc_difference, mcnemar


@pytest.mark.parametrize(("one", "other"), [(0, 0), (0, 1), (3, 3), (1, 8), (12, 30), (200, 260)])
def test_mcnemar_is_a_binomial_test_with_one_half(one: int, other: int) -> None:
    expected = 1.0 if one == other == 0 else binomtest(one, one + other).pvalue
    assert mcnemar(one, other) == pytest.approx(expected, rel=1e-12)
    assert mcnemar(other, one) == mcnemar(one, other)


def test_mcnemar_of_many_pictures_is_no_overflow() -> None:
    assert mcnemar(0, 5000) == 0.0
    assert mcnemar(2500, 2500) == 1.0


def test_mcnemar_of_nothing_that_could_be_counted() -> None:
    with pytest.raises(InputError, match="0 or more"):
        mcnemar(-1, 2)


def test_the_difference_of_equal_scores_is_nothing_for_sure() -> None:
    labels, scores = np.repeat([0, 1], 20), np.random.default_rng(0).random(40)
    assert auroc_difference(labels, scores, 3 * scores + 1) == (0.0, 0.0, 0.0)


def test_pictures_of_one_part_are_drawn_together() -> None:
    """Each picture five times over tells no more than once; drawn by itself it would seem to."""
    rng = np.random.default_rng(2)
    labels = np.repeat([0, 1], 30)
    first, second = rng.normal(size=60) + labels, rng.normal(size=60) + labels
    once = auroc_difference(labels, first, second)
    five = [np.repeat(values, 5) for values in (labels, first, second)]
    together = auroc_difference(*five, groups=np.repeat(np.arange(60), 5).tolist())
    assert (together.low, together.high) == pytest.approx((once.low, once.high), abs=0.03)
    apart = auroc_difference(*five)
    assert apart.high - apart.low < 0.6 * (together.high - together.low)


def test_the_difference_is_that_of_both_and_surer_than_each_alone() -> None:
    """Against a bootstrap that is written out: the same pictures of each round for both models."""
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], [60, 40])
    first = rng.normal(size=100) + labels
    second = first + rng.normal(scale=0.3, size=100) + 0.2 * labels
    found = auroc_difference(labels, first, second, rounds=2000)
    assert found.value == pytest.approx(auroc(labels, second) - auroc(labels, first))
    drawn = []
    for _ in range(2000):
        rows = np.concatenate([rng.integers(0, 60, 60), rng.integers(60, 100, 40)])
        drawn.append(auroc(labels[rows], second[rows]) - auroc(labels[rows], first[rows]))
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn, (0.025, 0.975)), abs=0.006)
