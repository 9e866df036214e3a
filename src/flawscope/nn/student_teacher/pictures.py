"""What students train on: pictures in a seeded order, changed in appearance, and natural ones beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flawscope.data.pictures import Pictures
from flawscope.data.synthetic.appearance import appearance_named
from flawscope.nn.run import Run
from flawscope.nn.training.reading import KeptPictures, turn
from flawscope.runtime.images import LUMA, Frame

_ORDER, _CHANGE, _NATURAL = 101, 102, 103
_GREY_SHARE = 0.3  # of natural pictures shown in grey (EfficientAD, appendix A)


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's pictures.

    Attributes:
        pixels: (N, 3, H, W) in [0, 1].
        indices: (N,) int64, which of the training pictures they are.
        varied: (N, 3, H, W), the pictures in EfficientAD's appearance for L_AE and L_STAE; None: `pixels`.
        natural: (N, 3, H, W) natural pictures; None without L_OOD.
    """

    pixels: Tensor
    indices: Tensor | None = None
    varied: Tensor | None = None
    natural: Tensor | None = None

    def to(self, device: torch.device) -> Self:
        """The batch on the device, its pictures in channels-last order."""
        return replace(
            self,
            pixels=moved(self.pixels, device),
            varied=None if self.varied is None else moved(self.varied, device),
            natural=None if self.natural is None else moved(self.natural, device),
        )


@dataclass(frozen=True, slots=True)
class View:
    """One picture as a step sees it: which, as it is, in another appearance, and what draws its changes."""

    index: int
    pixels: NDArray[np.float32]
    varied: NDArray[np.float32] | None
    random: np.random.Generator


class TrainingPictures:
    """Batches by number: each depends on seed and number alone, so that a resumed training sees the same.

    Decoded pictures stay in memory as far as the run's budget goes.

    Args:
        pictures: good ones.
        natural: of anything else, for L_OOD; None without.
        size: pictures a batch.
        appearance: one of `flawscope.data.synthetic.appearance.APPEARANCES`.
        apart: show the changed appearance beside the picture itself, for L_AE and L_STAE alone.
        run: seed and memory.
    """

    def __init__(
        self,
        pictures: Pictures,
        natural: Pictures | None,
        *,
        size: int,
        appearance: str,
        apart: bool,
        run: Run,
    ) -> None:
        self.pictures, self.size, self.run = KeptPictures(pictures, run), size, run
        frame = pictures.frame
        # EfficientAD shows the middle of a natural picture twice as large as the input
        self.natural = natural.resized(Frame(2 * frame.height, 2 * frame.width)) if natural else None
        self.appearance, self.apart = appearance_named(appearance), apart

    def batch(self, number: int) -> Batch:
        """The pictures of step `number`."""
        return self.shown([self.view(place) for place in self.places(number)], number)

    def shown(self, views: Sequence[View], number: int) -> Batch:
        """Views of the pictures of step `number`, and the natural ones of that step."""
        varied = [each.varied for each in views if each.varied is not None]
        natural = [self._natural(place) for place in self.places(number)] if self.natural else []
        return Batch(
            pixels=stacked([each.pixels for each in views]),
            indices=torch.tensor([each.index for each in views]),
            varied=stacked(varied) if varied else None,
            natural=stacked(natural) if natural else None,
        )

    def places(self, number: int) -> range:
        """Places in the order of all pictures that step `number` takes."""
        return range(number * self.size, (number + 1) * self.size)

    def view(self, place: int) -> View:
        """The picture at a place in the order, as a step sees it."""
        random = np.random.default_rng((self.run.seed, _CHANGE, place))
        index = turn(place, len(self.pictures), self.run.seed, _ORDER)
        clean = self.pictures[index]
        changed = self.appearance(clean, random)
        return View(index, clean if self.apart else changed, changed if self.apart else None, random)

    def _natural(self, place: int) -> NDArray[np.float32]:
        if self.natural is None:
            raise RuntimeError("no natural pictures")
        height, width = (side // 2 for side in (self.natural.frame.height, self.natural.frame.width))
        pixels = self.natural[turn(place, len(self.natural), self.run.seed, _NATURAL)]  # (3, 2H, 2W)
        top, left = height // 2, width // 2
        pixels = pixels[:, top : top + height, left : left + width]
        if np.random.default_rng((self.run.seed, _NATURAL, place)).random() < _GREY_SHARE:
            grey = np.tensordot(np.array(LUMA, np.float32), pixels, 1)  # (H, W)
            pixels = np.broadcast_to(grey, pixels.shape)
        return np.ascontiguousarray(pixels, dtype=np.float32)


def moved(pixels: Tensor, device: torch.device) -> Tensor:
    """Pictures (N, 3, H, W) on the device, in channels-last order."""
    return pixels.to(device, non_blocking=True).contiguous(memory_format=torch.channels_last)


def stacked(pictures: Sequence[NDArray[np.float32]]) -> Tensor:
    """Pictures (3, H, W) as one tensor (N, 3, H, W)."""
    return torch.from_numpy(np.stack(pictures))
