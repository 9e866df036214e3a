"""`check_detector` names the property that a detector breaks."""

from __future__ import annotations

from typing import Self

import pytest
import torch
from torch import Tensor

from flawscope.data.training import TrainingData
from flawscope.methods.detector import Detector, DetectorOptions, Facts, Learnt
from flawscope.nn.run import Run
from flawscope.testing import check_detector
from two_filters import Difference


class Forgetful(Difference):
    def learn(self, data: TrainingData, run: Run) -> Learnt:
        learnt, unseeded = super().learn(data, run), torch.Generator()
        unseeded.seed()
        self.mean = self.mean + 0.05 * torch.randn(3, 1, 1, generator=unseeded)
        return learnt


class Batchwise(Difference):
    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        answer = super().forward(pixels)
        return {**answer, "score": answer["score"] / answer["score"].mean()}


class Learning(Difference):
    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        answer = super().forward(pixels)
        self.mean = self.mean + 1e-6
        return answer


class Greedy(Difference):
    def fit(self, data: TrainingData, run: Run) -> Self:
        return self if len(data.normal) < 2 else super().fit(data, run)


class Unsaved(Difference):
    def __init__(self, options: DetectorOptions, facts: Facts | None = None) -> None:
        super().__init__(options, facts)
        self.register_buffer("mean", torch.zeros(3, *options.size), persistent=False)


class Dividing(Difference):
    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        answer = super().forward(pixels)
        return {**answer, "score": answer["score"] / pixels.amax((1, 2, 3)).clamp(max=0.5).mul(2)}


class Undeclared(Difference):
    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        return {**super().forward(pixels), "extra": pixels}


def test_a_sound_detector_passes() -> None:
    check_detector(Difference, {"size": (64, 64)}, export=False)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (Forgetful, "Forgetful: fitting twice gives another score: it differs by up to"),
        (Batchwise, "Batchwise: single pictures give another score"),
        (Learning, "Learning: scoring changes state: mean"),
        (Greedy, "Greedy: fitting on 1 pictures must raise a DataError, got a model"),
        (Unsaved, "Unsaved: saved and loaded again it gives another score"),
        (Dividing, "Dividing: output score of a black picture: 1 of 1 values are NaN or infinite"),
        (Undeclared, r"Undeclared: declares outputs \['score', 'heatmap'\], returns .*'extra'"),
    ],
)
def test_a_broken_detector_is_told_what_is_broken(broken: type[Detector], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_detector(broken, {"size": (64, 64)}, export=False)
