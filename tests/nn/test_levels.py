"""Levels of signals against values worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from flawscope.nn.moments import Levels, Moments

TENTHS = torch.arange(11.0).view(1, 1, 11)  # its quantile q is 10 q


@pytest.mark.parametrize(
    ("settings", "zero", "one"),
    [
        ({"mode": "quantiles", "between": (0.2, 0.7), "top": 0.1}, 2.0, 2.0 + 10 * 5.0),
        ({"mode": "quantiles"}, 0.0, 10.0),  # minimum and maximum
        ({"mode": "moments"}, 5.0, 5.0 + 10**0.5),
        ({"mode": "moments", "between": (0.2, 0.8)}, 5.0, 5.0 + 2.0),  # of 2 to 8
    ],
)
def test_what_becomes_0_and_what_1(settings: dict[str, Any], zero: float, one: float) -> None:
    levels = Levels(2, **settings)
    levels.learn([TENTHS, 100 + 3 * TENTHS.view(11)])
    signals = torch.tensor([[zero, 100 + 3 * zero], [one, 100 + 3 * one]])  # (2, K)
    expected = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    torch.testing.assert_close(levels(signals), expected, atol=1e-5, rtol=0)
    maps = signals.view(2, 2, 1, 1).expand(2, 2, 3, 5)
    torch.testing.assert_close(levels(maps), expected.view(2, 2, 1, 1).expand(maps.shape), atol=1e-5, rtol=0)


def test_an_outlier_moves_trimmed_levels_little() -> None:
    plain, trimmed = Levels(1, "moments"), Levels(1, "moments", between=(0.2, 0.8))
    values = torch.cat([TENTHS.flatten(), torch.tensor([1e6])])
    for levels in (plain, trimmed):
        levels.learn([values])
    assert plain.zero.item() > 1e4
    assert trimmed.zero.item() == pytest.approx(5.5)  # of 3 to 8


def test_moments_gathered_in_batches_give_the_same_levels() -> None:
    signals = 40 + torch.randn(6, 2, 3, 4, generator=torch.Generator().manual_seed(1))
    whole, gathered, moments = Levels(2, "moments"), Levels(2, "moments"), Moments()
    whole.learn(list(signals.unbind(1)))
    for batch in signals.split(4):
        moments.add(batch)
    gathered.take(moments)
    torch.testing.assert_close(whole(signals), gathered(signals))


@pytest.mark.parametrize("mode", ["quantiles", "moments"])
def test_a_signal_that_never_varies_is_only_shifted(mode: Any) -> None:
    levels = Levels(1, mode)
    levels.learn([torch.full((4,), 3.0)])
    assert levels(torch.tensor([[3.0], [5.0]])).flatten().tolist() == [0.0, 2.0]


@pytest.mark.parametrize(
    ("values", "zero", "one"), [((1.0, 3.0), 2.0, 3.0), ((0.0, 3.0, 6.0), 3.0, 3 + 6**0.5)]
)
def test_of_few_values_none_is_trimmed(values: tuple[float, ...], zero: float, one: float) -> None:
    levels = Levels(1, "moments", between=(0.2, 0.8))
    levels.learn([torch.tensor(values)])
    torch.testing.assert_close(levels(torch.tensor([[zero], [one]])), torch.tensor([[0.0], [1.0]]))
