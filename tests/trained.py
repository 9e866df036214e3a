"""Small pictures and a small model of them, trained once a session: a tiny ResNet of random weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from flawscope.nn.run import Run
from flawscope.training.recipe import Recipe
from flawscope.training.train import TrainResult, train

OPTIONS = {
    "backbone": "test_resnet",
    "layers": ["layer2"],
    "weights": "random",
    "size": [64, 64],
    "coreset": 0.1,
}
# a bank of one size for any number of pictures: torch traces one graph for all such models
LIMITED = {**OPTIONS, "bank_limit": 60}


@dataclass(frozen=True, slots=True)
class Trained:
    """A model folder, the pictures it comes from and what training said."""

    folder: Path
    pictures: Path
    result: TrainResult


def write_pictures(folder: Path, count: int, *, seed: int = 0, spot: bool = False, side: int = 64) -> Path:
    """Wavy grey pictures with noise; with `spot` each has a dark square that good ones lack."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    for index in range(count):
        wave = 120 + 40 * np.sin(rows / 5 + random.uniform(0, 6)) + 30 * np.cos(columns / 7)
        picture = wave[..., None] + random.normal(0, 5, (side, side, 3))
        if spot:
            top, left = random.integers(8, side - 24, 2)
            picture[top : top + 16, left : left + 16] = 5
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(folder / f"{index:03d}.png")
    return folder


def recipe(folder: Path, **changes: Any) -> Recipe:
    """The small model's recipe, with top-level keys replaced."""
    values: dict[str, Any] = {
        "data": {"folder": str(folder)},
        "method": "patchcore",
        "preset": None,
        "options": OPTIONS,
        "calibration": {"false_rejects": 0.2},
        "engine": {"name": "onnxruntime"},
    }
    return Recipe.parse(values | changes)


def make(root: Path) -> Trained:
    """Train on 100 good pictures: 20 are set aside for tests, 14 calibrate (20 % false rejects need them)."""
    pictures = root / "product"
    write_pictures(pictures / "good", 100)
    write_pictures(pictures / "spot", 6, seed=1, spot=True)
    folder = root / "model"
    return Trained(folder, pictures, train(recipe(pictures), folder, Run()))
