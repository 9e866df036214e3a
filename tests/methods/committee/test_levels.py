"""Levels of scores: where they come from, that they rise without steps, and what they say of rare scores."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from flawscope.methods.committee.levels import TailLevels, joined, joined_maps


def _levels(*columns: Tensor) -> TailLevels:
    levels = TailLevels(len(columns))
    levels.learn(torch.stack(columns, 1))
    return levels


def _at(levels: TailLevels, raw: Tensor) -> Tensor:
    return levels(raw.unsqueeze(1)).squeeze(1)


@pytest.mark.parametrize("draw", ["standard_normal", "standard_exponential"])
def test_they_are_minus_log_of_the_share_of_good_pictures(draw: str) -> None:
    random = np.random.default_rng(3)
    good = torch.from_numpy(getattr(random, draw)(400)).float()
    others = np.sort(getattr(random, draw)(200_000))
    levels = _levels(good)
    for share in (0.5, 0.2, 0.05, 0.01):
        raw = torch.tensor([float(np.quantile(others, 1 - share))])
        assert _at(levels, raw).item() == pytest.approx(-math.log(share), rel=0.15)


@pytest.mark.parametrize("count", [2, 3, 10, 60])
def test_they_rise_without_ties_or_jumps(count: int) -> None:
    good = torch.linspace(0, 1, count).square() + 5
    found = _at(_levels(good), torch.linspace(4.8, 12.0, 20_001))
    steps = found.diff()
    assert steps.min() > 0
    assert steps.max() < 0.02
    assert found.isfinite().all()


@pytest.mark.parametrize("good", [torch.full((5,), 2.5), torch.zeros(2), torch.tensor([7.0])])
def test_scores_that_never_vary_have_levels(good: Tensor) -> None:
    found = _at(_levels(good), good[0] + torch.tensor([-1.0, 0.0, 1.0, 1e6]))
    assert found.isfinite().all()
    assert (found.diff() > 0).all()


def test_slowed_levels_rise_by_the_logarithm_beyond_the_rarest_of_the_good() -> None:
    good = torch.stack([torch.linspace(0, 1, 20)] * 2, 1)
    plain, slowed = TailLevels(2), TailLevels(2, [False, True])
    plain.learn(good)
    slowed.learn(good)
    raw = torch.linspace(-1, 30, 400)[:, None].expand(-1, 2)
    as_they_are, found = plain(raw), slowed(raw)
    torch.testing.assert_close(found[:, 0], as_they_are[:, 0])
    rarest = math.log(20)
    told = [
        level if level <= rarest else rarest + math.log(1 + level - rarest)
        for level in as_they_are[:, 1].tolist()
    ]
    torch.testing.assert_close(found[:, 1], torch.tensor(told))
    assert found.diff(dim=0).min() > 0
    assert slowed.only([1]).slowed == (True,)
    torch.testing.assert_close(slowed.only([1])(raw[:, 1:]), found[:, 1:])


def test_units_and_offsets_do_not_matter() -> None:
    good = torch.from_numpy(np.random.default_rng(0).gamma(3.0, size=30)).float()
    raw = torch.linspace(-1, 20, 50)
    torch.testing.assert_close(
        _at(_levels(good), raw), _at(_levels(8 * good + 100), 8 * raw + 100), atol=1e-3, rtol=1e-3
    )


def test_maps_are_in_the_unit_of_scores_beyond_good_pictures() -> None:
    one, other = torch.linspace(0, 1, 20), torch.linspace(10, 30, 20)
    levels = _levels(one, other)
    peaks = torch.tensor([[3.0, 90.0]])
    maps = torch.stack([torch.full((4, 5), -2.0), torch.full((4, 5), 9.0)]).unsqueeze(0)  # (1, 2, 4, 5)
    maps[0, :, 1, 2] = peaks[0]
    found = levels.linear(maps)
    torch.testing.assert_close(found.flatten(2).amax(2), levels(peaks))
    assert found[0, :, 0, 0].lt(0).all()


def test_the_good_pictures_own_levels() -> None:
    good = torch.rand(7, 2, generator=torch.Generator().manual_seed(0))
    levels = TailLevels(2)
    levels.learn(good)
    torch.testing.assert_close(levels.known(), levels(good))


def test_joins() -> None:
    levels = torch.tensor([[0.5, 2.0], [3.0, 0.25]])
    assert joined(levels, "largest").tolist() == [2.0, 3.0]
    assert joined(levels, "sum").tolist() == [2.5, 3.25]


def test_maps_of_components_count_where_they_tell_something() -> None:
    usual = math.log(2)
    fine = torch.tensor([-6.0, -6.0, 0.0, 0.5, 3.0, 3.0, -6.0])
    parts = torch.tensor([0.5, 4.0, 4.0, usual, 2.0, 5.0, usual])
    maps = torch.stack([parts, fine])[None, :, None]  # (1, 2, 1, 7)
    expected = torch.tensor([-6.0, -6 + 4 - usual, 4 - usual, 0.5, 3.0, 5.0, -6.0])
    torch.testing.assert_close(joined_maps(maps, [True, False])[0, 0], expected)
    torch.testing.assert_close(joined_maps(maps, [False, False]), maps.amax(1))
    torch.testing.assert_close(joined_maps(maps, [True, True]), maps.amax(1))
