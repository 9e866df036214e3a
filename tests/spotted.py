"""Pictures with small dark spots, and a recipe that cuts them into tiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from flawscope.training.recipe import Recipe
from trained import OPTIONS, recipe, write_pictures

SIDE = 96  # of the pictures, which the model sees in tiles of 32


def tiled(folder: Path, **changes: Any) -> Recipe:
    options = {name: value for name, value in OPTIONS.items() if name != "size"}
    values = {
        "options": options,
        "tiling": "32/24",
        "split": {"calibration": 0.4},
        "calibration": {"false_rejects": 0.3},
    }
    return recipe(folder, **(values | changes))


def spotted(folder: Path, count: int, *, masks: bool = False) -> None:
    """Pictures with a dark spot of 6 pixels, each elsewhere."""
    write_pictures(folder, count, seed=1, side=SIDE)
    for index, path in enumerate(sorted(folder.glob("*.png"))):
        pixels, area = np.asarray(Image.open(path)).copy(), np.zeros((SIDE, SIDE), np.uint8)
        spot = np.s_[10 * index : 10 * index + 6, 70:76]
        pixels[spot], area[spot] = 0, 255
        Image.fromarray(pixels).save(path)
        if masks:
            Image.fromarray(area).save(path.with_name(f"{path.stem}_mask.png"))
