"""Moments added batch by batch, against numpy's over everything in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flawscope.nn.moments import Levels, Moments


@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    offset=st.sampled_from([0.0, -3.0, 1e4, 1e8]),
    spread=st.sampled_from([1e-3, 1.0, 1e3]),
    seed=st.integers(0, 999),
)
def test_batches_join_to_the_moments_of_all_values(
    sizes: list[int], offset: float, spread: float, seed: int
) -> None:
    values = np.random.default_rng(seed).normal(offset, spread, (sum(sizes) + 2, 3, 4))
    moments = Moments()
    for batch in np.split(values, np.cumsum(sizes)):
        moments.add(torch.from_numpy(batch))
    assert moments.count == 4 * len(values)
    rows = values.transpose(1, 0, 2).reshape(3, -1)  # (N, C, 4) -> (C, N * 4)
    rounding = 1e-14 * (abs(offset) + spread)  # of a sum of terms as large as these
    np.testing.assert_allclose(moments.mean, rows.mean(1), rtol=0, atol=rounding)
    np.testing.assert_allclose(moments.variance.sqrt(), rows.std(1), rtol=1e-10, atol=rounding)


def test_a_mean_far_beyond_the_spread_cancels_nothing() -> None:
    moments = Moments()
    for value in (1e8, 1e8 + 1, 1e8 + 2):  # float64 holds 1e16, a square, to 2
        moments.add(torch.tensor([[value]], dtype=torch.float64))
    assert moments.squares.item() == 2.0


@pytest.mark.parametrize("value", [0.0, 0.1, -1e5])
def test_a_channel_that_never_varies_is_divided_by_1(value: float) -> None:
    moments = Moments()
    for count in (7, 3):
        values = torch.full((count, 2, 5), value)
        values[:, 1] = torch.rand(count, 5, generator=torch.Generator().manual_seed(count))
        moments.add(values)
    assert moments.std[0].item() == 1.0
    assert moments.std[1].item() == pytest.approx(0.29, abs=0.05)


def test_a_signal_that_hardly_varies_is_not_raised_to_noise() -> None:
    still, varied = torch.tensor([0.0, 0.0, 0.003, 0.0]), torch.tensor([3.0, -3.0, 3.0, -3.0])
    levels = Levels(2, "moments", least=(4.0, 4.0))
    levels.learn((still, varied))
    np.testing.assert_allclose(levels.gain, [0.25, 1 / 5], rtol=1e-6)  # 3 and 4 make 5
    np.testing.assert_allclose(levels.zero, [0.00075, 0], atol=1e-9)
    plain = Levels(1, "moments")
    plain.learn((still,))
    assert plain.gain.item() > 500
