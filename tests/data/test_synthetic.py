"""Synthetic defects: where patches lie, how large they are, what is left alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from flawscope.data.ground import foreground, on_plain_ground
from flawscope.data.synthetic.noise import SIDES, Sides, SyntheticDefects
from flawscope.errors import OptionError

ALWAYS = SyntheticDefects(probability=1.0)
ONE = SyntheticDefects(probability=1.0, patches=(1, 1))


def even(height: int = 96, width: int = 128, value: float = 0.5) -> NDArray[np.float32]:
    return np.full((3, height, width), value, np.float32)


def disc(part: float, background: float, *, size: int = 128) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A noisy picture of one disc, and where it is."""
    rows, columns = np.mgrid[:size, :size]
    inside = (rows - 70) ** 2 + (columns - 60) ** 2 < 30**2
    noise = np.random.default_rng(1).normal(0, 0.02, (3, size, size))
    picture = np.where(inside, part, background) + noise
    return np.clip(picture, 0, 1).astype(np.float32), inside


def test_only_the_mask_changes_and_the_input_never() -> None:
    image = even()
    for seed in range(20):
        changed, mask = ALWAYS(image, np.random.default_rng(seed))
        assert mask.any()
        assert (image == 0.5).all()
        assert (changed[:, ~mask] == 0.5).all()
        assert (changed[:, mask] != 0.5).mean() > 0.99
        assert changed.dtype == np.float32
        assert changed.min() >= 0
        assert changed.max() <= 1


def test_a_seed_draws_the_same_again() -> None:
    first, second = (ALWAYS(even(), np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_two_pictures_of_five_receive_defects_and_the_others_are_the_same_object() -> None:
    image, random, made = even(), np.random.default_rng(0), SyntheticDefects()
    hit = 0
    for _ in range(1000):
        changed, mask = made(image, random)
        assert mask.any() == (changed is not image)
        hit += bool(mask.any())
    assert 350 < hit < 450  # binomial(1000, 0.4): standard deviation 15.5


def test_number_and_sides_of_patches() -> None:
    random, image = np.random.default_rng(0), even(200, 320)
    sides = []
    for _ in range(300):
        _, mask = ONE(image, random)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        assert np.ptp(rows) == np.ptp(columns)
        assert mask.sum() == (np.ptp(rows) + 1) ** 2
        sides.append(int(np.ptp(rows)) + 1)
    assert (min(sides), max(sides)) == (5, 20)  # 1/40 and 1/10 of the shorter side, 200
    counts = {cv2.connectedComponents(ALWAYS(image, random)[1].astype(np.uint8))[0] - 1 for _ in range(300)}
    assert counts == {1, 2, 3, 4}


def test_cdos_patches_are_rectangles_of_twice_the_length() -> None:
    random, image = np.random.default_rng(0), even(200, 320)
    made = SyntheticDefects(probability=1.0, patches=(1, 1), sides=SIDES["cdo"])
    masks = [made(image, random)[1] for _ in range(300)]
    heights, widths = (np.array([mask.any(axis=axis).sum() for mask in masks]) for axis in (1, 0))
    assert [mask.sum() for mask in masks] == list(heights * widths)
    assert (heights.min(), heights.max()) == (10, 40)  # 1/20 and 1/5 of 200
    assert (widths.min(), widths.max()) == (16, 64)
    assert abs(np.corrcoef(heights, widths)[0, 1]) < 0.15


@pytest.mark.parametrize("sides", SIDES.values())
def test_no_patch_is_longer_than_the_longest(sides: Sides) -> None:
    random = np.random.default_rng(0)
    for size, smallest in (((200, 320), 1), ((20, 30), 4), ((3, 50), 9)):
        drawn = [sides.draw(size, smallest, random) for _ in range(200)]
        most = sides.longest(size, smallest)
        assert max(rows for rows, _ in drawn) == most[0]
        assert max(columns for _, columns in drawn) == most[1]


def test_patches_reach_every_corner_and_stay_inside() -> None:
    random = np.random.default_rng(0)
    one = SyntheticDefects(probability=1.0, patches=(4, 4), sides=Sides((0.1, 0.1)))
    covered = np.zeros((40, 60), int)
    for _ in range(2000):
        covered += one(even(40, 60), random)[1]
    assert covered.min() > 0
    whole, mask = SyntheticDefects(probability=1.0, sides=Sides((1.0, 1.0)))(even(7, 7), random)
    assert mask.all()
    assert whole.shape == (3, 7, 7)


def test_noise_has_the_stated_mean_and_spread() -> None:
    made = SyntheticDefects(probability=1.0, sides=Sides((1.0, 1.0)), noise_mean=0.5, noise_std=0.1)
    noise, _ = made(even(256, 256), np.random.default_rng(0))
    np.testing.assert_allclose(noise.mean(axis=(1, 2)), 0.5, atol=0.002)
    np.testing.assert_allclose(noise.std(axis=(1, 2)), 0.1, atol=0.002)
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.02


@pytest.mark.parametrize(("part", "background"), [(0.2, 0.8), (0.8, 0.2)])
def test_foreground_is_the_part_dark_or_light(part: float, background: float) -> None:
    picture, inside = disc(part, background)
    found = foreground(picture)
    assert found.dtype == np.bool_
    assert (found & inside).sum() / (found | inside).sum() > 0.97


def test_skipping_the_background_centres_patches_on_the_part() -> None:
    picture, inside = disc(0.2, 0.8)
    made = SyntheticDefects(probability=1.0, patches=(1, 1), skip_background=True)
    near = cv2.dilate(inside.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    cached = foreground(picture)
    for seed in range(50):
        changed, mask = made(picture, np.random.default_rng(seed))
        rows, columns = np.nonzero(mask)
        assert near[int(rows.mean()), int(columns.mean())]
        again, _ = ONE(picture, np.random.default_rng(seed), where=cached)
        np.testing.assert_array_equal(changed, again)


def test_where_wins_over_the_estimate_and_nowhere_means_anywhere() -> None:
    where = np.zeros((96, 128), np.bool_)
    where[41, 22] = True
    made = SyntheticDefects(probability=1.0, sides=Sides((9 / 96, 9 / 96)), skip_background=True)
    for seed in range(20):
        _, mask = made(even(), np.random.default_rng(seed), where=where)
        assert mask.sum() == mask[37:46, 18:27].sum() == 81
    _, mask = made(even(), np.random.default_rng(0), where=np.zeros_like(where))
    assert mask.any()


def degenerate() -> dict[str, NDArray[np.float32]]:
    noise = np.random.default_rng(0).normal(0.5, 0.1, (3, 96, 96)).clip(0, 1).astype(np.float32)
    striped = np.zeros((3, 96, 96), np.float32)
    striped[:, :, ::32] = striped[:, :, 1::32] = 1.0
    halves = np.zeros((3, 96, 96), np.float32)
    halves[:, :48] = 1.0
    rows, columns = np.mgrid[:96, :96]
    from_border = np.minimum.reduce([rows, columns, 95 - rows, 95 - columns])
    share = (48 - from_border) / 49.0
    glow = np.broadcast_to(0.1 - 0.15 * np.log(share**2), (3, 96, 96)).clip(0, 1).astype(np.float32)
    speck = np.full((3, 96, 96), 0.2, np.float32)
    speck[:, 50:54, 50:54] = 0.9
    return {
        "even": even(),
        "black": even(value=0.0),
        "white": even(value=1.0),
        "one pixel": even(1, 1),
        "noise": noise,
        "a glow that fades outward": glow,
        "two halves": halves,
        "stripes": striped,
        "a speck": speck,
    }


@pytest.mark.parametrize("name", degenerate())
def test_without_a_clear_part_patches_lie_anywhere(name: str) -> None:
    picture = degenerate()[name]
    assert foreground(picture).all()
    _, mask = SyntheticDefects(probability=1.0, skip_background=True)(picture, np.random.default_rng(0))
    assert mask.any()


def test_plain_ground_is_told_by_nine_of_ten_pictures() -> None:
    on_ground, texture = disc(0.2, 0.8)[0], degenerate()["noise"]
    assert on_plain_ground([on_ground] * 9 + [texture])
    assert not on_plain_ground([on_ground] * 8 + [texture] * 2)
    assert not on_plain_ground([])


@pytest.mark.parametrize("shares", [(0.0, 0.1), (0.2, 0.1), (0.5, 1.5)])
def test_sides_out_of_range_are_refused(shares: tuple[float, float]) -> None:
    with pytest.raises(OptionError, match="expected"):
        Sides(shares)


@pytest.mark.parametrize(
    "wrong",
    [
        {"probability": 1.1},
        {"probability": float("nan")},
        {"patches": (0, 4)},
        {"patches": (3, 2)},
        {"noise_mean": -0.1},
        {"noise_std": 0.0},
    ],
)
def test_values_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(OptionError, match="expected"):
        SyntheticDefects(**wrong)  # type: ignore[arg-type]
