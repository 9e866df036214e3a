"""Synthetic defects on segments change what they say, repeatably, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from flawscope.data.synthetic.segment_defects import segment_defect

SIDE = 64


def _picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((3, SIDE, SIDE), np.float32)


def _halves() -> np.ndarray:
    labels = np.zeros((SIDE, SIDE), np.int64)
    labels[:, SIDE // 2 :] = 3
    return labels


@pytest.mark.parametrize("seed", range(30))
def test_a_defect_changes_the_picture_within_its_mask_alone(seed: int) -> None:
    image = _picture()
    before = image.copy()
    changed, mask = segment_defect(image, _halves(), np.random.default_rng(seed))
    assert np.array_equal(image, before)
    assert changed.dtype == np.float32
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert mask.any()
    assert not np.array_equal(changed, image)
    assert np.array_equal(changed[:, ~mask], image[:, ~mask])


def test_the_same_seed_gives_the_same_defect() -> None:
    first = segment_defect(_picture(), _halves(), np.random.default_rng(5))
    again = segment_defect(_picture(), _halves(), np.random.default_rng(5))
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])


def test_blurs_rectangles_whole_and_partial_segments_all_come() -> None:
    seen = set()
    for seed in range(200):
        changed, mask = segment_defect(_picture(), _halves(), np.random.default_rng(seed))
        inside = changed[:, mask]
        one_grey = bool(np.ptp(inside) == 0)
        whole = int(mask.sum()) == SIDE * SIDE // 2
        seen.add(("rectangle" if one_grey else "blur", whole))
    assert {("rectangle", False), ("blur", True), ("blur", False)} <= seen


def test_an_even_picture_gets_a_rectangle_for_a_blur_would_not_show() -> None:
    image = np.full((3, SIDE, SIDE), 0.5, np.float32)
    for seed in range(20):
        changed, mask = segment_defect(image, _halves(), np.random.default_rng(seed))
        assert not np.array_equal(changed, image)
        assert np.ptp(changed[:, mask]) == 0


def test_tiny_pictures_and_tiny_segments_get_defects_too() -> None:
    labels = np.zeros((4, 4), np.int64)
    labels[0, 0] = 1
    changed, mask = segment_defect(np.zeros((3, 4, 4), np.float32), labels, np.random.default_rng(1))
    assert changed.shape == (3, 4, 4)
    assert mask.any()
