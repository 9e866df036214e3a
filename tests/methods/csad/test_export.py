"""The branches in engines: one graph of all four answers as the modules do, at another batch size too."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from flawscope.methods.csad.counts import ComponentCounts, ComponentCountsOptions
from flawscope.methods.csad.histogram import PatchHistogram, PatchHistogramOptions
from flawscope.methods.csad.places import Places, PlacesOptions
from flawscope.methods.csad.words import VisualWords, VisualWordsOptions

SIZE = (32, 48)


def labelled(count: int, seed: int) -> Tensor:
    """Label maps with three squares of class 1 and one of class 2."""
    random = np.random.default_rng(seed)
    labels = np.zeros((count, *SIZE), np.int64)
    for one in labels:
        for place, label in enumerate((1, 1, 1, 2)):
            top, left = 16 * (place // 2) + random.integers(0, 8), 24 * (place % 2) + random.integers(0, 12)
            one[top : top + 8, left : left + 8] = label
    return torch.from_numpy(labels)


class Branches(nn.Module):
    """All four, their words read from maps that stand for a backbone's."""

    def __init__(self) -> None:
        super().__init__()
        backbone: Any = SimpleNamespace(
            layers=("maps",), strides={"maps": 8}, channels={"maps": 3}, grids={"maps": (4, 6)}
        )
        good = labelled(16, 0)
        self.histogram = PatchHistogram(2, SIZE, ((1, 1), (2, 2)), PatchHistogramOptions())
        self.counts = ComponentCounts(2, SIZE, ComponentCountsOptions(stride=4))
        self.places = Places(2, SIZE, PlacesOptions())
        self.words = VisualWords(backbone, VisualWordsOptions(words=4, stride=8))
        self.histogram.learn(good, self.histogram.count(self.histogram.masks(good)))
        self.counts.learn(good)
        self.places.learn(self.places.reduced(self.histogram.masks(good)))
        self.words.learn(self.words.grid(self.maps(good)))

    @staticmethod
    def maps(labels: Tensor) -> dict[str, Tensor]:
        masks = torch.stack([labels == label for label in range(3)], 1).float()  # (N, 3, H, W)
        return {"maps": F.avg_pool2d(masks, 8)}

    def forward(self, labels: Tensor) -> tuple[Tensor, ...]:
        masks = self.histogram.masks(labels)
        histograms = self.histogram.count(masks)
        score, ranges = self.histogram(histograms), self.histogram.range(histograms)
        heatmap = self.histogram.heatmap(masks, histograms)
        counted = self.counts(labels)
        words = self.words(self.maps(labels))
        cells = self.places.reduced(masks)
        placed = self.places(cells)
        places = (*placed, *self.places.range(placed[1]), *self.places.cells(cells))
        return score, histograms, heatmap, *ranges, *counted, *self.counts.range(counted[1]), *places, words


@pytest.mark.slow
def test_engines_answer_as_the_modules_do(
    exported: Callable[[nn.Module, Tensor], dict[str, tuple[NDArray[Any], ...]]],
) -> None:
    branches = Branches().eval()
    labels = labelled(3, 5)
    labels[1, :16, :24] = 0
    with torch.no_grad():
        expected = branches(labels)
    for answers in exported(branches, labels).values():
        for found, wanted in zip(answers, expected, strict=True):
            np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-3, atol=1e-4)
