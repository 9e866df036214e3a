"""Small pictures of one ring, good and damaged: what `check_detector` fits and scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.data.samples import GOOD, Sample
from flawscope.runtime.images import Frame

SIDE = 96


def good_rings(count: int, seed: int) -> list[NDArray[np.uint8]]:
    """A dark ring on a bright, faintly striped ground, with a little noise: (96, 96, 3) each."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    pictures = []
    for _ in range(count):
        y, x = SIDE / 2 + random.uniform(-2, 2, 2)
        radius = np.hypot(rows - y, columns - x)
        level = 170 + 10 * np.sin(columns / 6 + random.uniform(0, 0.5))
        level = np.where(abs(radius - 28) < 7, 70, level) + random.normal(0, 4, (SIDE, SIDE))
        tinted = level[..., None] * np.array([1.0, 0.95, 0.9])  # (96, 96, 3)
        pictures.append(np.clip(tinted, 0, 255).astype(np.uint8))
    return pictures


def test_rings(count: int, seed: int) -> list[NDArray[np.uint8]]:
    """Good pictures, every other one with a bright scratch or a dark hole."""
    pictures = good_rings(count, seed)
    for index in range(1, count, 2):
        _damage(pictures[index], 10 + 8 * index, bright=index % 4 == 1)
    return pictures


def damaged_rings(count: int, seed: int) -> list[NDArray[np.uint8]]:
    """Pictures with a bright scratch or, every other one, a dark hole."""
    pictures = good_rings(count, seed)
    for index, picture in enumerate(pictures):
        _damage(picture, 8 + 9 * (index % 8), bright=index % 2 == 0)
    return pictures


def _damage(picture: NDArray[np.uint8], corner: int, *, bright: bool) -> None:
    picture[corner : corner + 6, 20:70] = (250, 240, 40) if bright else (10, 10, 10)


def written(
    arrays: list[NDArray[np.uint8]], folder: Path, frame: Frame, *, defective: bool = False
) -> Pictures:
    """The pictures as files in a new folder; defective ones are of two kinds in turn."""
    folder.mkdir()
    samples = []
    for index, array in enumerate(arrays):
        path = folder / f"{index:02d}.png"
        Image.fromarray(array).save(path)
        kind = f"kind {index % 2}" if defective else GOOD
        samples.append(Sample(path, "train", defective=defective, kind=kind))
    return PictureFiles(samples, frame)
