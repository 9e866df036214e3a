"""Maps proposed from aligned pictures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score

from flawscope.data.pictures import Pictures
from flawscope.errors import DataError
from flawscope.nn.run import Run
from flawscope.runtime.images import Frame
from flawscope.segmenters.drafting import (
    draft_by_features,
    draft_by_masks,
    exclusive,
    guided,
    mean_picture,
)

Save = Callable[..., Pictures]
FRAME = Frame(96, 128)


def parts() -> NDArray[np.int64]:
    """Ground, a plate on it, and a strip across the plate's lower half."""
    labels = np.zeros((96, 128), np.int64)
    labels[12:84, 16:112] = 1
    labels[52:76, 24:104] = 2
    return labels


def products(count: int) -> list[NDArray[np.uint8]]:
    """A plain ground, a striped plate, a chequered strip: other noise and light in each picture."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:96, :128]
    striped = 150 + 30 * np.sin(columns / 1.5)
    chequered = np.where((rows // 4 + columns // 4) % 2, 40.0, 210.0)
    drawn = np.choose(parts(), [np.full((96, 128), 90.0), striped, chequered])
    pictures = []
    for _ in range(count):
        noisy = drawn * random.uniform(0.9, 1.1) + random.normal(0, 5, drawn.shape)
        pictures.append(np.repeat(noisy.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2))
    return pictures


@pytest.mark.parametrize("count", [3, None])
def test_a_draft_finds_the_parts_of_an_aligned_product(saved: Save, count: int | None) -> None:
    given = saved(products(4), FRAME)
    guide = mean_picture(given, Run())
    np.testing.assert_allclose(guide, np.mean(list(given), axis=0), atol=1e-5)
    labels = draft_by_features(given, guide, Run(seed=1), count=count)
    assert labels.shape == (96, 128)
    assert labels.dtype == np.uint8
    shares = np.bincount(labels.ravel())
    assert (np.diff(shares) <= 0).all()
    assert adjusted_rand_score(parts().ravel(), labels.ravel()) > (0.9 if count else 0.7)
    np.testing.assert_array_equal(labels, draft_by_features(given, guide, Run(seed=1), count=count))


def test_the_guided_filter_follows_edges_and_smooths_elsewhere() -> None:
    random = np.random.default_rng(0)
    guide = np.zeros((96, 96), np.float32)
    guide[:, 40:] = 1.0
    step = np.zeros((96, 96), np.float32)
    step[:, 40:] = 5.0
    noisy = step + random.normal(0, 1, step.shape).astype(np.float32)
    drawn = guided(noisy, guide)
    assert np.abs(drawn - step).mean() < 0.35 * np.abs(noisy - step).mean()
    assert (drawn[:, 41] - drawn[:, 38]).mean() == pytest.approx(5, abs=0.3)
    np.testing.assert_allclose(guided(np.full((64, 64), 3.0, np.float32), guide[:64, :64]), 3.0, atol=1e-4)


def test_values_without_edges_in_the_guide_are_averaged() -> None:
    values = np.arange(64, dtype=np.float32)[None].repeat(64, 0)
    flat = guided(values, np.full((64, 64), 0.5, np.float32))
    np.testing.assert_allclose(flat[:, 8:-8], values[:, 8:-8], atol=1e-3)  # means of a ramp are the ramp


def test_masks_become_exclusive_smaller_upon_larger() -> None:
    masks = np.zeros((3, 6, 6), np.bool_)
    masks[0, 2:4, 2:4] = True  # in the middle of the next
    masks[1, 1:5, 1:5] = True
    masks[2, 5, :2] = True
    labels = exclusive(masks, 8)
    expected = np.zeros((6, 6), int)
    expected[1:5, 1:5], expected[2:4, 2:4], expected[5, :2] = 1, 2, 3
    np.testing.assert_array_equal(labels, expected)
    fewer = exclusive(masks, 3)
    expected[5, :2] = 0
    np.testing.assert_array_equal(fewer, expected)
    assert exclusive(np.ones((2, 4, 4), np.bool_), 5).tolist() == np.zeros((4, 4)).tolist()
    with pytest.raises(DataError, match="Draft by features"):
        draft_by_masks(masks[:0])
