"""The classifier's loss and score by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from flawscope.data.training import TrainingData
from flawscope.methods.registry import create
from flawscope.methods.supervised.base import TrainingPictures
from flawscope.methods.supervised.classifier import Classifier
from flawscope.nn.run import Run

SMALL = {"weights": "random", "backbone": "resnet18", "size": (64, 64)}


def small(**changes: Any) -> Classifier:
    detector = create("classifier", {**SMALL, **changes})
    assert isinstance(detector, Classifier)
    return detector


def test_focal_loss_of_a_batch_by_hand(
    supervised_data: Callable[[int, int], TrainingData], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = supervised_data(3, 1)
    assert data.defective is not None
    logits = torch.tensor([0.5, -1.0, 2.0, 0.0])  # three good ones, then the defective one
    detector = small(alpha=0.4, gamma=1.5)
    monkeypatch.setattr(detector, "_logits", lambda pixels: logits)
    loss = detector.losses(TrainingPictures(data.normal, data.defective, None, Run()), 0)
    expected = 0.0
    for value, defective in zip(logits.tolist(), (0, 0, 0, 1), strict=True):
        probability = 1 / (1 + math.exp(-value))
        right = probability if defective else 1 - probability
        expected += (0.4 if defective else 0.6) * (1 - right) ** 1.5 * -math.log(right)
    assert float(loss["total"]) == pytest.approx(expected / 4, rel=1e-5)


def test_score_is_the_logit_of_the_pooled_map() -> None:
    detector = small().eval()
    pixels = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        (maps,) = detector.networks.backbone(pixels).values()
        head: Any = detector.networks.heads["head"]
        expected = maps.mean((2, 3)) @ head.weight[0] + head.bias
        answer = detector(pixels)
    assert list(answer) == ["score"]
    torch.testing.assert_close(answer["score"], expected)


def test_balanced_batches_are_half_defective(
    supervised_data: Callable[[int, int], TrainingData], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = supervised_data(9, 1)
    assert data.defective is not None
    seen: list[torch.Tensor] = []
    detector = small(balanced=True, batch=4)
    monkeypatch.setattr(detector, "_logits", lambda pixels: (seen.append(pixels), pixels.mean((1, 2, 3)))[1])
    detector.losses(TrainingPictures(data.normal, data.defective, None, Run()), 0)
    defect = torch.from_numpy(data.defective[0])
    near = [float((pixels - defect).abs().max()) < 1 / 255 for pixels in seen[0]]
    assert near == [False, False, True, True]


def test_full_training_counts_epochs_over_both_parts(
    supervised_data: Callable[[int, int], TrainingData],
) -> None:
    assert small(epochs=3, batch=4).training_steps(supervised_data(5, 2)) == 6  # 21 pictures in fours
