"""The two matrix products equal bilinear upsampling and scipy's Gaussian."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from torch import nn

from flawscope.nn.heatmaps import Heatmap, finest_grid, top_mean


@pytest.mark.parametrize(
    ("grid", "size", "sigma"), [((8, 12), (64, 96), 4.0), ((5, 7), (33, 50), 1.5), ((4, 4), (32, 32), 20.0)]
)
def test_equals_interpolation_and_scipys_gaussian(
    grid: tuple[int, int], size: tuple[int, int], sigma: float
) -> None:
    maps = torch.rand(3, *grid, generator=torch.Generator().manual_seed(0))
    large = F.interpolate(maps.unsqueeze(1), size=size, mode="bilinear")[:, 0].double().numpy()
    expected = np.stack([gaussian_filter(one, sigma, mode="reflect", truncate=4) for one in large])
    np.testing.assert_allclose(Heatmap(grid, size, sigma)(maps).numpy(), expected, atol=2e-6)


def test_without_smoothing_it_is_bilinear() -> None:
    maps = torch.rand(2, 4, 4, generator=torch.Generator().manual_seed(1))
    expected = F.interpolate(maps.unsqueeze(1), size=(20, 16), mode="bilinear")[:, 0]
    torch.testing.assert_close(Heatmap((4, 4), (20, 16), 0)(maps), expected)


def test_a_flat_map_stays_flat() -> None:
    torch.testing.assert_close(
        Heatmap((4, 6), (40, 40), 4)(torch.full((1, 4, 6), 2.5)), torch.full((1, 40, 40), 2.5)
    )


@pytest.mark.parametrize(("share", "expected"), [(0.1, 9.0), (0.34, 8.0), (1.0, 4.5), (0.01, 9.0)])
def test_top_mean_takes_the_largest_patches_and_at_least_one(share: float, expected: float) -> None:
    maps = torch.arange(10.0).flip(0).view(1, 2, 5)
    torch.testing.assert_close(top_mean(maps, share), torch.tensor([expected]))


def test_top_mean_of_a_share_rounded_as_told() -> None:
    maps = torch.arange(15.0).view(1, 3, 5)
    assert top_mean(maps, 0.12).item() == 14.0  # 1.8 of them
    assert top_mean(maps, 0.12, whole=round).item() == 13.5


def test_the_finest_grid_of_a_network_is_of_what_it_enlarges() -> None:
    coarse, fine, blurred = Heatmap((4, 6), (32, 48), 2.0), Heatmap((8, 12), (32, 48), 0.0), ((32, 48),) * 2
    assert finest_grid(nn.ModuleList([coarse, fine, Heatmap(*blurred, 2.0)])) == (8, 12)
    assert finest_grid(nn.Linear(2, 2)) is None
