"""The pictures of `multiscale_patch_curves.py`: parts of a product, on screw with levelled light."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from accuracy import FOLDERS
from numpy.typing import NDArray

from flawscope.data.layouts import read_dataset
from flawscope.data.pictures import PictureFiles
from flawscope.data.samples import Sample
from flawscope.runtime.images import Frame

LEVELLED = ("screw",)


class Levelled(PictureFiles):
    """Pictures whose medians are brought to one level; None leaves them as they are."""

    def __init__(self, samples: Sequence[Sample], frame: Frame, level: float | None) -> None:
        super().__init__(samples, frame)
        self.level = level

    def batches(self, size: int) -> Iterator[NDArray[np.float32]]:
        """See `Pictures.batches`."""
        for batch in super().batches(size):
            if self.level is None:
                yield batch
            else:
                medians = np.median(batch, axis=(1, 2, 3), keepdims=True)
                yield (batch + self.level - medians).clip(0, 1)


class Product:
    """A product's training pictures, and the ones on which curves are measured."""

    def __init__(self, given: argparse.Namespace, name: str, frame: Frame) -> None:
        dataset = read_dataset(given.data / FOLDERS[name])
        draws = np.random.default_rng(given.seed)
        training = _some(dataset.select(split="train", defective=False), given.training, draws)
        good = _some(dataset.select(split="test", defective=False), given.good, draws)
        defective = _some(dataset.select(split="test", defective=True), given.defective, draws)
        level = None
        if name in LEVELLED:
            level = float(np.median([np.median(pixels) for pixels in PictureFiles(training, frame)]))
        self.training = Levelled(training, frame, level)
        self.bank = Levelled(training[: given.bank], frame, level)
        self.held_out = Levelled(good, frame, level)
        self.test = Levelled((*good, *defective), frame, level)
        self.level = level

    def about(self) -> dict[str, Any]:
        """How many pictures of each kind."""
        return {
            "training_pictures": len(self.training),
            "bank_pictures": len(self.bank),
            "test_good": len(self.held_out),
            "test_defective": len(self.test) - len(self.held_out),
            "level": self.level,
        }


def _some(samples: Sequence[Sample], count: int, draws: np.random.Generator) -> tuple[Sample, ...]:
    chosen = sorted(draws.permutation(len(samples))[:count].tolist())
    return tuple(samples[index] for index in chosen)
