"""Drawn pictures of discs on a plain ground, on which components are found without a network's help."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

SIDE = 64
_PLACES = ((16, 16), (46, 18), (18, 46), (46, 46))

# CSAD that finds discs, learns them in a moment, and counts
DISCS: dict[str, Any] = {
    "size": (SIDE, SIDE),
    "backbone": "test_resnet",
    "weights": "random",
    "segments": {
        "kind": "components",
        "preset": "cpu",
        "steps": 40,
        "width": 8,
        "skip": 8,
        "batch": 2,
        "labels": {"features": {"backbone": "test_resnet", "weights": "random", "rotations": 2}},
    },
    "histogram": {"gaussian": {"shrinkage": True}},
    "counts": {"stride": 2},
    "structure": None,
}


def write_discs(folder: Path, count: int, *, discs: int, seed: int = 0) -> Path:
    """Pictures of so many red discs, up to four, each a little elsewhere; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    for index in range(count):
        picture = random.normal(90, 3, (SIDE, SIDE, 3)).clip(0, 255).astype(np.uint8)
        for x, y in _PLACES[:discs]:
            centre = (x + int(random.integers(-2, 3)), y + int(random.integers(-2, 3)))
            cv2.circle(picture, centre, 7, (210, 60, 50), -1)
        Image.fromarray(picture).save(folder / f"{index:03d}.png")
    return folder
