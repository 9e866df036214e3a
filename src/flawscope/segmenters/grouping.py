"""Components that are alike: mean shift (section 3.1 of the CSAD paper), and its bandwidth from the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flawscope.data.samples import spread
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED, Watch

Rows = NDArray[np.float64]
Ids = NDArray[np.intp]

NONE = -1  # class of a component that has none
_ROUNDS, _STOP = (
    300,
    1e-3,
)  # scikit-learn's: most steps of a start, and the share of the bandwidth that ends it
_CANDIDATES = 16
_RANGE = (0.005, 0.7)  # quantiles of the distances between components that bandwidths are tried between
_EQUAL = 1e-3  # by which share distances differ that count as one
_PLATEAU = 0.98  # of the best score
_SAMPLE = 1500  # components that are clustered; the others join them


@dataclass(frozen=True, slots=True)
class Grouping:
    """Classes of components.

    Attributes:
        classes: (n,) from 0 on, those with most members first; -1 for components in none.
        bandwidth: that mean shift had.
        groups: how many modes it found, small ones among them.
    """

    classes: Ids
    bandwidth: float
    groups: int

    @property
    def count(self) -> int:
        """Number of classes K."""
        return int(self.classes.max(initial=NONE)) + 1

    def without(self, dropped: NDArray[np.bool_]) -> Grouping:
        """The same without some classes (K,): their components have none, and the others move up."""
        rank = np.where(dropped, NONE, np.cumsum(~dropped) - 1)
        return replace(self, classes=np.append(rank, NONE)[self.classes])  # NONE is the last


def group(
    rows: Rows,
    owners: Ids,
    pictures: int,
    run: Run,
    watch: Watch = UNWATCHED,
    *,
    bandwidth: float | None = None,
    least_share: float = 0.5,
    most: int = 63,
) -> Grouping:
    """Cluster components by mean shift; clusters with too few members are no classes.

    Where pictures show more than 1500 components in all, those of evenly spread pictures are clustered, and
    each of the others joins the class of its nearest one, if that lies within the bandwidth.

    Args:
        rows: (n, D) features of components.
        owners: (n,) which picture shows each, in order.
        pictures: how many there are.
        run: nothing is drawn; it tells `watch` what is kept.
        watch: progress and stop signal.
        bandwidth: None chooses it, see `choose_bandwidth`.
        least_share: members that a class must have, in shares of the pictures.
        most: classes that stay at most.
    """
    each = max(len(rows) / max(pictures, 1), 1)
    sampled = np.array(spread(range(pictures), max(int(_SAMPLE / each), 2)), np.intp)
    inner = np.isin(owners, sampled)
    own = np.searchsorted(sampled, owners[inner])  # pictures of the sample, from 0 on
    if bandwidth is None:
        bandwidth = choose_bandwidth(rows[inner], own, len(sampled), run, watch, least_share=least_share)
    modes = mean_shift(rows[inner], bandwidth)
    groups = np.full(len(rows), NONE, np.intp)
    groups[inner] = _nearest(rows[inner], modes)[0]
    for start in range(0, len(rows), _SAMPLE):
        some = np.flatnonzero(~inner[start : start + _SAMPLE]) + start
        near, distances = _nearest(rows[some], rows[inner])
        groups[some] = np.where(distances <= bandwidth, groups[inner][near], NONE)
    return Grouping(_large(groups, least_share * pictures, most), bandwidth, len(modes))


def choose_bandwidth(
    rows: Rows, owners: Ids, pictures: int, run: Run, watch: Watch = UNWATCHED, *, least_share: float = 0.5
) -> float:
    """The bandwidth that finds most classes whose number of members stays the same from picture to picture.

    Only good pictures decide, as all that is learnt here: a good product has the same components each time.
    A class counts 2 p - 1, p being the share of the pictures that show its most frequent number of members.
    One that is always there counts 1; one that is torn apart at random counts nothing in either half, whose
    number is right in half of the pictures at most; two that are always there and taken for one count 1
    together. So the sum is largest where groups are as fine as they stay constant. By how much a number is
    wrong does not matter: parts that touch in a fifth of the pictures are still a kind. Of 16 bandwidths,
    spaced evenly in their logarithm between quantiles of the distances, the middle one of those around the
    best counts. Where all distances but those of 0 are equal, they reach from half of it to twice as much.

    Args:
        rows: (n, D) features of components.
        owners: (n,) which picture shows each.
        pictures: how many there are.
        run: nothing is drawn; it tells `watch` what is kept.
        watch: progress and stop signal.
        least_share: as of `group`.
    """
    squares = _squared_distances(rows, rows)[np.triu_indices(len(rows), 1)]
    apart = np.sqrt(squares[squares > 0])
    if not len(apart):
        return 1.0  # all are alike, or there is one
    low, high = np.quantile(apart, _RANGE)
    if high < (1 + _EQUAL) * low:  # at that very distance rounding would decide who is a neighbour
        low, high = low / 2, 2 * high
    candidates = np.geomspace(low, high, _CANDIDATES)
    scores = np.zeros(_CANDIDATES)
    with watch.stage("choosing a bandwidth", _CANDIDATES) as stage:
        for index, candidate in enumerate(candidates):
            watch.check_stop(run)
            scores[index] = constant_classes(rows, owners, pictures, candidate, least_share=least_share)
            stage.advance()
    good = scores >= _PLATEAU * scores.max()
    first = last = int(scores.argmax())
    while first > 0 and good[first - 1]:
        first -= 1
    while last < _CANDIDATES - 1 and good[last + 1]:
        last += 1
    return float(candidates[(first + last) // 2])


def steadiness(members: Ids) -> float:
    """How many classes have the same number in every picture, of their members (N, K) in each.

    Each counts 2 p - 1 but no less than 0, see `choose_bandwidth`; one whose usual number is 0 counts 0.
    """
    return float(sum(_steady(column) for column in members.T))


def constant_classes(
    rows: Rows,
    owners: Ids,
    pictures: int,
    bandwidth: float,
    *,
    least_share: float = 0.5,
    counted: Callable[[Ids], float] = steadiness,
) -> float:
    """How many of the classes that mean shift finds are constant in number.

    Args:
        rows: (n, D) features of components.
        owners: (n,) which picture shows each.
        pictures: how many there are, N.
        bandwidth: of mean shift.
        least_share: as of `group`.
        counted: as `steadiness`.
    """
    groups = _nearest(rows, mean_shift(rows, bandwidth))[0]
    return counted(_members(_large(groups, least_share * pictures), owners, pictures))


def _members(classes: Ids, owners: Ids, pictures: int) -> Ids:
    """Members (N, K) of each class in each picture, of components' classes (n,) and pictures (n,)."""
    count = int(classes.max(initial=NONE)) + 1
    inner = classes != NONE
    members = np.bincount(owners[inner] * count + classes[inner], minlength=pictures * count)
    return np.asarray(members.reshape(pictures, count))


def _steady(numbers: Ids) -> float:
    """See `steadiness`; of one class (N,)."""
    found, counts = np.unique(numbers, return_counts=True)
    most = int(counts.argmax())
    return max(0.0, 2 * float(counts[most]) / len(numbers) - 1) if found[most] else 0.0


def mean_shift(rows: Rows, bandwidth: float) -> Rows:
    """Modes (L, D) of `rows` (n, D), those with most rows within the bandwidth first.

    Flat kernel, each row a start: the modes of scikit-learn's MeanShift (Comaniciu and Meer, TPAMI 2002), all
    starts at once as products of matrices. Starts that have come to see the same rows go on as one.
    """
    moving, still = rows, list[tuple[Rows, Ids]]()  # (m, D), and what has come to rest with its counts
    for _ in range(_ROUNDS + 1):
        near = _squared_distances(moving, rows) <= bandwidth**2  # (m, n)
        first, same = _distinct(near)
        near, counts = near[first], np.maximum(near[first].sum(1), 1)
        alone = ~np.any(near, axis=1, keepdims=True)  # rounding may hide a row that is alone from itself
        means = np.where(alone, moving[first], near.astype(np.float64) @ rows) / counts[:, None]
        moved = np.linalg.norm(means[same] - moving, axis=1) > _STOP * bandwidth  # (m,)
        rest, going = np.unique(same[~moved]), np.unique(same[moved])
        still.append((means[rest], counts[rest]))
        moving = means[going]
        if not len(moving):
            break
    else:
        still.append((moving, counts[going]))
    means, counts = (np.concatenate(parts) for parts in zip(*still, strict=True))
    order = np.lexsort((*means.T[::-1], counts))[::-1]
    means = means[order]
    close = _squared_distances(means, means) <= bandwidth**2
    left, found = np.ones(len(means), np.bool_), list[int]()
    while left.any():
        found.append(int(left.argmax()))
        left &= ~close[found[-1]]
        left[found[-1]] = False
    return means[found]


def _distinct(near: NDArray[np.bool_]) -> tuple[Ids, Ids]:
    """Of rows (m, n) the first of each kind, (k,), and which of these each row is like, (m,).

    Rows without any are not alike.
    """
    own = np.where(near.any(1), 0, np.arange(1, len(near) + 1)).astype(np.uint32)
    packed = np.hstack([np.packbits(near, axis=1), own[:, None].view(np.uint8)])
    whole = np.ascontiguousarray(packed).view(np.dtype((np.void, packed.shape[1]))).ravel()  # (m,)
    _, first, same = np.unique(whole, return_index=True, return_inverse=True)
    return first, same


def _large(groups: Ids, least: float, most: int | None = None) -> Ids:
    """Groups with at least so many members, numbered from 0 by how many; -1 for members of the others."""
    sizes = np.bincount(groups[groups != NONE], minlength=1)
    order = np.argsort(-sizes, kind="stable")
    order = order[sizes[order] >= max(least, 1)][:most]
    rank = np.full(len(sizes) + 1, NONE, np.intp)  # the last one for none
    rank[order] = np.arange(len(order))
    return rank[groups]


def _nearest(rows: Rows, others: Rows) -> tuple[Ids, Rows]:
    """Index (n,) of the nearest of `others` (m, D) to each of `rows` (n, D), and its distance (n,)."""
    squares = _squared_distances(rows, others)
    best = squares.argmin(1)
    return best, np.sqrt(squares[np.arange(len(rows)), best])


def _squared_distances(rows: Rows, others: Rows) -> Rows:
    """(n, m), never below 0."""
    products = rows @ others.T
    squares = np.square(rows).sum(1)[:, None] + np.square(others).sum(1) - 2 * products
    return np.asarray(np.maximum(squares, 0))
