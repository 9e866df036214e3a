"""Hues: a spot that shows the ground through a torn bag is told, although the ground is seen beside it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from flawscope.methods.csad.hues import NAMES, Hues, HuesOptions
from flawscope.methods.registry import create

SIZE = (96, 160)
GROUND = (0.6, 0.4, 0.25)


def scenes(seeds: range, *, torn: bool = False, stained: bool = False) -> Tensor:
    """(n, 3, H, W) a whitish bag on brown ground, lit by light of any strength and colour, with glints."""
    found = []
    for seed in seeds:
        random = np.random.default_rng(seed)
        film = np.zeros(SIZE)
        film[12:84, 20:140] = random.uniform(0.45, 0.55)
        for _ in range(4):
            top, left = random.integers(16, 70), random.integers(24, 110)
            film[top : top + 6, left : left + 20] = 0.8
        if torn:
            film[40:52, 70:84] = 0
        picture = np.array(GROUND) * (1 - film[..., None]) + 0.9 * film[..., None]
        if stained:
            picture[40:50, 90:100] *= (0.5, 0.5, 0.8)
        picture = picture * random.uniform(0.6, 1.0) * random.uniform(0.97, 1.03, 3)
        found.append(picture + random.normal(0, 0.01, picture.shape))
    return torch.from_numpy(np.stack(found).astype(np.float32)).permute(0, 3, 1, 2).clamp(0, 1)


def taught(good: Tensor, held_out: Tensor, **options: float) -> Hues:
    branch = Hues(SIZE, HuesOptions(**options))
    branch.learn(branch.of(good).half(), branch.of(held_out).half())
    return branch.eval()


@pytest.fixture(scope="module")
def branch() -> Hues:
    return taught(scenes(range(60)), scenes(range(100, 130)))


def test_ground_that_shows_through_a_tear_is_told_where_it_is(branch: Hues) -> None:
    good, torn = branch(scenes(range(200, 220))), branch(scenes(range(300, 304), torn=True))
    assert torn.maps.amax((1, 2)).min() > good.maps.amax((1, 2)).max() + 3
    for seen in torn.maps:
        row, column = divmod(int(seen.argmax()), SIZE[1])
        assert 40 <= row < 52
        assert 70 <= column < 84
    named = dict(zip(NAMES, (torn.told[0] - torn.high[0]).tolist(), strict=True))
    assert min(named["red"], named["yellow"]) > 1 > max(named["green"], named["blue"])
    assert set(torn.tinted[0, 42:50, 72:82].unique().tolist()) <= {1, 2}
    assert not torn.tinted[0, 60:].any()
    assert (torn.maps[:, 60:] == 0).float().mean() > 0.9, "maps are summed: what is usual must add nothing"


def test_a_bluish_stain_is_bluer(branch: Hues) -> None:
    told = branch(scenes(range(300, 301), stained=True)).told[0]
    assert NAMES[int(told.argmax())] == "blue"


def test_the_strength_of_the_light_is_no_hue(branch: Hues) -> None:
    (picture,) = scenes(range(200, 201))
    dark = branch(torch.stack([picture, picture * 0.6]))
    assert dark.told[1].max() < dark.high[0].max() + 1
    hues = branch.of(torch.stack([picture, picture * 0.9])).flatten(1)
    assert torch.corrcoef(hues)[0, 1] > 0.99


def test_hues_are_ratios_less_the_mean_of_the_picture() -> None:
    picture = torch.zeros(1, 3, 8, 8)
    picture[:, :, :, :4] = torch.tensor([0.5, 0.25, 0.25]).view(1, 3, 1, 1)
    picture[:, :, :, 4:] = torch.tensor([0.25, 0.25, 0.5]).view(1, 3, 1, 1)
    found = Hues((8, 8), HuesOptions(spot=0.01)).of(picture)
    far = np.log(0.52 / 0.27) / 2
    np.testing.assert_allclose(found[0, :, 0, 0], [far, far], rtol=1e-5)
    np.testing.assert_allclose(found[0, :, 0, -1], [-far, -far], rtol=1e-5)


def test_limits_reach_no_farther_than_told() -> None:
    good = torch.full((3, 3, 20, 20), 0.4)
    good[:, 0, 10, 10] = 0.8
    branch = Hues((20, 20), HuesOptions(spot=0.01, reach=0.1))
    branch.learn(branch.of(good), branch.of(good))
    raised = branch.limit[0] > branch.limit[0, 0, 0]
    expected = torch.zeros(20, 20, dtype=torch.bool)
    expected[8:13, 8:13] = True
    assert torch.equal(raised, expected)


def test_taught_pictures_are_good_from_then_on_as_if_learnt_together() -> None:
    first, more, held_out = scenes(range(30)), scenes(range(40, 44), torn=True), scenes(range(100, 125))
    branch, together = taught(first, held_out), taught(torch.cat([first, more]), held_out)
    before = branch(more).maps.amax((1, 2))
    branch.teach(branch.of(more).half())
    for name in ("limit", "gain", "mean", "squares", "highest"):
        torch.testing.assert_close(branch.get_buffer(name), together.get_buffer(name), rtol=1e-3, atol=1e-4)
    assert (branch(more).maps.amax((1, 2)) < before - 2).all()


def test_few_held_out_pictures_are_joined_by_those_learnt_from_each_against_the_others() -> None:
    good = scenes(range(8))
    branch = taught(good, scenes(range(100, 102)), least=0.0)
    rest = [taught(torch.cat([good[:i], good[i + 1 :]]), good) for i in range(2)]
    sides = branch._sides(branch.of(good[:2]).half().float())
    peaks = torch.stack([((sides[i] - rest[i].limit) * branch.gain).amax((1, 2)) for i in range(2)])
    found = torch.cat(branch._left_out(branch.of(good).half()))
    torch.testing.assert_close(found[:2], peaks, rtol=1e-3, atol=1e-3)
    assert torch.isfinite(branch.levels.gain).all()


def test_grey_and_black_pictures_have_no_hue() -> None:
    grey = torch.rand(6, 1, 40, 40, generator=torch.Generator().manual_seed(0)).expand(-1, 3, -1, -1)
    branch = Hues((40, 40), HuesOptions())
    branch.learn(branch.of(grey), branch.of(grey[:2]))
    judged = branch(torch.cat([grey, torch.zeros(1, 3, 40, 40)]))
    assert judged.maps.std() < 1e-3
    assert not judged.tinted.any()


def test_hues_alone_need_no_components() -> None:
    branches = dict.fromkeys(("structure", "histogram", "counts", "places", "shapes", "colours"))
    detector = create("csad", {"size": (64, 64), "weights": "random", "hues": {}, **branches})
    assert detector.options.branches == ("hues",)
