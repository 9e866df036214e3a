"""Small options and pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torchvision.models import vgg

from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Sample
from flawscope.data.training import TrainingData
from flawscope.methods.multiscale_patch import MultiScalePatch
from flawscope.methods.multiscale_patch.options import MultiScalePatchOptions
from flawscope.runtime.images import Frame

TINY: dict[str, Any] = {
    "size": (64, 64),
    "scales": (32, 16),
    "weights": "random",
    "backbone": "vgg11",
    "layers": ("features.5", "features.2"),
    "embedding": 8,
    "patches": 3,
    "kmeans_patches": 3,
    "clusters": 4,
    "steps": 4,
    "batch": 6,
    "together": 3,
}


@pytest.fixture(scope="module", autouse=True)
def _vgg16_is_narrow_where_no_encoder_reads_it() -> Iterator[None]:
    """Make the layers after conv4_1 narrow: drawing all weights took most of a fit."""
    with pytest.MonkeyPatch.context() as patch:
        read = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512]
        patch.setitem(vgg.cfgs, "D", [*read, 8, 8, "M", 8, 8, 8, "M"])
        yield


@pytest.fixture
def tiny() -> Callable[..., MultiScalePatch]:
    """Make an unfitted detector of small options, changed as named."""
    return lambda **changes: MultiScalePatch(MultiScalePatchOptions(**{**TINY, **changes}))


@pytest.fixture
def data(training_data: Callable[..., TrainingData]) -> TrainingData:
    """Five good pictures of 64×64."""
    return training_data(5)


@pytest.fixture
def black(tmp_path: Path) -> TrainingData:
    """Four pictures without any content."""
    paths = [tmp_path / f"{index}.png" for index in range(4)]
    for path in paths:
        Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(path)
    pictures = PictureFiles([Sample(path, "train", defective=False) for path in paths], Frame(64, 64))
    return TrainingData(pictures, pictures.subset([]))
