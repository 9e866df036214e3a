"""What EfficientAD trains on: pictures in a seeded order, changed in appearance, with synthetic defects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flawscope.data.ground import foreground, on_plain_ground
from flawscope.data.pictures import Pictures
from flawscope.data.samples import spread
from flawscope.data.synthetic.appearance import APPEARANCES
from flawscope.data.synthetic.noise import SIDES, SyntheticDefects
from flawscope.methods.efficientad.crops import Crops
from flawscope.methods.efficientad.options import EfficientADOptions
from flawscope.nn.backbones.pdn import STRIDE, pdn_cells
from flawscope.nn.run import Run
from flawscope.nn.training.reading import KeptPictures, turn
from flawscope.runtime.images import LUMA, Frame

_ORDER, _CHANGE, _NATURAL = 101, 102, 103
_LOOKED_AT = 32  # pictures, to tell whether the product lies on plain ground
_GREY_SHARE = 0.3  # of natural pictures shown in grey (EfficientAD, appendix A)


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's pictures.

    Attributes:
        pixels: (N, 3, H, W) in [0, 1], without synthetic defects.
        defects: (N, H, W) bool, where they are in the pictures with them; None where no picture has any.
        crops: (D, 3, h, w), the parts of the pictures with them that their cells see; None as above.
        crop_defects: (D, h, w) bool, where they are in the crops, each pixel in one of them; None as above.
        varied: (N, 3, H, W), the pictures in EfficientAD's appearance for L_AE and L_STAE; None: `pixels`.
        natural: (N, 3, H, W) natural pictures; None without L_OOD.
    """

    pixels: Tensor
    defects: Tensor | None = None
    crops: Tensor | None = None
    crop_defects: Tensor | None = None
    varied: Tensor | None = None
    natural: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """The batch on the device, its pictures in channels-last order."""

        def moved(pixels: Tensor) -> Tensor:
            return pixels.to(device, non_blocking=True).contiguous(memory_format=torch.channels_last)

        return Batch(
            pixels=moved(self.pixels),
            defects=None if self.defects is None else self.defects.to(device),
            crops=None if self.crops is None else moved(self.crops),
            crop_defects=None if self.crop_defects is None else self.crop_defects.to(device),
            varied=None if self.varied is None else moved(self.varied),
            natural=None if self.natural is None else moved(self.natural),
        )


@dataclass(frozen=True, slots=True)
class _Example:
    """One picture of a batch, as `Batch` has it, and the same with defects."""

    pixels: NDArray[np.float32]
    defective: NDArray[np.float32]
    defects: NDArray[np.bool_]
    varied: NDArray[np.float32] | None


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
        sides = SIDES[options.defect_sides]
        self.defects = SyntheticDefects(
            probability=options.defect_probability if options.penalty == "cdo" else 0.0,
            sides=sides,
            skip_background=self._skips_background(),
            smallest=STRIDE,
        )
        where = pdn_cells(options.pdn, padding=options.padding)[-1]
        self.crops = Crops(options.size, where, sides.longest(options.size, STRIDE))
        self._foregrounds: dict[int, NDArray[np.bool_]] = {}

    def batch(self, number: int) -> Batch:
        """The pictures of step `number`."""
        size = self.options.batch
        made = [self._example(place) for place in range(number * size, (number + 1) * size)]
        natural = [self._natural(place) for place in range(number * size, (number + 1) * size)]
        crops = [self.crops(each.defective, each.defects) for each in made]
        pieces = [piece for pictures, _ in crops for piece in pictures]
        varied = [each.varied for each in made if each.varied is not None]
        return Batch(
            pixels=_stack([each.pixels for each in made]),
            defects=_masks([each.defects for each in made]) if pieces else None,
            crops=_stack(pieces) if pieces else None,
            crop_defects=_masks([mask for _, masks in crops for mask in masks]) if pieces else None,
            varied=_stack(varied) if varied else None,
            natural=_stack([pixels for pixels in natural if pixels is not None]) if self.natural else None,
        )

    def _example(self, place: int) -> _Example:
        random = np.random.default_rng((self.run.seed, _CHANGE, place))
        index = turn(place, len(self.pictures), self.run.seed, _ORDER)
        clean = self.pictures[index]
        varied = None
        if self.options.appearance == "efficientad":
            varied = self.appearance(clean, random)
        else:
            clean = self.appearance(clean, random)
        defective, defects = self.defects(clean, random, where=self._where(index))
        return _Example(clean, defective, defects, varied)

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

    def _skips_background(self) -> bool:
        if self.options.skip_background != "auto":
            return self.options.skip_background
        places = spread(range(len(self.pictures)), _LOOKED_AT)
        return self.options.penalty == "cdo" and on_plain_ground(self.pictures[place] for place in places)

    def _where(self, index: int) -> NDArray[np.bool_] | None:
        if not self.defects.skip_background:
            return None
        if index not in self._foregrounds:
            self._foregrounds[index] = foreground(self.pictures[index])
        return self._foregrounds[index]


def _stack(pictures: list[NDArray[np.float32]]) -> Tensor:
    return torch.from_numpy(np.stack(pictures))  # (N, 3, H, W)


def _masks(masks: list[NDArray[np.bool_]]) -> Tensor:
    return torch.from_numpy(np.stack(masks))  # (N, H, W)
