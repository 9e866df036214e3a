"""Training data of small pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Sample
from flawscope.data.training import TrainingData
from flawscope.runtime.images import Frame


@pytest.fixture
def training_data(good_pictures: Callable[..., Path]) -> Callable[..., TrainingData]:
    """Make `count` good pictures at a frame of 64×64, all for training."""

    def make(count: int, *, name: str = "good", seed: int = 0) -> TrainingData:
        folder = good_pictures(count, name=name, seed=seed) if count else Path()
        samples = (
            [Sample(path, "train", defective=False) for path in sorted(folder.glob("*.png"))] if count else []
        )
        pictures = PictureFiles(samples, Frame(height=64, width=64))
        return TrainingData(normal=pictures, tuning=pictures.subset([]))

    return make


@pytest.fixture
def supervised_data(
    training_data: Callable[..., TrainingData],
) -> Callable[[int, int], TrainingData]:
    """Make so many good and so many defective pictures at 64×64, and two for tuning."""

    def make(normals: int, defects: int) -> TrainingData:
        bad = training_data(defects, name="bad", seed=1).normal
        samples = [replace(sample, defective=True, kind="scratch") for sample in bad.samples]
        return TrainingData(
            training_data(normals).normal,
            training_data(2, name="tuning", seed=2).normal,
            defective=PictureFiles(samples, bad.frame),
        )

    return make
