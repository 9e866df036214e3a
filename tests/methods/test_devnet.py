"""DevNet: its heatmap beside gradients, and its saliency beside finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flawscope.data.training import TrainingData
from flawscope.methods.registry import create, options_of
from flawscope.methods.supervised.base import TrainingPictures
from flawscope.methods.supervised.devnet import DevNet, deviation_loss, prior_scores, saliency
from flawscope.nn.run import Run

SMALL = {"weights": "random", "backbone": "resnet18", "layers": ("layer2",), "size": (64, 64), "top": 0.1}


def small(**changes: Any) -> DevNet:
    detector = create("devnet", {**SMALL, **changes})
    assert isinstance(detector, DevNet)
    return detector


def pictures(count: int) -> Tensor:
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("absolute", [False, True])
def test_heatmap_continues_gradient_times_feature(absolute: bool) -> None:
    detector = small(absolute=absolute, scales=1).eval()
    head: Any = detector.networks.heads["head"]
    nn.init.constant_(head.bias, -0.1)
    features = detector.maps(pictures(2)).detach().requires_grad_()  # (2, 128, 8, 8)
    scores = head(features).squeeze(1)
    scores = scores.abs() if absolute else scores
    best = scores.flatten(1).topk(6, dim=1)  # 10 % of 64
    score = best.values.mean(1)
    score.sum().backward()
    assert features.grad is not None
    product = (features.grad * features).sum(1).flatten(1)  # (2, 64)
    sign = head(features).squeeze(1).sign().flatten(1) if absolute else torch.ones(2, 64)
    expected = scores.flatten(1).gather(1, best.indices)
    found = (product * 6 + sign * head.bias).gather(1, best.indices)
    torch.testing.assert_close(found, expected)
    with torch.inference_mode():
        answer = detector(pictures(2))
    torch.testing.assert_close(answer["score"], score.detach())
    torch.testing.assert_close(answer["heatmap"], detector.enlarged([scores.detach()]))


def test_score_and_heatmap_are_means_over_the_scales() -> None:
    detector, pixels = small(absolute=True, scales=2).eval(), pictures(2)
    head: Any = detector.networks.heads["head"]
    with torch.inference_mode():
        answer = detector(pixels)
        scores, maps = [], []
        for seen in (pixels, pixels.unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5))):  # 2×2 pixels to one
            patches = head(detector.maps(seen)).squeeze(1).abs()
            scores.append(patches.flatten(1).sort(1, descending=True).values)
            maps.append(F.interpolate(patches[:, None], (64, 64), mode="bilinear")[:, 0])
    assert [each.shape[1] for each in scores] == [64, 16]
    torch.testing.assert_close(answer["score"], (scores[0][:, :6].mean(1) + scores[1][:, :1].mean(1)) / 2)
    torch.testing.assert_close(answer["heatmap"], (maps[0] + maps[1]) / 2, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["devnet", "dra"])
def test_the_rate_falls_to_a_tenth_every_ten_epochs(method: str) -> None:
    values = {name: value for name, value in SMALL.items() if name != "layers"}
    detector: Any = create(method, {**values, "epoch_steps": 20})
    assert [detector.schedule(step) for step in (0, 199, 200, 400)] == pytest.approx([1, 1, 0.1, 0.01])
    steady: Any = create(method, {**values, "decay_epochs": None})
    assert steady.schedule(10_000) == 1
    assert detector.clip == 1
    assert steady.options.scales == 2


def test_schedule_and_clipping_reach_the_training(
    supervised_data: Callable[[int, int], TrainingData], monkeypatch: pytest.MonkeyPatch
) -> None:
    norms: list[float] = []
    cut = nn.utils.clip_grad_norm_

    def clip(parameters: Any, largest: float) -> Tensor:
        kept = list(parameters)
        cut(kept, largest)
        norms.append(float(torch.stack([each.grad.norm() for each in kept if each.grad is not None]).norm()))
        return torch.tensor(0.0)

    monkeypatch.setattr(nn.utils, "clip_grad_norm_", clip)
    data = supervised_data(4, 2)
    detector = small(steps=3, batch=4, epoch_steps=1, decay_epochs=2, clip=1e-3).fit(data, Run())
    assert norms == pytest.approx([1e-3] * 3, rel=0.01)
    assert [entry["learning_rate"] for entry in detector.learnt.history] == pytest.approx([2e-4, 2e-4, 2e-5])
    small(steps=1, batch=4, clip=None).fit(data, Run())
    assert len(norms) == 3


def test_saliency_is_the_gradient_by_finite_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = small(layers=("layer1",), scales=1).double().eval()
    backbone = detector.networks.backbone
    monkeypatch.setattr(  # Backbone.forward ends in float32
        detector, "maps", lambda pixels: backbone.body((pixels - backbone.mean) / backbone.std)["layer1"]
    )
    pixels = pictures(1).double()
    found = saliency(detector, pixels)
    assert found.shape == (1, 64, 64)
    step = 1e-6
    for row, column in ((3, 5), (31, 32), (63, 0)):
        expected = 0.0
        for channel in range(3):
            moved = pixels.repeat(2, 1, 1, 1)
            moved[0, channel, row, column] -= step
            moved[1, channel, row, column] += step
            below, above = detector(moved)["score"].tolist()
            expected += abs(above - below) / (2 * step)
        assert float(found[0, row, column]) == pytest.approx(expected, rel=1e-4, abs=1e-9)


def test_loss_is_the_deviation_loss_of_half_good_half_defective(
    supervised_data: Callable[[int, int], TrainingData], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = supervised_data(4, 2)
    assert data.defective is not None
    detector = small(batch=5, rotation=0.0, references=50, margin=3.0, scales=1)
    maps = torch.arange(5.0).view(5, 1, 1).expand(5, 8, 8)
    monkeypatch.setattr(detector, "_patch_scores", lambda pixels: [maps])
    torch.manual_seed(7)
    loss = detector.losses(TrainingPictures(data.normal, data.defective, None, Run()), 0)
    torch.manual_seed(7)
    labels = torch.tensor([0, 0, 0, 1, 1])
    expected = deviation_loss(torch.arange(5.0), labels, prior_scores(50), 3.0)
    torch.testing.assert_close(loss["total"], expected)


def test_preset_of_segad() -> None:
    options = create("devnet", options_of("devnet", "segad", {"weights": "random"})).options
    assert options.size == (256, 256)
    assert create("devnet", {"weights": "random"}).training_steps(None) == 1000  # type: ignore[attr-defined]
