"""Class histograms, and which label maps are trusted by them."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray

from flawscope.nn.watch import Watch
from flawscope.segmenters.pseudo_labels.histograms import class_histograms, trusted

Rows = NDArray[np.float64]


def near(centre: tuple[float, ...], count: int, seed: int = 0) -> Rows:
    return np.array(centre) + np.random.default_rng(seed).normal(0, 0.002, (count, len(centre)))


def test_the_histogram_is_equation_1() -> None:
    maps = np.array([[[0, 1], [1, 3]], [[0, 0], [0, 0]]], np.uint8)
    np.testing.assert_array_equal(class_histograms(maps, 3), [[0.5, 0, 0.25], [0, 0, 0]])
    assert class_histograms(maps[:0], 3).shape == (0, 3)


def test_the_largest_cluster_or_all_or_neighbours() -> None:
    """Two compositions and three odd pictures: a composition with three pictures is none of them."""
    rows = np.vstack([near((0.2, 0.1), 24), near((0.1, 0.3), 12, 1), near((0.5, 0.5), 3, 2)])
    first, second, odd = (
        (np.arange(39) < 24),
        (np.arange(39) >= 24) & (np.arange(39) < 36),
        np.arange(39) >= 36,
    )
    largest = trusted(rows)
    assert largest[first].mean() > 0.4
    assert not largest[second | odd].any()
    both = trusted(rows, keep="all")
    assert both[first].any()
    assert both[second].any()
    assert not both[odd].any()
    neighbours = trusted(rows, by="neighbours")
    assert neighbours[first | second].mean() > 0.9
    assert not neighbours[odd].any()


@pytest.mark.parametrize("by", ["hdbscan", "neighbours"])
@pytest.mark.parametrize("count", [1, 3, 5])
def test_too_few_pictures_are_all_trusted_and_the_watch_is_told(by: str, count: int) -> None:
    heard: list[str] = []
    rows = np.random.default_rng(0).random((count, 2))
    assert trusted(rows, Watch(say=heard.append), by=by).all()  # type: ignore[arg-type]
    assert heard == [
        f"The label maps of {count} pictures form no cluster of 5 or more: all of them count as labelled."
    ]


def test_noise_alone_is_all_trusted_and_the_watch_is_told() -> None:
    heard: list[str] = []
    assert trusted(np.random.default_rng(1).random((12, 6)), Watch(say=heard.append), cluster=8).all()
    assert heard


@pytest.mark.parametrize("by", ["hdbscan", "neighbours"])
def test_equal_histograms_are_trusted_and_empty_maps_never(by: str) -> None:
    rows = np.tile([0.25, 0.5], (12, 1))
    assert trusted(rows, by=by).all()  # type: ignore[arg-type]
    rows[3] = 0
    assert trusted(rows, by=by).tolist() == [index != 3 for index in range(12)]  # type: ignore[arg-type]
    assert trusted(0 * rows, by=by).all()  # type: ignore[arg-type]


def test_thousands_of_pictures_are_compared_one_by_one() -> None:
    """All pairs at once took gigabytes."""
    rows = np.random.default_rng(2).random((1500, 8))
    tracemalloc.start()
    trusted(rows, by="neighbours")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * rows.nbytes
