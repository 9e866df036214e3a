"""EfficientAD's networks as the tables give them, and where their maps' cells lie."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from flawscope.nn.backbones.pdn import Cells, cells, pdn, pdn_m, pdn_s
from flawscope.nn.student_teacher.networks import (
    Autoencoder,
    Resampling,
    at_centres,
    dropped,
    fold_normalisation,
    taps,
    touched,
)


def parameters(network: nn.Module) -> int:
    return sum(value.numel() for value in network.parameters())


@pytest.mark.parametrize(
    ("network", "count"),
    [
        (pdn_s(), 2_694_144),
        (pdn_s(768), 4_267_392),
        (pdn_m(), 8_026_624),
        (pdn_m(768), 11_615_488),
        (Autoencoder(384, (56, 56)), 1_096_320),
    ],
)
def test_networks_have_the_tables_parameters(network: nn.Module, count: int) -> None:
    assert parameters(network) == count


@pytest.mark.parametrize("size", ["small", "medium"])
@pytest.mark.parametrize(("padding", "side"), [(False, 56), (True, 64)])
def test_maps_of_256_pixels(size: Any, padding: bool, side: int) -> None:
    with torch.device("meta"):
        maps = pdn(size, padding=padding)(torch.empty(1, 3, 256, 256))
    assert maps.shape == (1, 384, side, side)


def test_autoencoder_reaches_the_teachers_map_from_any_size() -> None:
    network = Autoencoder(5, (13, 21)).eval()
    with torch.no_grad():
        assert network(torch.rand(2, 3, 64, 96)).shape == (2, 5, 13, 21)
        assert network(torch.rand(1, 3, 256, 256)).shape == (1, 5, 13, 21)


def test_autoencoder_has_64_values_at_its_narrowest() -> None:
    network = Autoencoder(5, (8, 8)).eval()
    seen = []
    network.bottleneck.register_forward_hook(lambda *call: seen.append(call[2].shape))
    with torch.no_grad():
        network(torch.rand(1, 3, 256, 256))
    assert seen == [(1, 64, 1, 1)]


def test_taps_end_with_the_output_and_follow_the_layers() -> None:
    network = pdn_s(7)
    pixels = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        third, output = taps(network, pixels, 2)
        torch.testing.assert_close(output, network(pixels))
        torch.testing.assert_close(third, network[:8](pixels))


def test_taps_compute_only_the_channels_asked_for() -> None:
    network = pdn_s(7)
    pixels = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        _, every = taps(network, pixels, 2)
        _, some = taps(network, pixels, 2, slice(3, None))
    torch.testing.assert_close(some, every[:, 3:])


@pytest.mark.parametrize("shape", [(2, 16, 31, 33), (1, 3, 5, 1)])
def test_dropped_values_are_a_share_and_the_rest_grow(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x = torch.ones(shape, requires_grad=True)
    found = dropped(x, 0.2)
    assert set(found.unique().tolist()) <= {0.0, 1.25}
    if x.numel() > 1000:
        gone = (found == 0).float()
        assert float(gone.mean()) == pytest.approx(0.2, abs=0.01)
        assert float(gone.mean((0, 2, 3)).std()) < 0.02  # of the channels
    found.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, found)


def test_folding_normalises_the_output() -> None:
    convolution = nn.Conv2d(3, 4, 3)
    pixels = torch.rand(5, 3, 9, 9)
    with torch.no_grad():
        before = convolution(pixels)
        mean, std = before.mean((0, 2, 3)), before.std((0, 2, 3))
        fold_normalisation(convolution, mean, std)
        after = convolution(pixels)
    torch.testing.assert_close(after, (before - mean.view(-1, 1, 1)) / std.view(-1, 1, 1))


def field(network: nn.Sequential, level: int, row: int) -> tuple[float, float]:
    """First and last picture row that a cell of a convolution's map sees, by its gradient."""
    pixels = torch.rand(1, 3, 96, 96, requires_grad=True)
    maps = taps(network, pixels, len(cells(network)))[level]
    maps[0, :, row, maps.shape[3] // 2].sum().backward()
    assert pixels.grad is not None
    seen = pixels.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    return float(seen.min()), float(seen.max())


@pytest.mark.parametrize("make", [pdn_s, pdn_m])
@pytest.mark.parametrize("padding", [False, True])
def test_cells_lie_where_their_gradients_do(make: Callable[..., nn.Sequential], padding: bool) -> None:
    torch.manual_seed(0)
    network = make(4, padding=padding, width=8).double()
    for layer in network:
        if isinstance(layer, nn.Conv2d):
            layer.bias.data.fill_(1.0)  # keep every ReLU open
            layer.weight.data.abs_()
    network.float()
    for level, where in enumerate(cells(network)):
        first, last = field(network, level, 10)
        assert (first + last) / 2 == where.centres(11)[10].item()
        assert last - first + 1 == where.field
    assert cells(network)[-1] == Cells(4, 0 if padding else 16, 33)


@pytest.mark.parametrize("size", ["small", "medium"])
@pytest.mark.parametrize("padding", [False, True])
def test_a_defect_touches_the_cells_that_it_changes(size: Any, padding: bool) -> None:
    network = pdn(size, 1, padding=padding)
    for layer in network:
        if isinstance(layer, nn.Conv2d):  # every ReLU open, no weight too small to be seen
            layer.weight.data.fill_(8 / layer.weight[0].numel())
            layer.bias.data.fill_(1.0)
    places = ((0, 63), (17, 38), (22, 3), (55, 24))
    mask = torch.zeros(len(places), 56, 64, dtype=torch.bool)
    for index, (row, column) in enumerate(places):
        mask[index, row, column] = True
    with torch.no_grad():
        plain = taps(network, torch.zeros(1, 3, 56, 64), len(cells(network)))
        marked = taps(network, 1000.0 * mask[:, None].expand(-1, 3, -1, -1), len(cells(network)))
    for where, before, after in zip(cells(network), plain, marked, strict=True):
        changed = (after != before).any(1)
        assert torch.equal(touched(mask, where, (changed.shape[1], changed.shape[2])), changed)


def test_defects_mark_the_cells_at_whose_centres_they_lie() -> None:
    mask = torch.zeros(1, 96, 64, dtype=torch.bool)
    mask[:, 40:45, 20:25] = True
    for where, grid in (
        (Cells(4, 0, 33), (24, 16)),
        (Cells(4, 16, 33), (16, 8)),
        (Cells(4, -6, 9), (27, 19)),
    ):
        marked = at_centres(mask, where, grid)
        assert marked.shape == (1, *grid)
        rows, columns = np.nonzero(marked[0].numpy())
        inside = {4 * index + int(where.origin) for index in range(40)}
        assert {4 * row + where.origin for row in rows} == inside & set(range(40, 45))
        assert {4 * column + where.origin for column in columns} == inside & set(range(20, 25))


def test_resampling_reads_at_the_other_maps_centres() -> None:
    resample = Resampling(Cells(2, 1.0, 5), Cells(4, 4.0, 9), (30, 20), (10, 7))
    ramp = (1.0 + 2 * torch.arange(30.0))[:, None] + 0 * torch.arange(20.0)  # each cell's own row
    read = resample(ramp[None])[0]
    torch.testing.assert_close(read[:, 3], 4.0 + 4 * torch.arange(10.0))
