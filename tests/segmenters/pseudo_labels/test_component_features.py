"""Crops of components and what is read from them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from flawscope.errors import OptionError
from flawscope.nn.run import Run
from flawscope.segmenters.pseudo_labels.component_features import (
    ComponentFeatures,
    crop,
    ground_colour,
    size_and_colour,
    weighted,
)
from flawscope.segmenters.pseudo_labels.options import FeatureOptions

BLACK = np.zeros(3, np.uint8)


def features(**options: Any) -> ComponentFeatures:
    return ComponentFeatures(FeatureOptions(weights="random", **options), Run())


def drawn(size: int = 96, angle: float = 30, length: int = 40, width: int = 16) -> NDArray[np.bool_]:
    """A turned rectangle in the middle of a mask (size, size)."""
    mask = np.zeros((size, size), np.uint8)
    corners = cv2.boxPoints(((size / 2, size / 2), (length, width), angle))
    return cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], 1).astype(np.bool_)


def coloured(size: int = 96) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(0, 256, (size // 8, size // 8, 3), np.uint8)
    return np.asarray(cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC))


@pytest.mark.parametrize("length", [8, 30, 90, 300])
def test_a_crop_holds_the_component_alone_with_a_diagonal_of_64_pixels(length: int) -> None:
    mask = drawn(400, 25, length, length // 2)
    picture = np.full((400, 400, 3), 200, np.uint8)
    found, centre = crop(picture, mask, BLACK)
    shown = found.max(2) > 100
    assert found.shape == (64, 64, 3)
    (x, y), (across, down), _ = cv2.minAreaRect(cv2.findNonZero(shown.astype(np.uint8)))
    assert np.hypot(across + 1, down + 1) == pytest.approx(64, abs=4)
    assert (x + 0.5, y + 0.5) == pytest.approx(centre, abs=1)
    assert centre == pytest.approx((32, 32), abs=0.51)
    assert shown.mean() == pytest.approx(
        mask.sum() * (64 / np.hypot(length + 1, length / 2 + 1)) ** 2 / 64**2, rel=0.2
    )
    assert set(np.unique(crop(picture, mask, np.full(3, 7, np.uint8))[0][~shown & (found.max(2) == 0)])) == {
        7
    }


@pytest.mark.parametrize(
    "box", [(slice(0, 1), slice(0, 1)), (slice(0, 96), slice(0, 96)), (slice(90, 96), slice(0, 96))]
)
def test_one_pixel_the_whole_picture_and_borders_have_crops_and_features(box: tuple[slice, slice]) -> None:
    mask = np.zeros((96, 96), np.bool_)
    mask[box] = True
    found = features(rotations=1)(coloured(), mask[None])
    assert found.shape == (1, 324)
    assert np.isfinite(found).all()


def test_turned_components_have_the_same_features() -> None:
    picture, mask = coloured(), drawn()
    other = drawn(angle=120, length=30, width=28)
    describe = features(rotations=4)
    straight, different = describe(picture, np.stack([mask, other]))
    turned = describe(np.rot90(picture).copy(), np.rot90(mask)[None].copy())[0]
    gap = np.linalg.norm(straight[:320] - different[:320])
    assert np.linalg.norm(straight[:320] - turned[:320]) < 0.05 * gap
    alone = features(rotations=1)
    apart = alone(picture, mask[None])[0] - alone(np.rot90(picture).copy(), np.rot90(mask)[None].copy())[0]
    assert np.linalg.norm(apart[:320]) > np.linalg.norm(straight[:320] - turned[:320])


def test_what_lies_outside_does_not_matter_unless_it_is_the_ground() -> None:
    picture, mask = coloured(), drawn()
    brighter = np.where(mask[..., None], picture, 250).astype(np.uint8)
    black, ground = features(rotations=2), features(rotations=2, outside="ground")
    np.testing.assert_array_equal(black(picture, mask[None]), black(brighter, mask[None]))
    assert (black(brighter, mask[None])[0, :320] != ground(brighter, mask[None])[0, :320]).any()
    np.testing.assert_array_equal(ground_colour(brighter, mask[None]), [250, 250, 250])
    np.testing.assert_array_equal(ground_colour(brighter, (mask | True)[None]), brighter.mean((0, 1)).round())


def test_the_features_of_a_component_do_not_depend_on_the_others() -> None:
    picture = coloured()
    masks = np.stack([drawn(angle=angle) for angle in range(0, 180, 6)])  # 30 of 3 turns: more than a batch
    describe = features(rotations=3)
    together = describe(picture, masks)
    np.testing.assert_allclose(together[7:8], describe(picture, masks[7:8]), atol=1e-4)


def test_size_and_colour() -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:4] = 255
    masks = np.zeros((2, 8, 8), np.bool_)
    masks[0, :4], masks[1, 4:6] = True, True
    found = size_and_colour(picture, masks)
    np.testing.assert_allclose(found, [[-1, 10, 0, 0], [-2, 0, 0, 0]], atol=1e-3)


def test_weights_count_in_spreads_of_the_networks_features() -> None:
    rows = np.array([[3, 0, 1, 5, 0, 0], [-3, 0, 2, 5, 0, 1]], np.float32)  # spread 3
    np.testing.assert_allclose(weighted(rows, FeatureOptions()), rows[:, :2])
    np.testing.assert_allclose(weighted(rows, FeatureOptions(size=0.5)), [[3, 0, 1.5], [-3, 0, 3]])
    np.testing.assert_allclose(weighted(rows, FeatureOptions(colour=1))[:, 2:], 3 * rows[:, 3:])


def test_an_unknown_layer_is_refused() -> None:
    with pytest.raises(OptionError, match="layer 'block' of tf_efficientnet_lite0"):
        features(layer="block")
    assert features(layer="blocks.4", rotations=1)(coloured(), drawn()[None]).shape == (1, 116)
