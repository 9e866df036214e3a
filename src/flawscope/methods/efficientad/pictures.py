"""What EfficientAD trains on: pictures in a seeded order, changed in appearance, with synthetic defects."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flawscope.data.ground import foreground
from flawscope.data.pictures import Pictures
from flawscope.data.synthetic.appearance import APPEARANCES
from flawscope.data.synthetic.noise import SyntheticDefects
from flawscope.methods.efficientad.options import EfficientADOptions
from flawscope.nn.backbones.pdn import STRIDE
from flawscope.nn.run import Run
from flawscope.nn.training.reading import KeptPictures, turn
from flawscope.runtime.images import LUMA, Frame

_ORDER, _CHANGE, _NATURAL = 101, 102, 103
_GREY_SHARE = 0.3  # of natural pictures shown in grey (EfficientAD, appendix A)


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's pictures.

    Attributes:
        pixels: (N, 3, H, W) in [0, 1], with synthetic defects.
        defects: (N, H, W) bool; None where no picture has any.
        varied: (N, 3, H, W), the pictures in EfficientAD's appearance for L_AE and L_STAE; None: `pixels`.
        natural: (N, 3, H, W) natural pictures; None without L_OOD.
    """

    pixels: Tensor
    defects: Tensor | None
    varied: Tensor | None
    natural: Tensor | None

    def to(self, device: torch.device) -> Batch:
        """The batch on the device, its pictures in channels-last order."""

        def moved(pixels: Tensor) -> Tensor:
            return pixels.to(device, non_blocking=True).contiguous(memory_format=torch.channels_last)

        return replace(
            self,
            pixels=moved(self.pixels),
            defects=None if self.defects is None else self.defects.to(device),
            varied=None if self.varied is None else moved(self.varied),
            natural=None if self.natural is None else moved(self.natural),
        )


class TrainingPictures:
    """Batches by number: each depends on seed and number alone, so that a resumed training sees the same.

    Decoded pictures stay in memory as far as the run's budget goes.
    """

    def __init__(
        self, pictures: Pictures, natural: Pictures | None, options: EfficientADOptions, run: Run
    ) -> None:
        self.options, self.run = options, run
        height, width = options.size
        self.pictures = KeptPictures(pictures, run)
        # EfficientAD shows the middle of a natural picture twice as large as the input
        wanted = options.penalty == "ood" and options.penalty_weight > 0
        self.natural = natural.resized(Frame(2 * height, 2 * width)) if natural and wanted else None
        self.appearance = APPEARANCES[options.appearance]
        self.defects = SyntheticDefects(
            probability=options.defect_probability if options.penalty == "cdo" else 0.0,
            skip_background=options.skip_background,
            smallest=STRIDE,
        )
        self._foregrounds: dict[int, NDArray[np.bool_]] = {}

    def batch(self, number: int) -> Batch:
        """The pictures of step `number`."""
        size = self.options.batch
        made = [self._example(place) for place in range(number * size, (number + 1) * size)]
        natural = [self._natural(place) for place in range(number * size, (number + 1) * size)]
        masks = np.stack([mask for _, mask, _ in made])  # (N, H, W)
        varied = [second for _, _, second in made if second is not None]
        return Batch(
            pixels=_stack([first for first, _, _ in made]),
            defects=torch.from_numpy(masks) if masks.any() else None,
            varied=_stack(varied) if varied else None,
            natural=_stack([pixels for pixels in natural if pixels is not None]) if self.natural else None,
        )

    def _example(
        self, place: int
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float32] | None]:
        random = np.random.default_rng((self.run.seed, _CHANGE, place))
        index = turn(place, len(self.pictures), self.run.seed, _ORDER)
        clean = self.pictures[index]
        varied = None
        if self.options.appearance == "efficientad":
            varied = self.appearance(clean, random)
        else:
            clean = self.appearance(clean, random)
        pixels, mask = self.defects(clean, random, where=self._where(index))
        return pixels, mask, varied

    def _natural(self, place: int) -> NDArray[np.float32] | None:
        if self.natural is None:
            return None
        height, width = self.options.size
        pixels = self.natural[turn(place, len(self.natural), self.run.seed, _NATURAL)]  # (3, 2H, 2W)
        top, left = height // 2, width // 2
        pixels = pixels[:, top : top + height, left : left + width]
        if np.random.default_rng((self.run.seed, _NATURAL, place)).random() < _GREY_SHARE:
            grey = np.tensordot(np.array(LUMA, np.float32), pixels, 1)  # (H, W)
            pixels = np.broadcast_to(grey, pixels.shape)
        return np.ascontiguousarray(pixels, dtype=np.float32)

    def _where(self, index: int) -> NDArray[np.bool_] | None:
        if not self.options.skip_background:
            return None
        if index not in self._foregrounds:
            self._foregrounds[index] = foreground(self.pictures[index])
        return self._foregrounds[index]


def _stack(pictures: list[NDArray[np.float32]]) -> Tensor:
    return torch.from_numpy(np.stack(pictures))  # (N, 3, H, W)
