"""Cleaned labels."""

from __future__ import annotations

import numpy as np

from flawscope.segmenters.drafting import cleaned, ordered


def test_specks_and_holes_go_and_labels_are_numbered_by_size() -> None:
    labels = np.full((128, 128), 7)
    labels[:, 80:] = 3
    labels[100:, 80:] = 5
    speckled = labels.copy()
    random = np.random.default_rng(0)
    speckled[random.random(labels.shape) < 0.05] = 9
    speckled[20:24, 20:24] = 3  # smaller than 1/500 of the picture
    found = cleaned(speckled)
    assert found.dtype == np.uint8
    expected = np.zeros((128, 128), np.uint8)
    expected[:, 80:] = 1
    expected[100:, 80:] = 2
    assert (found == expected).mean() > 0.99
    assert set(np.unique(found)) == {0, 1, 2}


def test_small_areas_join_the_nearest_and_large_ones_stay() -> None:
    labels = np.zeros((100, 100), int)
    labels[:, 50:] = 1
    labels[40:60, 20:40] = 2  # 4 % of the picture
    found = cleaned(labels)
    assert found[50, 30] == 2
    assert (found == 2).sum() > 0.95 * 400


def test_labels_of_small_areas_only_become_the_largest_of_them() -> None:
    rows, columns = np.mgrid[:40, :40]
    assert cleaned((rows // 20) * 2 + columns // 20).max() == 3  # 400 pixels each stay
    assert cleaned(np.random.default_rng(0).integers(0, 60, (64, 64))).max() < 60
    assert cleaned(np.zeros((8, 8), int)).max() == 0
    assert cleaned(np.array([[4]])).tolist() == [[0]]


def test_ordered_keeps_areas() -> None:
    labels = np.array([[5, 5, 5, 2], [9, 9, 2, 2], [5, 5, 5, 5]])
    np.testing.assert_array_equal(ordered(labels), [[0, 0, 0, 1], [2, 2, 1, 1], [0, 0, 0, 0]])
