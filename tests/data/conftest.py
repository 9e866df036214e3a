"""Small trees of pictures and masks in the layouts that readers know."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Draw = Callable[..., Path]
HEIGHT, WIDTH = 24, 32


@pytest.fixture
def draw() -> Draw:
    """Save one random picture 32 wide, 24 high; `seed` alone decides its pixels."""

    def make(
        path: Path, *, seed: int = 0, height: int = HEIGHT, width: int = WIDTH, mode: str = "RGB"
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(pixels).convert(mode).save(path)
        return path

    return make


@pytest.fixture
def draw_mask() -> Draw:
    """Save a grey mask with a 4 x 5 rectangle at row 2, column 3; value 0 makes it empty."""

    def make(path: Path, *, value: int = 255, height: int = HEIGHT, width: int = WIDTH) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        mask = np.zeros((height, width), np.uint8)
        mask[2:6, 3:8] = value
        Image.fromarray(mask).save(path)
        return path

    return make


@pytest.fixture
def grow(draw: Draw) -> Callable[[Path, dict[str, int]], Path]:
    """Fill folders below a root with numbered pictures, all different: {"train/good": 3, ...}."""

    def make(root: Path, counts: dict[str, int], *, suffix: str = ".png", seed: int = 0) -> Path:
        for folder, count in counts.items():
            (root / folder).mkdir(parents=True, exist_ok=True)
            for index in range(count):
                draw(root / folder / f"{index:03d}{suffix}", seed=seed)
                seed += 1
        return root

    return make
