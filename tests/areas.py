"""Rendered pictures whose parts are annotated, without files of their own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.data.samples import Sample
from flawscope.products import PRODUCTS, render
from flawscope.runtime.images import Frame

PRODUCT = "connector_block"


@dataclass(frozen=True)
class Area:
    """A part of a picture, as an array."""

    name: str
    mask: NDArray[np.bool_]
    order: int = 0
    ignore: bool = False
    crowd: bool = False

    def read(self, height: int, width: int) -> NDArray[np.bool_]:
        assert self.mask.shape == (height, width)
        return self.mask


def annotated_pictures(
    folder: Path, count: int, side: int, first: int = 0
) -> tuple[Pictures, NDArray[np.uint8]]:
    """Connector blocks with annotated parts, and their true label maps (count, side, side)."""
    names = PRODUCTS[PRODUCT].part_names
    samples, maps = [], []
    for seed in range(first, first + count):
        made = render(PRODUCT, seed=seed, size=side)
        path = folder / f"{seed:03d}.png"
        Image.fromarray(made.picture).save(path)
        parts = tuple(Area(names[label], made.parts == label, label) for label in range(1, len(names)))
        samples.append(Sample(path, "train", defective=False, parts=parts))
        maps.append(made.parts)
    return PictureFiles(samples, Frame(side, side)), np.stack(maps)
