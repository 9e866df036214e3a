"""Mean shift, its bandwidth, and which clusters are classes."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.cluster import MeanShift

from flawscope.errors import Stopped
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.segmenters import grouping
from flawscope.segmenters.grouping import (
    NONE,
    Grouping,
    choose_bandwidth,
    constant_classes,
    group,
    mean_shift,
    steadiness,
)

Rows = NDArray[np.float64]
Ids = NDArray[np.intp]


def products(
    counts: tuple[int, ...] = (1, 3, 2), pictures: int = 20, noise: float = 0.2, gap: float = 2.0
) -> tuple[Rows, Ids, Ids]:
    """Components of pictures that all show so many of each class: rows (n, 5), owners and classes (n,).

    Classes lie `gap` apart on a line, the last one ten times as far.
    """
    random = np.random.default_rng(3)
    classes = np.tile(np.repeat(np.arange(len(counts)), counts), pictures)
    owners = np.repeat(np.arange(pictures), sum(counts))
    rows = random.normal(0, noise, (len(classes), 5))
    rows[:, 0] += gap * classes + 10 * gap * (classes == len(counts) - 1)
    return rows, owners, classes


def same_partition(one: Ids, other: Ids) -> bool:
    return len({*zip(one, other, strict=True)}) == len({*one}) == len({*other})


@pytest.mark.parametrize("seed", range(6))
def test_modes_are_those_of_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    rows = random.normal(random.choice([-3.0, 0.0, 4.0], (80, 1)), 1.0, (80, int(random.integers(1, 6))))
    for bandwidth in (0.3, 1.5, 4.0, 50.0):
        found = mean_shift(rows, bandwidth)
        expected = MeanShift(bandwidth=bandwidth).fit(rows).cluster_centers_
        assert found.shape == expected.shape
        key = np.lexsort(found.T), np.lexsort(expected.T)
        np.testing.assert_allclose(found[key[0]], expected[key[1]], atol=1e-9)


def test_the_bandwidth_is_the_one_that_finds_most_constant_classes() -> None:
    rows, owners, classes = products()
    found = group(rows, owners, 20, Run())
    assert same_partition(found.classes, classes)
    assert found.count == 3
    assert np.bincount(found.classes).tolist() == [60, 40, 20]
    assert found.bandwidth == choose_bandwidth(rows, owners, 20, Run())


@pytest.mark.parametrize("noise", [0, 1e-7, -1e-7])
def test_two_kinds_that_are_all_alike_are_two_classes_however_distances_round(noise: float) -> None:
    rows = np.tile([[0.1, 0.7], [1.3, 0.2]], (8, 1)) * (1 + noise * np.arange(16)[:, None])
    owners = np.repeat(np.arange(8), 2)
    found = group(rows, owners, 8, Run())
    assert found.count == 2
    assert found.bandwidth < 0.9 * 1.3  # kinds are 1.3 apart


def test_a_class_torn_at_random_counts_less_than_the_whole() -> None:
    whole = np.tile([4, 1], (20, 1))
    half = np.random.default_rng(0).integers(0, 5, 20)
    torn = np.stack([half, 4 - half, np.ones_like(half)], 1)
    assert steadiness(whole) == pytest.approx(2)
    assert steadiness(whole.sum(1, keepdims=True)) == pytest.approx(1)
    assert steadiness(torn) == pytest.approx(1)
    assert steadiness(np.zeros((20, 0), np.intp)) == 0


def test_by_how_much_a_number_is_wrong_does_not_matter() -> None:
    """Two kinds of two of which parts touch in a fifth of the pictures are no worse than one kind of four."""
    first, second = np.full(20, 2), np.full(20, 2)
    first[:4] = 1
    second[4:8] = 1
    assert steadiness(np.stack([first, second], 1)) == pytest.approx(2 * 0.6)
    assert steadiness((first + second)[:, None]) == pytest.approx(0.2)
    first[0] = 9
    assert steadiness(first[:, None]) == pytest.approx(0.6)


def test_a_class_that_most_pictures_lack_counts_nothing() -> None:
    assert steadiness(np.array([0] * 15 + [1] * 5)[:, None]) == 0


def test_clusters_with_fewer_members_than_half_of_the_pictures_go() -> None:
    rows, owners, classes = products((1, 1))
    rare = np.flatnonzero(classes == 1)
    for present, expected in ((10, 2), (9, 1)):
        kept = np.sort(np.r_[np.flatnonzero(classes == 0), rare[:present]])
        found = group(rows[kept], owners[kept], 20, Run(), bandwidth=2.0)
        assert found.count == expected
        assert found.groups == 2
        assert (found.classes == -1).sum() == (0 if expected == 2 else present)
    assert group(rows, owners, 20, Run(), bandwidth=2.0, least_share=1.1).count == 0
    assert group(rows, owners, 20, Run(), bandwidth=2.0, most=1).count == 1


def test_of_thousands_a_share_is_clustered_and_the_others_join() -> None:
    rows, owners, classes = products((4, 6), pictures=400)
    alone = 4000 - 15  # in a picture between those that are clustered
    rows[alone] += 500
    found = group(rows, owners, 400, Run(), bandwidth=3.0)
    assert len(rows) > 2 * grouping._SAMPLE
    assert found.classes[alone] == -1
    others = np.delete(np.arange(4000), alone)
    assert same_partition(found.classes[others], classes[others])


def test_components_that_are_all_alike_or_alone_are_one_class() -> None:
    owners = np.arange(6)
    assert group(np.ones((6, 3)), owners, 6, Run()).classes.tolist() == [0] * 6
    assert group(np.ones((1, 3)), owners[:1], 1, Run()).classes.tolist() == [0]
    two = group(np.array([[0.0], [5.0]]), np.array([0, 0]), 1, Run())
    assert two.count in (1, 2)


def test_it_stops_when_asked() -> None:
    rows, owners, _ = products()
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        group(rows, owners, 20, Run(), Watch(stop=stop))


def test_classes_that_are_dropped_leave_components_without_any() -> None:
    grouping = Grouping(np.array([0, 2, NONE, 1, 2]), 1.0, 5)
    left = grouping.without(np.array([False, True, False]))
    assert left.classes.tolist() == [0, 1, NONE, NONE, 1]
    assert (left.count, left.groups, grouping.count) == (2, 5, 3)


def test_constant_classes_are_counted_at_a_bandwidth() -> None:
    rows, owners, _ = products()
    assert constant_classes(rows, owners, 20, 1.5) == pytest.approx(3.0)
    assert constant_classes(rows, owners, 20, 100.0) == pytest.approx(1.0)
    assert constant_classes(rows, owners, 20, 1.5, counted=lambda members: members.shape[1] / 2) == 1.5
