"""A backbone's maps as a teacher's one map: where it is read, and how even its channels are."""

from __future__ import annotations

import pytest
import torch

from flawscope.nn.backbones.build import Backbone, build_backbone
from flawscope.nn.backbones.pdn import pdn_cells
from flawscope.nn.student_teacher.joined_teacher import JoinedTeacher

WHERE = pdn_cells("small", padding=False)[-1]


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return build_backbone("resnet18", strides=(4, 8), size=(64, 64))


def teacher_of(backbone: Backbone, most: int | None = None) -> JoinedTeacher:
    return JoinedTeacher(backbone, backbone.layers, where=WHERE, grid=(8, 8), most=most)


def test_maps_are_read_at_the_students_cells(backbone: Backbone) -> None:
    teacher = teacher_of(backbone)
    maps = {}
    for layer, stride in backbone.strides.items():
        columns = torch.arange(64 // stride) * stride + (stride - 1) / 2  # each cell tells its own centre
        maps[layer] = columns.expand(1, backbone.channels[layer], 64 // stride, -1)
    found = teacher(maps)
    assert found.shape == (1, 64 + 128, 8, 8)
    torch.testing.assert_close(found[0, :, 3], WHERE.centres(8).float().expand(192, -1))


@pytest.mark.parametrize("most", [None, 10, 500])
def test_channels_are_even_over_the_training_pictures(backbone: Backbone, most: int | None) -> None:
    teacher = teacher_of(backbone, most)
    pixels = torch.rand(12, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        pixels = torch.nn.functional.avg_pool2d(pixels, 5, 1, 2)
        batches = [backbone(part) for part in torch.split(pixels, 5)]
        teacher.learn(batches)
        found = torch.cat([teacher(maps) for maps in batches])
    values = found.transpose(0, 1).flatten(1).double()  # (C, n * h * w)
    assert len(values) == teacher.channels == (10 if most == 10 else 192)
    torch.testing.assert_close(values.mean(1), torch.zeros(len(values)).double(), atol=1e-4, rtol=0)
    varying = values[values.var(1, correction=0) > 0]  # a ReLU that never opens gives the same everywhere
    assert len(varying) > 0.9 * len(values)
    spread = varying.var(1, correction=0)
    torch.testing.assert_close(spread, torch.ones_like(spread), atol=1e-3, rtol=0)
    if most == 10:
        torch.testing.assert_close(torch.cov(values), torch.eye(10).double(), atol=1e-2, rtol=0)


def test_components_hold_what_varies_most(backbone: Backbone) -> None:
    teacher = teacher_of(backbone, 1)
    draw = torch.Generator().manual_seed(0)
    shared = torch.randn(6, 1, 1, 1, generator=draw)  # all channels move together, and a little on their own
    maps = {
        layer: shared
        + 0.1 * torch.randn(6, backbone.channels[layer], 64 // stride, 64 // stride, generator=draw)
        for layer, stride in backbone.strides.items()
    }
    teacher.learn([maps])
    found = teacher(maps)[:, 0].mean((1, 2))  # (6,)
    both = torch.stack([found, shared.flatten()])
    assert float(torch.corrcoef(both)[0, 1].abs()) > 0.999
