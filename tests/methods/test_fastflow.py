"""FastFlow's map, loss and training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from flawscope.data.training import TrainingData
from flawscope.errors import DataError, OptionError
from flawscope.methods.fastflow import FastFlow
from flawscope.methods.registry import create
from flawscope.nn.run import Checkpoints, Run

TINY: dict[str, Any] = {
    "size": (64, 64),
    "weights": "random",
    "backbone": "test_resnet",
    "steps": 4,
    "batch": 3,
}


def made(**changes: Any) -> FastFlow:
    detector = create("fastflow", {**TINY, **changes})
    assert isinstance(detector, FastFlow)
    return detector


def standardised(maps: torch.Tensor) -> torch.Tensor:
    """Each picture's map with mean 0 and variance 1, by plain arithmetic in float64."""
    values = maps.double().flatten(1)
    variance = values.var(1, correction=0, keepdim=True)
    return ((values - values.mean(1, keepdim=True)) / (variance + 1e-5).sqrt()).view_as(maps)


def test_map_is_the_mean_likelihood_of_the_layers(training_data: Callable[..., TrainingData]) -> None:
    data = training_data(5)
    detector = made().fit(data, Run(precision="fp32"))
    pixels = torch.from_numpy(np.stack(list(data.normal)))
    with torch.no_grad():
        likely = []
        for layer, flow in zip(detector.backbone.layers, detector.flows, strict=True):
            x = standardised(detector.backbone(pixels)[layer])
            z, _ = flow.double()(x)
            flow.float()
            one = torch.exp((-0.5 * z**2).mean(1, keepdim=True))
            likely.append(F.interpolate(one, size=(64, 64), mode="bilinear"))
        answer = detector(pixels)
    expected = -torch.cat(likely, 1).mean(1)
    torch.testing.assert_close(answer["heatmap"].double(), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(answer["score"], answer["heatmap"].flatten(1).max(1).values)
    assert float(answer["heatmap"].min()) >= -1
    assert float(answer["heatmap"].max()) <= 0


def test_loss_of_flows_that_change_nothing_is_half_the_square(
    training_data: Callable[..., TrainingData],
) -> None:
    detector = made()
    with torch.no_grad():
        for value in detector.flows.parameters():
            value.zero_()
    pixels = torch.from_numpy(np.stack(list(training_data(3).normal)))
    maps = detector.backbone(pixels)
    expected = sum(0.5 * standardised(values).square().sum() / 3 for values in maps.values())
    torch.testing.assert_close(detector.losses(maps)["total"].double(), expected, rtol=1e-4, atol=0.01)


def test_training_raises_the_likelihood_and_leaves_the_backbone(
    training_data: Callable[..., TrainingData],
) -> None:
    detector = made(steps=25)
    before = {name: value.clone() for name, value in detector.backbone.state_dict().items()}
    detector.fit(training_data(6), Run(precision="fp32"))
    assert len(detector.learnt.history) == 25
    assert detector.learnt.history[-1]["total"] < 0.6 * detector.learnt.history[0]["total"]
    after = detector.backbone.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not any(value.requires_grad for value in detector.parameters())


def test_checkpoints_of_another_training_are_left_alone(
    training_data: Callable[..., TrainingData], tmp_path: Path
) -> None:
    data = training_data(5)
    folder = tmp_path / "kept"
    folder.mkdir()
    run, short = Run(checkpoints=Checkpoints(folder)), {"flow_steps": 1, "steps": 1}
    made(**short).fit(data, run)
    made(**short).fit(data, run)
    assert len(list(folder.iterdir())) == 1
    made(**short, learning_rate=1e-4).fit(data, run)
    made(**short).fit(TrainingData(data.normal.subset(range(4)), data.tuning), run)
    made(**short).fit(data, replace(run, seed=1))
    assert len(list(folder.iterdir())) == 4


@pytest.mark.parametrize("size", [(64, 64), (48, 80)])
@pytest.mark.parametrize(
    ("backbone", "channels"), [("resnet18", [64, 128, 256]), ("tf_efficientnet_lite0", [24, 40, 112])]
)
def test_flows_take_their_widths_from_the_backbone(
    backbone: str, channels: list[int], size: tuple[int, int]
) -> None:
    detector = made(backbone=backbone, size=size)
    assert [len(flow.steps[1].order) for flow in detector.flows] == channels
    kernels = [step.subnet[0].kernel_size[0] for step in detector.flows[0].steps[1:]]
    assert kernels == [3, 1] * 4
    answer = detector(torch.rand(2, 3, *size))
    assert answer["heatmap"].shape == (2, *size)


def test_kernels_of_3x3_alone() -> None:
    steps = made(only_3x3=True, flow_steps=3).flows[0].steps[1:]
    assert [step.subnet[2].kernel_size for step in steps] == [(3, 3)] * 3


def test_epochs_are_counted_in_pictures_and_steps_replace_them() -> None:
    options = made(steps=None, epochs=2, batch=3).options
    assert options.steps_for(5) == 4
    assert options.model_copy(update={"steps": 7}).steps_for(5) == 7


def test_seeds_draw_other_flows(training_data: Callable[..., TrainingData]) -> None:
    data = training_data(4)
    orders = [
        made(flow_steps=1, steps=1).fit(data, Run(seed=seed)).flows[2].steps[1].order for seed in (0, 0, 1)
    ]
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])


def test_bad_input(training_data: Callable[..., TrainingData]) -> None:
    with pytest.raises(DataError, match="at least 2 good pictures for fastflow, got 1"):
        made().fit(training_data(1), Run())
    for wrong in ({"batch": 1}, {"steps": 0}, {"flow_steps": 0}, {"clamp": 0.0}, {"hidden_ratio": 0.0}):
        with pytest.raises(OptionError, match=f"option '{next(iter(wrong))}' of fastflow"):
            made(**wrong)
