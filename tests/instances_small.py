"""A small Mask R-CNN, and pictures of bars and dots with annotated parts to learn from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from areas import Area
from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.data.samples import Sample
from flawscope.runtime.images import Frame
from flawscope.segmenters import InstancesOptions
from flawscope.segmenters.instances.segmenter import Instances

SIDE = 64
FRAME = Frame(SIDE, SIDE)
SMALL: dict[str, Any] = {
    "preset": "cpu", "weights": "random", "backbone": "test_resnet", "width": 8, "head": 16,
    "convolutions": 1, "candidates": 30, "proposals": 20, "sampled": 16, "slots": 8, "steps": 4,
}  # fmt: skip


def small(**values: Any) -> InstancesOptions:
    return InstancesOptions.model_validate({**SMALL, **values})


def segmenter(frame: Frame = FRAME, **values: Any) -> Instances:
    return Instances(small(**values), frame)


def drawn(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A red bar upon a blue plate: picture (SIDE, SIDE, 3), and labels, 1 for the plate and 2 for the bar."""
    random = np.random.default_rng(seed)
    picture = np.full((SIDE, SIDE, 3), 120, np.uint8) + random.integers(0, 9, (SIDE, SIDE, 3), np.uint8)
    labels = np.zeros((SIDE, SIDE), np.uint8)
    top, left = random.integers(2, 14, 2)
    down, across = random.integers(4, 16, 2)
    for label, colour, place in (
        (1, (40, 60, 180), np.s_[top : top + 46, left : left + 44]),
        (2, (200, 40, 40), np.s_[top + down : top + down + 12, left + across : left + across + 20]),
    ):
        picture[place], labels[place] = colour, label
    return picture, labels


def annotated_bars(folder: Path, count: int) -> tuple[Pictures, NDArray[np.uint8]]:
    """`count` such pictures with annotated parts, and their labels (count, SIDE, SIDE)."""
    samples, maps = [], []
    for seed in range(count):
        picture, labels = drawn(seed)
        path = folder / f"{seed:03d}.png"
        Image.fromarray(picture).save(path)
        parts = (Area("plate", labels == 1, 2), Area("bar", labels == 2, 1))
        samples.append(Sample(path, "train", defective=False, parts=parts))
        maps.append(labels)
    return PictureFiles(samples, FRAME), np.stack(maps)


def without(pictures: Pictures, index: int, name: str) -> Pictures:
    """The pictures, with the parts of that name taken from one of them."""
    samples = list(pictures.samples)
    kept = tuple(part for part in samples[index].parts if part.name != name)
    samples[index] = replace(samples[index], parts=kept)
    return PictureFiles(samples, pictures.frame)
