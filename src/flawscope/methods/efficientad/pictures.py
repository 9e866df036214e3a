"""What EfficientAD trains on: pictures in a seeded order, changed in appearance, with synthetic defects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flawscope.data.ground import foreground, on_plain_ground
from flawscope.data.pictures import Pictures
from flawscope.data.samples import spread
from flawscope.data.synthetic.noise import SIDES, SyntheticDefects
from flawscope.methods.efficientad.crops import Crops
from flawscope.methods.efficientad.options import EfficientADOptions
from flawscope.nn.backbones.pdn import STRIDE, pdn_cells
from flawscope.nn.run import Run
from flawscope.nn.student_teacher import pictures as plain
from flawscope.nn.student_teacher.pictures import TrainingPictures, View, moved, stacked

_LOOKED_AT = 32  # pictures, to tell whether the product lies on plain ground


@dataclass(frozen=True, slots=True)
class Batch(plain.Batch):
    """One step's pictures, and the same with synthetic defects.

    Attributes:
        defects: (N, H, W) bool, where they are in the pictures with them; None where no picture has any.
        crops: (D, 3, h, w), the parts of the pictures with them that their cells see; None as above.
        crop_defects: (D, h, w) bool, where they are in the crops, each pixel in one of them; None as above.
    """

    defects: Tensor | None = None
    crops: Tensor | None = None
    crop_defects: Tensor | None = None

    def to(self, device: torch.device) -> Self:
        """See the base's."""
        return replace(
            plain.Batch.to(self, device),  # super() does not reach beyond a dataclass with slots
            defects=None if self.defects is None else self.defects.to(device),
            crops=None if self.crops is None else moved(self.crops, device),
            crop_defects=None if self.crop_defects is None else self.crop_defects.to(device),
        )


class DefectivePictures(TrainingPictures):
    """Training pictures, some of which come with synthetic defects too, as the options say."""

    def __init__(
        self, pictures: Pictures, natural: Pictures | None, options: EfficientADOptions, run: Run
    ) -> None:
        apart = options.appearance == "efficientad"
        wanted = options.penalty == "ood" and options.penalty_weight > 0
        super().__init__(
            pictures,
            natural if wanted else None,
            size=options.batch,
            appearance=options.appearance,
            apart=apart,
            run=run,
        )
        self.options = options
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
        views = [self.view(place) for place in self.places(number)]
        defective = [self._defective(view) for view in views]
        crops = [self.crops(pixels, defects) for pixels, defects in defective]
        pieces = [piece for pictures, _ in crops for piece in pictures]
        shown = self.shown(views, number)
        return Batch(
            **{field.name: getattr(shown, field.name) for field in fields(shown)},
            defects=_masks([defects for _, defects in defective]) if pieces else None,
            crops=stacked(pieces) if pieces else None,
            crop_defects=_masks([mask for _, masks in crops for mask in masks]) if pieces else None,
        )

    def _defective(self, view: View) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The picture with defects (3, H, W), and where they are (H, W)."""
        return self.defects(view.pixels, view.random, where=self._where(view.index))

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


def _masks(masks: Sequence[NDArray[np.bool_]]) -> Tensor:
    return torch.from_numpy(np.stack(masks))  # (N, H, W)
