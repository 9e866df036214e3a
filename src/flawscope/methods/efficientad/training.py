"""EfficientAD's losses for one batch, with its patch description networks (equation 5.1)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from flawscope.methods.efficientad.options import EfficientADOptions
from flawscope.methods.efficientad.pictures import Batch
from flawscope.nn.run import Run
from flawscope.nn.student_teacher import objective, pictures
from flawscope.nn.student_teacher.losses import cdo_loss, discrepancy
from flawscope.nn.student_teacher.networks import ALL, Networks, at_centres, taps, touched
from flawscope.nn.student_teacher.objective import Coefficients, Part

Taps = Callable[[nn.Sequential, Tensor, int, slice], list[Tensor]]


class Objective(objective.Objective):
    """The sum of the four losses for one batch, at the run's precision.

    L_Hard, L_AE and L_STAE see pictures without synthetic defects, L_CDO alone those with them: the three
    components of the thesis's chapter 4.
    """

    def __init__(
        self, networks: Networks, options: EfficientADOptions, normalise: Callable[[Tensor], Tensor], run: Run
    ) -> None:
        super().__init__(
            Coefficients(
                hard=options.hard_weight,
                penalty=0.0 if options.penalty == "none" else options.penalty_weight,
                autoencoder=options.autoencoder_weight,
                stae=options.stae_weight,
            ),
            options.hard_quantile,
        )
        self.networks, self.options, self.normalise, self.run = networks, options, normalise, run
        self.depth = len(options.hierarchy)
        # the student's first half of channels imitates the teacher, its second the autoencoder
        self.channels: dict[Part, slice] = {
            "local": slice(options.channels),
            "whole": slice(options.channels, None),
            "both": ALL,
        }
        self.taps: Taps = torch.compile(taps) if options.compile else taps
        self.autoencoder = torch.compile(networks.autoencoder) if options.compile else networks.autoencoder

    def teacher(self, pixels: Tensor, read: Taps | None = None) -> list[Tensor]:
        """See the base's: the last convolutions' maps, as many as the hierarchy has levels."""
        with torch.no_grad(), self.run.autocast():
            found = (read or self.taps)(self.networks.teacher, self.normalise(pixels), self.depth, ALL)
        return [level.float() for level in found]

    def student(self, pixels: Tensor, part: Part, read: Taps | None = None) -> list[Tensor]:
        """See the base's."""
        with self.run.autocast():
            seen = self.normalise(pixels)
            found = (read or self.taps)(self.networks.student, seen, self.depth, self.channels[part])
        found[-1:] = torch.split(found[-1], self.options.channels, 1)
        return [level.float() for level in found]

    def rebuild(self, pixels: Tensor) -> Tensor:
        """See the base's."""
        with self.run.autocast():
            rebuilt: Tensor = self.autoencoder(self.normalise(pixels))
        return rebuilt.float()

    def penalty(self, batch: pictures.Batch, target: list[Tensor], output: list[Tensor]) -> Tensor:
        """L_CDO or L_OOD, as the options say."""
        if self.options.penalty == "cdo" and isinstance(batch, Batch):
            return self._cdo(batch, target, output)
        return super().penalty(batch, target, output)

    def _cdo(self, batch: Batch, target: list[Tensor], output: list[Tensor]) -> Tensor:
        """L_CDO of the pictures with defects, over the levels of equation 4.11 weighted by their α_h.

        A cell is a defect where its centre lies in one, and normal where it sees none of any; between the two
        it counts as neither. Of a normal cell both networks say what they say of it in the picture without
        defects (`target` and `output`), so that only the defects need a pass of their own, over their crops.
        """
        normal = _discrepancies(target, output)
        defective = [distances.new_empty(0) for distances in normal]
        if batch.defects is not None and batch.crops is not None and batch.crop_defects is not None:
            places = self.networks.cells[-self.depth :]
            # not compiled: that would be done again for each number of crops
            cropped = _discrepancies(
                self.teacher(batch.crops, taps), self.student(batch.crops, "local", taps)
            )  # (D, h, w) each
            defective = [
                distances[at_centres(batch.crop_defects, where, _grid(distances))]  # (cells,)
                for where, distances in zip(places, cropped, strict=True)
            ]
            normal = [
                distances[~touched(batch.defects, where, _grid(distances))]  # (cells,)
                for where, distances in zip(places, normal, strict=True)
            ]
        losses = [
            weight * cdo_loss(near.flatten(), far, self.options.gamma)
            for weight, near, far in zip(self.options.hierarchy, normal, defective, strict=True)
        ]
        return torch.stack(losses).sum()


def _discrepancies(target: list[Tensor], output: list[Tensor]) -> list[Tensor]:
    """d of each level (N, h, w), of the student's first channels where it has more than the teacher."""
    return [
        discrepancy(teacher, student[:, : teacher.shape[1]])
        for teacher, student in zip(target, output, strict=True)
    ]


def _grid(distances: Tensor) -> tuple[int, int]:
    return distances.shape[1], distances.shape[2]
