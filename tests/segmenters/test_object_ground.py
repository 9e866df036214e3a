"""Object and ground without labels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from flawscope.data.pictures import Pictures
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.runtime.images import Frame
from flawscope.segmenters.object_ground import ObjectGround, ObjectGroundOptions, _otsu, _trusted
from flawscope.testing.rings import SIDE, good_rings

Save = Callable[..., Pictures]
FRAME = Frame(SIDE, SIDE)


def labels_of(segmenter: ObjectGround, given: Pictures) -> NDArray[np.int64]:
    with torch.inference_mode():
        return segmenter(torch.from_numpy(np.stack(list(given)))).numpy()


def test_it_finds_a_ring_on_plain_ground(saved: Save) -> None:
    rings = good_rings(8, 0)
    given = saved(rings, FRAME)
    said: list[str] = []
    segmenter = ObjectGround(ObjectGroundOptions(), FRAME).fit(given, Run(), Watch(say=said.append))
    truth = np.stack([ring.max(2) < 120 for ring in rings])
    found = labels_of(segmenter, given) == 1
    assert (found & truth).sum() / (found | truth).sum() > 0.9
    assert not said
    assert segmenter.shares[1] == pytest.approx(truth.mean(), rel=0.1)


def test_colour_tells_where_brightness_does_not(saved: Save) -> None:
    random = np.random.default_rng(0)
    arrays = []
    for _ in range(4):
        picture = random.normal((150, 60, 100), 3, (SIDE, SIDE, 3))
        picture[30:70, 20:60] = random.normal((60, 107, 100), 3, (40, 40, 3))  # of the same luminance
        arrays.append(picture.clip(0, 255).astype(np.uint8))
    given = saved(arrays, FRAME)
    found = labels_of(ObjectGround(ObjectGroundOptions(), FRAME).fit(given, Run()), given)
    truth = np.zeros((SIDE, SIDE), np.int64)
    truth[30:70, 20:60] = 1
    assert (found == truth).mean() > 0.98


def test_an_object_that_touches_the_border_is_still_told_apart(saved: Save) -> None:
    picture = np.full((SIDE, SIDE, 3), 200, np.uint8)
    picture[:, 44:50] = 40  # a rod from border to border
    given = saved([picture] * 3, FRAME)
    found = labels_of(ObjectGround(ObjectGroundOptions(), FRAME).fit(given, Run()), given)
    assert (found[0] == (picture[..., 0] == 40)).mean() > 0.95


def degenerate() -> dict[str, NDArray[np.uint8]]:
    random = np.random.default_rng(0)
    halves = np.full((SIDE, SIDE, 3), 30, np.uint8)
    halves[:, SIDE // 2 :] = 220
    speck = np.full((SIDE, SIDE, 3), 100, np.uint8)
    speck[40:46, 40:46] = 250
    return {
        "even": np.full((SIDE, SIDE, 3), 128, np.uint8),
        "black": np.zeros((SIDE, SIDE, 3), np.uint8),
        "noise": random.normal(128, 25, (SIDE, SIDE, 3)).clip(0, 255).astype(np.uint8),
        "halves": halves,
        "speck": speck,
    }


@pytest.mark.parametrize("name", degenerate())
def test_without_a_ground_all_is_object_and_a_remark_says_so(name: str, saved: Save) -> None:
    given = saved([degenerate()[name]] * 2, FRAME)
    said: list[str] = []
    segmenter = ObjectGround(ObjectGroundOptions(), FRAME).fit(given, Run(), Watch(say=said.append))
    assert (labels_of(segmenter, given) == 1).all()
    assert segmenter.count == 2
    assert segmenter.absent == (0,)
    (remark,) = said
    assert "all counts as object" in remark


def test_otsu_parts_two_groups_by_hand() -> None:
    histogram = torch.tensor([0.0, 4.0, 0.0, 0.0, 4.0, 0.0])
    cut, separate = _otsu(histogram)
    assert 2 <= cut <= 4  # any of them parts the two
    assert separate == pytest.approx(1.0)
    assert _otsu(torch.tensor([0.0, 8.0, 0.0])) == (pytest.approx(1, abs=2), 0.0)
    # Mean 2, variance (4 + 0 + 2 * 1) / 4 = 1.5. Cut after 0: means 0 and 8/3, 1/4 * 3/4 * (8/3)^2 = 4/3;
    # cut after 2: means 1 and 3, 1/2 * 1/2 * 2^2 = 1.
    cut, separate = _otsu(torch.tensor([1.0, 0.0, 1.0, 2.0]))
    assert 1 <= cut <= 2
    assert separate == pytest.approx(4 / 3 / 1.5)


def test_a_fifth_of_other_colours_does_not_move_the_ground() -> None:
    random = torch.Generator().manual_seed(0)
    ground = 0.5 + 0.02 * torch.randn(800, 3, generator=random, dtype=torch.float64)
    part = 0.9 + 0.02 * torch.randn(200, 3, generator=random, dtype=torch.float64)
    mean, covariance = _trusted(torch.cat([ground, part]))
    torch.testing.assert_close(mean, torch.full((3,), 0.5, dtype=torch.float64), atol=0.005, rtol=0)
    assert covariance.diagonal().sqrt().max() < 0.022
