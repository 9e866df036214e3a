"""RD4AD's networks beside torchvision's, its losses and maps by hand, and its training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from scipy.ndimage import gaussian_filter
from torch import nn
from torch.nn.functional import interpolate

from flawscope.data.training import TrainingData
from flawscope.errors import DataError, OptionError
from flawscope.methods.rd4ad import detector as detector_module
from flawscope.methods.rd4ad.detector import RD4AD
from flawscope.methods.rd4ad.networks import Decoder, Embedding, Residual, cosine_distance
from flawscope.methods.registry import create, options_of
from flawscope.methods.running import score
from flawscope.nn.run import Run

TINY: dict[str, Any] = {
    "size": (64, 64),
    "weights": "random",
    "backbone": "tf_efficientnet_lite0",
    "steps": 4,
    "batch": 3,
}


def made(**changes: Any) -> RD4AD:
    detector = create("rd4ad", {**TINY, **changes})
    assert isinstance(detector, RD4AD)
    return detector


def parameters(network: nn.Module) -> int:
    return sum(value.numel() for value in network.parameters())


def cosines(first: torch.Tensor, second: torch.Tensor) -> np.ndarray:
    """1 − cosine at each cell, by numpy."""
    a, b = first.double().numpy(), second.double().numpy()
    lengths = np.sqrt((a**2).sum(1)) * np.sqrt((b**2).sum(1))
    distance: np.ndarray = 1 - (a * b).sum(1) / lengths
    return distance


@pytest.mark.parametrize(
    ("name", "block", "widths", "depth"),
    [("resnet18", "basic", (64, 128, 256), 2), ("wide_resnet50_2", "bottleneck", (256, 512, 1024), 3)],
)
def test_embedding_ends_in_the_fourth_stage_of_resnet(
    name: str, block: Any, widths: tuple[int, ...], depth: int
) -> None:
    shapes = [(width, 64 >> place, 64 >> place) for place, width in enumerate(widths)]
    with torch.device("meta"):
        network = torchvision.models.get_model(name, weights=None)
        embedding = Embedding(shapes, block, depth)
        code = embedding([torch.empty(2, *shape) for shape in shapes])
    assert parameters(embedding.stage) == parameters(network.layer4)
    assert code.shape == (2, 2 * widths[-1], 8, 8)


@pytest.mark.parametrize(("stride", "scale"), [(1, "same"), (2, "down")])
def test_basic_block_computes_what_torchvisions_does(stride: int, scale: Any) -> None:
    torch.manual_seed(0)
    shortcut = nn.Sequential(nn.Conv2d(4, 4, 1, stride, bias=False), nn.BatchNorm2d(4))
    theirs = torchvision.models.resnet.BasicBlock(4, 4, stride, shortcut if stride == 2 else None)
    ours = Residual(4, 4, "basic", scale)
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    x = torch.randn(2, 4, 6, 6)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
@pytest.mark.parametrize("grids", [((16, 16), (8, 8), (4, 4)), ((19, 25), (10, 13), (5, 7))])
def test_decoder_gives_the_teachers_shapes_back(block: Any, grids: tuple[tuple[int, int], ...]) -> None:
    shapes = [(width, *grid) for width, grid in zip((6, 10, 12), grids, strict=True)]
    maps = [torch.randn(2, *shape) for shape in shapes]
    code = Embedding(shapes, block, 2)(maps)
    for rectified in (True, False):
        found = Decoder(shapes, block, (1, 2, 1), rectified=rectified)(code)
        assert [each.shape for each in found] == [each.shape for each in maps]
        assert all(bool((each >= 0).all()) == rectified for each in found)


@pytest.mark.parametrize(
    ("backbone", "rectified", "depths"),
    [("resnet18", True, (2, 2, 2, 2)), ("tf_efficientnet_lite0", False, (2, 2, 2, 2))],
)
def test_student_is_sized_by_the_teacher(backbone: str, rectified: bool, depths: tuple[int, ...]) -> None:
    detector = made(backbone=backbone, size=(72, 104))
    assert detector.rectified == rectified
    stages = [detector.student.embedding.stage, *detector.student.decoder.stages]
    assert tuple(len(stage) for stage in stages) == depths
    maps = list(detector.teacher(torch.rand(2, 3, 72, 104)).values())
    assert [each.shape for each in detector.student(maps)] == [each.shape for each in maps]


def test_blocks_by_option() -> None:
    student = made(block="bottleneck", blocks=(1, 3, 2, 1)).student
    assert len(student.embedding.stage) == 1
    assert [len(stage) for stage in student.decoder.stages] == [3, 2, 1]
    assert len(student.embedding.stage[0].steps) == 3


def test_cosine_distance_by_hand() -> None:
    first = torch.tensor([[[[1.0, 3.0]], [[0.0, 4.0]]]])  # vectors (1, 0) and (3, 4)
    second = torch.tensor([[[[0.0, 6.0]], [[2.0, 8.0]]]])  # (0, 2) and (6, 8)
    torch.testing.assert_close(cosine_distance(first, second), torch.tensor([[[1.0, 0.0]]]))
    torch.testing.assert_close(cosine_distance(first, -first), torch.full((1, 1, 2), 2.0))


@pytest.mark.parametrize("loss", ["cells", "maps"])
def test_losses_by_hand(training_data: Callable[..., TrainingData], loss: str) -> None:
    detector = made(loss=loss)
    pixels = torch.from_numpy(np.stack(list(training_data(3).normal)))
    with torch.no_grad():
        maps = detector.teacher(pixels)
        rebuilt = detector.student(list(maps.values()))
        losses = detector.losses(maps)
    expected = []
    for target, output in zip(maps.values(), rebuilt, strict=True):
        pair = (target, output) if loss == "cells" else (target.flatten(1), output.flatten(1))
        expected.append(cosines(*pair).mean())
    assert [float(losses[layer]) for layer in detector.teacher.layers] == pytest.approx(expected, rel=1e-4)
    assert float(losses["total"]) == pytest.approx(sum(expected), rel=1e-4)


@pytest.mark.parametrize("combine", ["add", "multiply"])
def test_map_joins_the_layers_distances(training_data: Callable[..., TrainingData], combine: str) -> None:
    data = training_data(4)
    detector = made(combine=combine).fit(data, Run(precision="fp32"))
    pixels = torch.from_numpy(np.stack(list(data.normal)))
    with torch.no_grad():
        maps = list(detector.teacher(pixels).values())
        rebuilt = detector.student(maps)
        answer = detector(pixels)
    large = [
        interpolate(torch.from_numpy(cosines(*pair))[:, None], size=(64, 64), mode="bilinear")[:, 0].numpy()
        for pair in zip(maps, rebuilt, strict=True)
    ]
    joined = np.sum(large, 0) if combine == "add" else np.prod(large, 0)
    expected = np.stack([gaussian_filter(one, 4, mode="reflect", truncate=4) for one in joined])
    np.testing.assert_allclose(answer["heatmap"].numpy(), expected, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(answer["score"], answer["heatmap"].flatten(1).max(1).values)


def test_gradients_never_reach_the_teacher(training_data: Callable[..., TrainingData]) -> None:
    detector = made(steps=20)
    before = {name: value.clone() for name, value in detector.teacher.state_dict().items()}
    detector.fit(training_data(6), Run(precision="fp32"))
    after = detector.teacher.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert all(value.grad is None and not value.requires_grad for value in detector.teacher.parameters())
    assert detector.learnt.history[-1]["total"] < 0.7 * detector.learnt.history[0]["total"]
    assert set(detector.learnt.history[0]) == {"step", "total", "learning_rate", *detector.teacher.layers}


def test_bad_input(training_data: Callable[..., TrainingData]) -> None:
    with pytest.raises(DataError, match="at least 2 good pictures for rd4ad, got 1"):
        made().fit(training_data(1), Run())
    with pytest.raises(OptionError, match=r"half as fine .* got 8x8 and 16x16"):
        made(layers=("blocks.2", "blocks.1"))
    with pytest.raises(OptionError, match="4 numbers, for the embedding"):
        made(blocks=(2, 2, 2))
    for wrong in ({"batch": 1}, {"order": "paper"}, {"blocks": (0, 1, 1, 1)}, {"betas": (0.5, 1.0)}):
        with pytest.raises(OptionError, match=f"option '{next(iter(wrong))}.*' of rd4ad"):
            made(**wrong)


def test_smallest_pictures_train(training_data: Callable[..., TrainingData]) -> None:
    data = training_data(2)
    detector = made(size=(32, 32), batch=2, steps=2)
    before = {name: value.clone() for name, value in detector.student.named_parameters()}
    data = TrainingData(data.normal.resized(detector.options.frame), data.tuning)
    heatmap = score(detector.fit(data, Run()), data.normal, Run())["heatmap"]
    assert heatmap.shape == (2, 32, 32)
    assert np.ptp(heatmap) > 0
    still = [name for name, value in detector.student.named_parameters() if torch.equal(value, before[name])]
    assert still == []


@pytest.mark.parametrize("preset", ["authors", "segad"])
@pytest.mark.parametrize(
    ("backbone", "depths"), [("wide_resnet50_2", [3, 3, 4, 6]), ("resnet18", [2, 2, 2, 2])]
)
def test_presets_build_the_decoder_of_the_authors_code(
    preset: str, backbone: str, depths: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detector_module, "_rectified", lambda *_: True)  # it reads values
    values = options_of("rd4ad", preset, {"backbone": backbone, "weights": "random", "size": (64, 64)})
    with torch.device("meta"):  # the networks' shapes alone
        detector = create("rd4ad", values)
    assert isinstance(detector, RD4AD)
    assert detector.options.loss == "maps"
    stages = [detector.student.embedding.stage, *detector.student.decoder.stages]
    assert [len(stage) for stage in stages] == depths  # type: ignore[arg-type]
