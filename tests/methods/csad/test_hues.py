"""Hues: a spot that shows the ground through a torn bag is told, although the ground is seen beside it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from flawscope.methods.csad.compared import Components, both_ways
from flawscope.methods.csad.dividing import without_ignored_light
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


def test_hues_are_ratios_less_the_middle_of_the_picture() -> None:
    picture = torch.zeros(1, 3, 8, 8)
    picture[:, :, :, :4] = torch.tensor([0.5, 0.25, 0.25]).view(1, 3, 1, 1)
    picture[:, :, :, 4:] = torch.tensor([0.25, 0.25, 0.5]).view(1, 3, 1, 1)
    found = Hues((8, 8), HuesOptions(spot=0.01)).of(picture)
    far = np.log(0.52 / 0.27)  # of four places two have more, and so has one of five quantiles, or four
    np.testing.assert_allclose(found[0, :, 0, 0], [0.8 * far, 0.8 * far, 1], rtol=1e-5)
    np.testing.assert_allclose(found[0, :, 0, -1], [-0.2 * far, -0.2 * far, 1], rtol=1e-5)


def test_the_mean_of_a_spot_counts_and_the_middle_of_the_picture_is_taken_off() -> None:
    picture = torch.full((1, 3, 160, 160), 0.4)
    picture[:, 0, 80, 80] = 0.8
    picture[:, 2, :, :40] = 0.2  # of a quarter of the picture: no other place becomes bluer
    found = Hues((160, 160), HuesOptions(spot=0.02)).of(picture)[0]
    one = np.log(0.82 / 0.42) / 9
    np.testing.assert_allclose(found[0, 79:82, 79:82], np.full((3, 3), one), rtol=1e-5)
    assert found[0, :, 90:].abs().max() < 1e-6
    assert found[1, :, 90:].abs().max() < 1e-6


def test_maps_are_levels_of_peaks_of_held_out_pictures_from_one_below_their_mean(branch: Hues) -> None:
    held_out = branch._sides(branch.of(scenes(range(100, 130))).half().float())
    peaks = ((held_out - branch.limit) * branch.gain).amax((2, 3))  # (m, 4)
    torn = scenes(range(300, 301), torn=True)
    beyond = (branch._sides(branch.of(torn)) - branch.limit) * branch.gain
    spread = (peaks.var(0, correction=0) + 0.3**2).sqrt()
    levels = (beyond - peaks.mean(0).view(-1, 1, 1)) / spread.view(-1, 1, 1)
    expected = (levels.amax((1, 2, 3)) + 1).item()
    assert branch(torn).maps.max().item() == pytest.approx(expected, rel=0.05)  # between spots it is less


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
    before, level = branch(more).maps.amax((1, 2)), branch.levels.zero.clone()
    branch.teach(branch.of(more[:3]).half())
    assert torch.equal(branch.levels.zero, level)
    branch.teach(branch.of(more[3:]).half(), branch.of(held_out).half())
    assert (branch(more).maps.amax((1, 2)) < before - 2).all()
    for name, value in together.state_dict().items():
        torch.testing.assert_close(branch.state_dict()[name], value, rtol=1e-3, atol=1e-3)


def test_few_held_out_pictures_are_joined_by_those_learnt_from_each_against_the_others() -> None:
    good, held_out = scenes(range(8)), scenes(range(100, 102))
    branch = taught(good, held_out)
    peaks = []
    for index in range(len(good)):
        rest = taught(torch.cat([good[:index], good[index + 1 :]]), held_out)
        (sides,) = branch._sides(branch.of(good[index : index + 1]).half().float())
        peaks.append(((sides - rest.limit) * branch.gain).amax((1, 2)))
    sides = branch._sides(branch.of(held_out).half().float())
    peaks += [*((sides - branch.limit) * branch.gain).amax((2, 3))]
    torch.testing.assert_close(branch.levels.zero, torch.stack(peaks).mean(0), rtol=1e-3, atol=1e-3)


def test_one_picture_that_is_taught_does_not_blind_a_hue() -> None:
    good, held_out = scenes(range(40)), scenes(range(100, 104))
    branch, new = taught(good, held_out), scenes(range(50, 51))
    new[:, 1, 60:68, 90:98] *= 1.2  # a green mark elsewhere, good from now on
    assert branch(new).maps.max() > 4
    branch.teach(branch.of(new).half(), branch.of(held_out).half())
    assert branch(new).maps.max() < 3
    judged = branch(scenes(range(300, 304), stained=True))
    assert judged.maps.amax((1, 2)).min() > 4
    assert (judged.told[:, 3] > judged.high[:, 3] + 2).all()


def test_pictures_divided_in_two_ways_have_their_hues_once() -> None:
    one, other = (Components(*(torch.full((2, 1), value) for _ in range(6))) for value in (1.0, 2.0))
    both = both_ways(one, other)
    assert both.hues.tolist() == [[1.0]] * 2
    assert both.places.tolist() == [[1.0]] * 2 + [[2.0]] * 2


def test_light_that_is_nearly_white_is_not_judged(branch: Hues) -> None:
    picture = scenes(range(200, 201))
    glint, stain = picture.clone(), picture.clone()
    glint[:, :, 30:40, 2:12] = torch.tensor([1.0, 0.98, 0.97]).view(3, 1, 1)  # on the ground, far less red
    stain[:, :, 30:40, 2:12] = torch.tensor([0.8, 0.784, 0.776]).view(3, 1, 1)
    before, bright, dull = (branch(one).maps.max() for one in (picture, glint, stain))
    assert bright < before + 0.5
    assert dull > before + 5


def test_what_was_always_too_bright_is_not_judged_where_it_is_dimmer() -> None:
    def warm(exposures: Tensor) -> Tensor:
        picture = torch.tensor(GROUND).view(1, 3, 1, 1).expand(1, 3, 40, 40).clone()
        picture[:, :, 14:26, 14:26] = torch.tensor([1.15, 1.1, 1.04]).view(1, 3, 1, 1)
        noise = 0.01 * torch.randn(len(exposures), 3, 40, 40, generator=torch.Generator().manual_seed(1))
        return (picture * exposures.view(-1, 1, 1, 1) + noise).clamp(0, 1)

    branch = Hues((40, 40), HuesOptions())
    branch.learn(
        branch.of(warm(torch.linspace(0.97, 1.05, 40))), branch.of(warm(torch.linspace(0.97, 1.05, 25)))
    )
    assert branch(warm(torch.tensor([1.0, 0.9, 0.85, 0.8]))).maps.max() < 5  # a blue spot would have 60


@pytest.mark.parametrize("light", [0.95, 1.0])
def test_pictures_that_are_too_bright_throughout_tell_nothing(light: float) -> None:
    grey = light - 0.02 * torch.rand(20, 1, 40, 40, generator=torch.Generator().manual_seed(0))
    branch = Hues((40, 40), HuesOptions())
    branch.learn(branch.of(grey[:10].expand(-1, 3, -1, -1)), branch.of(grey[10:].expand(-1, 3, -1, -1)))
    judged = branch(torch.cat([grey, 0.6 * grey]).expand(-1, 3, -1, -1))
    assert judged.maps.max() < 2
    assert not judged.tinted.any()
    assert torch.isfinite(judged.told).all()


def test_places_at_the_border_are_held_against_as_much_as_others() -> None:
    good = torch.full((2, 3, 20, 20), 0.4)
    good[:, 0, 0, 4] = 0.8
    branch = Hues((20, 20), HuesOptions(spot=0.01, reach=0.1))
    branch.learn(branch.of(good), branch.of(good))
    raised = (branch.limit[0] > branch.limit[0].min()).nonzero()
    assert raised.amin(0).tolist() == [0, 0]  # where windows are of the first five places
    assert raised.amax(0).tolist() == [2, 6]


def test_grey_and_black_pictures_have_no_hue() -> None:
    grey = 0.8 * torch.rand(6, 1, 40, 40, generator=torch.Generator().manual_seed(0)).expand(-1, 3, -1, -1)
    branch = Hues((40, 40), HuesOptions())
    branch.learn(branch.of(grey), branch.of(grey[:2]))
    judged = branch(torch.cat([grey, torch.zeros(1, 3, 40, 40)]))
    assert judged.maps.std() < 1e-3
    assert not judged.tinted.any()


def test_hues_alone_need_no_components() -> None:
    branches = dict.fromkeys(("structure", "histogram", "counts", "places", "shapes", "colours"))
    own = {"size": (64, 64), "weights": "random", "segments": {"kind": "one"}, "hues": {}}
    assert create("csad", {**own, **branches}).options.branches == ("hues",)


def test_ignored_components_are_white_and_so_without_a_hue() -> None:
    labels = torch.zeros(1, 4, 4, dtype=torch.int64)
    labels[:, :, 2:] = 3
    pixels = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    found = without_ignored_light(SimpleNamespace(ignored=(3,)), labels, pixels)
    assert torch.equal(found[..., :2], pixels[..., :2])
    assert (found[..., 2:] == 1).all()
    assert without_ignored_light(SimpleNamespace(ignored=()), labels, pixels) is pixels
