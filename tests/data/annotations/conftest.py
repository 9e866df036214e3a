"""A data set of small pictures, and annotation files of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flawscope.data.layouts import read_dataset
from flawscope.data.samples import Dataset

HEIGHT, WIDTH = 16, 24


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Six good training pictures, 24 wide and 16 high, and two test pictures of the same names."""
    for place in [f"train/good/{index:03d}" for index in range(6)] + ["test/good/000", "test/bad/001"]:
        path = tmp_path / "data" / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(len(list(path.parent.iterdir()))).integers(0, 256, (HEIGHT, WIDTH, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    return read_dataset(tmp_path / "data", layout="mvtec_ad")


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a LabelMe file of these shapes below the folder of annotations."""

    def make(name: str, *shapes: dict[str, Any], **more: Any) -> Path:
        path = tmp_path / "annotations" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {"shapes": list(shapes), "imageHeight": HEIGHT, "imageWidth": WIDTH, **more}
        path.write_text(json.dumps(content))
        return path

    return make
