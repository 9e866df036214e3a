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


@pytest.fixture(scope="module")
def batches(backbone: Backbone) -> list[dict[str, torch.Tensor]]:
    pixels = torch.rand(12, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        smooth = torch.nn.functional.avg_pool2d(pixels, 5, 1, 2)
        return [backbone(part) for part in torch.split(smooth, 5)]


def taught(
    backbone: Backbone, batches: list[dict[str, torch.Tensor]], most: int | None
) -> tuple[JoinedTeacher, torch.Tensor]:
    """A teacher, and the channels (C, n * h * w) of its maps."""
    teacher = teacher_of(backbone, most)
    teacher.learn(batches)
    with torch.no_grad():
        found = torch.cat([teacher(maps) for maps in batches])
    return teacher, found.transpose(0, 1).flatten(1).double()


@pytest.mark.parametrize("most", [None, 500])
def test_channels_are_even_over_the_training_pictures(
    backbone: Backbone, batches: list[dict[str, torch.Tensor]], most: int | None
) -> None:
    teacher, values = taught(backbone, batches, most)
    assert len(values) == teacher.channels == 192
    torch.testing.assert_close(values.mean(1), torch.zeros(192).double(), atol=1e-4, rtol=0)
    varying = values[values.var(1, correction=0) > 0]  # a ReLU that never opens gives the same everywhere
    assert len(varying) > 0.9 * 192
    spread = varying.var(1, correction=0)
    torch.testing.assert_close(spread, torch.ones_like(spread), atol=1e-3, rtol=0)


def test_principal_components_keep_distances(
    backbone: Backbone, batches: list[dict[str, torch.Tensor]]
) -> None:
    _, whole = taught(backbone, batches, None)
    teacher, few = taught(backbone, batches, 60)
    assert len(few) == teacher.channels == 60
    covariance = torch.cov(few, correction=0)
    torch.testing.assert_close(covariance, torch.diag(covariance.diagonal()), atol=1e-3, rtol=0)
    assert covariance.diagonal().mean().item() == pytest.approx(1, abs=1e-3)
    apart = [torch.cdist(values.T[::7], values.T[::7]).flatten() for values in (whole, few)]
    assert float(torch.corrcoef(torch.stack(apart))[0, 1]) > 0.97


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
