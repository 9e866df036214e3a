"""The forest's inputs are what a plain loop over segments with numpy and scipy gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from flawscope.methods.segad.statistics import SegmentStatistics
from segment_loop import NAMES, by_loop


def _maps(random: np.random.Generator, pictures: int, detectors: int, side: int) -> NDArray[np.float32]:
    maps = random.gamma(0.7, 2.0, (pictures, detectors, side, side + 3))
    return (maps * 10 ** random.uniform(-3, 3)).astype(np.float32)


@pytest.mark.parametrize("static", [True, False])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), side=st.integers(1, 40), count=st.integers(1, 9))
@example(seed=0, side=1, count=2)  # two values that differ little, where the mean's rounding shows
def test_every_statistic_equals_the_loop_empty_segments_included(
    static: bool, seed: int, side: int, count: int
) -> None:
    random = np.random.default_rng(seed)
    maps = _maps(random, 2, 3, side)
    labels = random.integers(0, random.integers(1, count + 1), (2, side, side + 3))
    if static:
        labels[1] = labels[0]
    module = SegmentStatistics(count, NAMES, torch.from_numpy(labels[0]) if static else None)
    found = module(torch.from_numpy(maps), torch.from_numpy(labels)).numpy()
    assert found.shape == (2, 3, count, 5)
    for picture in range(2):
        expected = by_loop(maps[picture], labels[picture], count)
        few = np.array([(labels[picture] == segment).sum() for segment in range(count)])
        scale = np.maximum(np.abs(expected), 0.02 * np.sqrt(np.maximum(few, 1))[None, :, None])
        assert (np.abs(found[picture] - expected) / scale).max() < 2e-4


@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize("level", [0.0, 0.1, -7.3, 4000.25])
def test_a_constant_segment_has_no_skewness_and_no_kurtosis(static: bool, level: float) -> None:
    labels = torch.zeros(1, 8, 8, dtype=torch.int64)
    labels[:, 4:] = 1
    maps = torch.full((1, 1, 8, 8), level)
    maps[:, :, 4:] += torch.randn(1, 1, 4, 8, generator=torch.Generator().manual_seed(0))
    found = SegmentStatistics(2, NAMES, labels[0] if static else None)(maps, labels)[0, 0]
    torch.testing.assert_close(found[0], torch.tensor([level, 0.0, 0.0, level, level]), rtol=1e-6, atol=1e-6)
    assert found[1, 1] != 0


def test_one_pixel_is_its_own_quantile() -> None:
    labels = torch.zeros(1, 5, 5, dtype=torch.int64)
    labels[0, 2, 2] = 1
    maps = torch.arange(25.0).view(1, 1, 5, 5)
    for static in (labels[0], None):
        found = SegmentStatistics(2, NAMES, static)(maps, labels)
        assert found[0, 0, 1].tolist() == [12.0, 0.0, 0.0, 12.0, 12.0]


def test_only_the_statistics_asked_for_come_in_their_order() -> None:
    maps = torch.rand(1, 1, 6, 6)
    labels = torch.zeros(1, 6, 6, dtype=torch.int64)
    both = SegmentStatistics(1, ("maximum", "mean"))(maps, labels)
    torch.testing.assert_close(both[0, 0, 0], torch.stack([maps.max(), maps.mean()]))
    assert SegmentStatistics(1, ("maximum",), labels[0])(maps, labels).shape == (1, 1, 1, 1)
