"""Memory of a network's maps by their shapes."""

from __future__ import annotations

import torch
from torch import nn

from flawscope.nn.activations import most_bytes, shapes_only
from flawscope.nn.backbones.build import build_backbone
from flawscope.nn.banks.features import BATCH, PatchGrid, bytes_to_see

FLOAT = 4


def test_tensors_count_while_somebody_holds_them() -> None:
    def chain() -> None:
        rows = torch.empty(1000, device="meta")
        for _ in range(5):
            rows = rows * 2

    def kept() -> list[torch.Tensor]:
        return [torch.empty(1000, device="meta") for _ in range(5)]

    assert most_bytes(chain) == 2 * 1000 * FLOAT
    assert most_bytes(kept) == 5 * 1000 * FLOAT


def test_views_and_what_changes_in_place_count_once() -> None:
    def work() -> torch.Tensor:
        return torch.empty(10, 100, device="meta").view(-1).add_(1).relu_().reshape(100, 10)

    assert most_bytes(work) == 1000 * FLOAT


def test_a_copy_of_shapes_leaves_the_network_as_it_was() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    copied = shapes_only(network)
    assert {one.device.type for one in (*copied.parameters(), *copied.buffers())} == {"meta"}
    assert {one.device.type for one in (*network.parameters(), *network.buffers())} == {"cpu"}
    assert copied(torch.empty(2, 3, 8, 8, device="meta")).shape == (2, 4, 6, 6)


def test_larger_pictures_take_more_memory_to_see() -> None:
    backbone = build_backbone("test_resnet", size=(64, 64))
    grid = PatchGrid(backbone)
    small, large = (bytes_to_see(backbone, [grid], (side, side)) for side in (64, 128))
    pictures = BATCH * 3 * 64 * 64 * FLOAT
    assert 4 * pictures < small < large < 4 * small
