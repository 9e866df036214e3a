"""What students and autoencoder learn from one batch, whatever the networks: EfficientAD's four losses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Literal

import torch
from torch import Tensor

from flawscope.nn.student_teacher.losses import hard_loss, mean_square
from flawscope.nn.student_teacher.pictures import Batch

Part = Literal["local", "whole", "both"]  # which of a student's two maps: the teacher's, the autoencoder's


@dataclass(frozen=True, slots=True)
class Coefficients:
    """Of the losses in their sum (EfficientAD, equation 5.1 of the thesis); one of 0 is not computed."""

    hard: float = 1.0
    penalty: float = 1.0
    autoencoder: float = 1.0
    stae: float = 1.0


class Objective(ABC):
    """The sum of the losses for one batch: L_Hard, a penalty, L_AE and L_STAE.

    A subclass knows the networks. Maps are lists of levels, the output last, each (N, C, h, w) in float32.

    Args:
        coefficients: of the losses.
        quantile: of L_Hard.
    """

    def __init__(self, coefficients: Coefficients, quantile: float) -> None:
        self.coefficients, self.quantile = coefficients, quantile

    @abstractmethod
    def teacher(self, pixels: Tensor) -> list[Tensor]:
        """The frozen teacher's maps of pixels (N, 3, H, W) in [0, 1]."""

    @abstractmethod
    def student(self, pixels: Tensor, part: Part) -> list[Tensor]:
        """The student's maps of the same, with gradients; with `both` the whole's comes last of all."""

    @abstractmethod
    def rebuild(self, pixels: Tensor) -> Tensor:
        """The autoencoder's map (N, C, h, w) of the same, with gradients, in float32."""

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Losses by name; `total` is their weighted sum."""
        weights = self.coefficients
        both = batch.varied is None and weights.stae > 0
        target, output = self.target(batch), self.student(batch.pixels, "both" if both else "local")
        whole = output.pop() if both else None
        losses: dict[str, Tensor] = {}
        if weights.hard:
            losses["hard"] = hard_loss(target[-1], output[-1], self.quantile)
        if weights.penalty:
            losses["penalty"] = self.penalty(batch, target, output)
        losses |= self._global(batch, target[-1], whole)
        factors = asdict(weights)
        total = torch.stack([factors[name] * loss for name, loss in losses.items()]).sum()
        return {"total": total, **losses}

    def target(self, batch: Batch) -> list[Tensor]:
        """The teacher's maps of a batch's `pixels`, for whoever has them already."""
        return self.teacher(batch.pixels)

    def penalty(self, batch: Batch, target: list[Tensor], output: list[Tensor]) -> Tensor:
        """L_OOD: the student's mean squared output on natural pictures; the others are L_Hard's."""
        del target, output
        if batch.natural is None:
            raise RuntimeError("L_OOD without natural pictures")  # fit checks this
        return self.student(batch.natural, "local")[-1].square().mean()

    def _global(self, batch: Batch, target: Tensor, output: Tensor | None) -> dict[str, Tensor]:
        """L_AE and L_STAE (equations 4.3, 4.4), on the pictures of varied appearance where there are such."""
        weights = self.coefficients
        if not (weights.autoencoder or weights.stae):
            return {}
        if batch.varied is not None:
            target = self.teacher(batch.varied)[-1]
            output = self.student(batch.varied, "whole")[-1] if weights.stae else None
        rebuilt = self.rebuild(batch.pixels if batch.varied is None else batch.varied)
        losses = {}
        if weights.autoencoder:
            losses["autoencoder"] = mean_square(rebuilt, target)
        if output is not None:
            losses["stae"] = mean_square(rebuilt, output)
        return losses
