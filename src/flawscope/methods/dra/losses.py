"""Which pictures each of DRA's heads learns from, and the sum of their deviation losses."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from flawscope.methods.supervised.deviation import deviation_loss

NORMAL, SEEN, PSEUDO = 0, 1, 2


@dataclass(frozen=True, slots=True)
class HeadScores:
    """Picture scores (N,) of the heads."""

    seen: Tensor
    pseudo: Tensor
    residual: Tensor
    normality: Tensor

    def anomaly(self) -> Tensor:
        """The score (N,): the anomaly heads' sum less the normality."""
        return self.seen + self.pseudo + self.residual - self.normality


def head_losses(scores: HeadScores, kinds: Tensor, prior: Tensor, margin: float) -> dict[str, Tensor]:
    """Deviation losses by head, and their sum `total`.

    The seen head learns from good and defective pictures, the pseudo head from good and pseudo anomalous
    ones, the residual head from all, the normality head from all with good ones as those that deviate.

    Args:
        scores: of N pictures.
        kinds: (N,) NORMAL, SEEN or PSEUDO.
        prior: (M,) reference scores.
        margin: of the deviation loss.
    """

    def loss(values: Tensor, deviating: Tensor, among: Tensor) -> Tensor:
        return deviation_loss(values[among].float(), deviating[among], prior, margin)

    anomalous, everywhere = kinds != NORMAL, torch.ones_like(kinds, dtype=torch.bool)
    losses = {
        "seen": loss(scores.seen, anomalous, kinds != PSEUDO),
        "pseudo": loss(scores.pseudo, anomalous, kinds != SEEN),
        "residual": loss(scores.residual, anomalous, everywhere),
        "normality": loss(scores.normality, ~anomalous, everywhere),
    }
    return {"total": torch.stack(list(losses.values())).sum(), **losses}
