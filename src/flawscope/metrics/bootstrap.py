"""How far a metric could move with other pictures of the same kind: stratified percentile bootstrap."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flawscope.errors import OptionError
from flawscope.metrics.ranking import Floats, auroc, check_ranking

BLOCK = 1 << 22  # drawn indices, or cells of the round-by-score table, held at a time


class Interval(NamedTuple):
    """A metric's value on all pictures, and the ends of its bootstrap interval; NaN where it has none."""

    value: float
    low: float = math.nan
    high: float = math.nan


def bootstrap_interval(
    metric: Callable[[NDArray[Any], NDArray[Any]], float],
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    level: float = 0.95,
    rounds: int = 1000,
    seed: int = 0,
    groups: Sequence[Hashable] | None = None,
) -> Interval:
    """Percentile interval of `metric(labels, scores)`, resampled within good and within defective pictures.

    Resampling each class apart keeps both class sizes, so no round is left with one class (Efron and
    Tibshirani 1993, chapters 8 and 13). `auroc` takes a vectorised road to the same rounds.

    Args:
        metric: takes labels (N,) and scores (N,), gives a number.
        labels: (N,) 0 for good, 1 for defective.
        scores: (N,) finite.
        level: share of rounds inside the interval, in (0, 1).
        rounds: number of resamplings, at least 1.
        seed: of the resampling.
        groups: N names; pictures of one name and class are drawn together (Field and Welsh 2007,
            "Bootstrapping clustered data"), since alike ones tell less than others. None: each by itself.

    Raises:
        InputError: one class only, values that are not finite, shapes that differ.
        OptionError: `level` or `rounds` out of range.
    """
    _check(level, rounds)
    truth, values = check_ranking(labels, scores)
    good, defective = values[~truth], values[truth]
    if groups is not None:
        drawn = np.array(
            [
                metric(truth[rows].astype(np.int64), values[rows])
                for rows in _of_groups(truth, groups, rounds, seed)
            ]
        )
    elif metric is auroc:
        drawn = _auroc_rounds(good, defective, rounds, seed)
    else:
        marks = np.repeat([0, 1], [good.size, defective.size])
        drawn = np.array(
            [
                metric(marks, np.concatenate((good[g], defective[d])))
                for block in _draws(good.size, defective.size, rounds, seed)
                for g, d in zip(*block, strict=True)
            ]
        )
    return _percentile(float(metric(truth.astype(np.int64), values)), drawn, level)


def auroc_difference(
    labels: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    *,
    level: float = 0.95,
    rounds: int = 1000,
    seed: int = 0,
    groups: Sequence[Hashable] | None = None,
) -> Interval:
    """AUROC of the second scores minus that of the first, of the same pictures, with a paired interval.

    Each round draws pictures as `bootstrap_interval` does and takes both scores of each (Efron and Tibshirani
    1993, chapter 8), so what makes pictures hard for both cancels. Below 0: the second ranks worse.

    Args:
        labels: (N,) 0 for good, 1 for defective.
        first, second: (N,) finite; scores of two models, each on its own scale.
        level, rounds, seed, groups: as `bootstrap_interval`.

    Raises:
        InputError, OptionError: as `bootstrap_interval`.
    """
    _check(level, rounds)
    truth, before = check_ranking(labels, first)
    _, after = check_ranking(labels, second)
    marks = truth.astype(np.int64)
    value = auroc(marks, after) - auroc(marks, before)
    if groups is None:
        drawn = [_auroc_rounds(scores[~truth], scores[truth], rounds, seed) for scores in (before, after)]
        return _percentile(value, drawn[1] - drawn[0], level)
    differences = [
        auroc(marks[rows], after[rows]) - auroc(marks[rows], before[rows])
        for rows in _of_groups(truth, groups, rounds, seed)
    ]
    return _percentile(value, np.array(differences), level)


def _check(level: float, rounds: int) -> None:
    if not 0.0 < level < 1.0:
        raise OptionError("level", expected="a share in (0, 1)", got=f"{level}", fix="Use for example 0.95.")
    if rounds < 1:
        raise OptionError("rounds", expected="at least 1", got=f"{rounds}", fix="Use for example 1000.")


def _percentile(value: float, drawn: Floats, level: float) -> Interval:
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(drawn, (tail, 1.0 - tail))
    return Interval(value, float(low), float(high))


def _of_groups(
    truth: NDArray[np.bool_], groups: Sequence[Hashable], rounds: int, seed: int
) -> Iterator[NDArray[np.int64]]:
    """Rows of each round: of either class as many groups as there are, drawn with replacement."""
    rng = np.random.default_rng(seed)
    apart: dict[tuple[bool, Hashable], list[int]] = {}
    for row, key in enumerate(zip(truth.tolist(), groups, strict=True)):
        apart.setdefault(key, []).append(row)
    classes = [[rows for (bad, _), rows in apart.items() if bad is wanted] for wanted in (False, True)]
    for _ in range(rounds):
        drawn = [own[index] for own in classes for index in rng.integers(len(own), size=len(own))]
        yield np.array([row for rows in drawn for row in rows], np.int64)


def _draws(
    good: int, defective: int, rounds: int, seed: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Blocks of rounds: indices (B, good) and (B, defective), drawn with replacement."""
    rng = np.random.default_rng(seed)
    size = max(1, BLOCK // (good + defective))
    for start in range(0, rounds, size):
        block = min(size, rounds - start)
        yield rng.integers(good, size=(block, good)), rng.integers(defective, size=(block, defective))


def _auroc_rounds(good: Floats, defective: Floats, rounds: int, seed: int) -> Floats:
    """AUROC of each round (rounds,): how often each distinct score was drawn says all that ranking needs."""
    distinct, place = np.unique(np.concatenate((good, defective)), return_inverse=True)
    results = []
    for g, d in _draws(good.size, defective.size, rounds, seed):
        goods = _tally(place[: good.size][g], distinct.size)
        defectives = _tally(place[good.size :][d], distinct.size)
        below = np.cumsum(goods, axis=1) - goods / 2  # (B, K) good ones below, ties half
        results.append(np.sum(below * defectives, axis=1))
    return np.concatenate(results) / (float(good.size) * defective.size)


def _tally(places: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Row-wise counts (B, size) of places (B, n)."""
    block = places.shape[0]
    offset = np.arange(block)[:, None] * size
    return np.bincount((places + offset).ravel(), minlength=block * size).reshape(block, size)  # (B, K)
