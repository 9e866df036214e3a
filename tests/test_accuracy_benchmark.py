"""`evaluate` and the benchmark of accuracy give the same figures of place, those counted by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from brightness_model import SIDE, save_model
from flawscope.data.layouts import read_dataset
from flawscope.data.pictures import PictureFiles
from flawscope.runtime.images import Frame
from flawscope.runtime.inspector import Inspector
from flawscope.station.evaluate import evaluate


@pytest.fixture
def accuracy(load: Callable[[str], ModuleType]) -> ModuleType:
    pytest.importorskip("torch")
    return load("accuracy")


def picture(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def product(root: Path, *, without_area: bool = False) -> Path:
    """A good picture, 512×512 at 100, and a defective one, 640×640 at 120 and, in its flaw, 110."""
    picture(root / "train/good/0.png", np.full((SIDE, SIDE), 90, np.uint8))
    picture(root / "test/good/0.png", np.full((512, 512), 100, np.uint8))
    large = np.full((640, 640), 120, np.uint8)
    large[320:] = 110
    picture(root / "test/bent/0.png", large)
    picture(root / "ground_truth/bent/0_mask.png", np.where(large == 110, 255, 0).astype(np.uint8))
    if without_area:
        picture(root / "test/bent/1.png", np.full((SIDE, SIDE), 200, np.uint8))
        picture(root / "ground_truth/bent/1_mask.png", np.zeros((SIDE, SIDE), np.uint8))
    return root


@pytest.mark.parametrize("without_area", [False, True])
def test_every_pixel_counts_once_wherever_it_is_measured(
    accuracy: Any, tmp_path: Path, *, without_area: bool
) -> None:
    dataset = read_dataset(product(tmp_path / "product", without_area=without_area))
    bundle = save_model(tmp_path / "model")
    inspector = Inspector.load(bundle.folder, threads=1)
    told = evaluate(inspector, dataset).localisation
    test = dataset.select(split="test")
    frame = Frame(SIDE, SIDE)
    maps = np.stack([answer["heatmap"] for answer in inspector.pipeline.score(PictureFiles(test, frame))])
    found = accuracy.localised(test, maps, frame)
    assert (found["pixel_auroc"], found["aupro_0.3"]) == (told["pixel_auroc"], told["aupro_30"])
    # The flaw stands above the good picture and below the 320 · 640 normal pixels of its own.
    assert found["pixel_auroc"] == pytest.approx(512**2 / (512**2 + 320 * 640), abs=1e-9)
