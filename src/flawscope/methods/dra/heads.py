"""DRA's heads over the backbone's feature map (section 3), and which pictures each of them learns from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flawscope.methods.supervised.devnet import deviation_loss

NORMAL, SEEN, PSEUDO = 0, 1, 2
HIDDEN = 256  # units of the normality head, in the authors' code


class PlainHead(nn.Module):
    """Scores of patches: a 1×1 convolution, as in DevNet. For seen and for pseudo anomalies."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.score = nn.Conv2d(channels, 1, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Map features (N, C, h, w) to patch scores (N, h, w)."""
        scores: Tensor = self.score(maps)
        return scores.squeeze(1)


class ResidualHead(nn.Module):
    """Scores of patches by what the features lack of, or have over, those of good pictures."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU()
        )
        self.plain = PlainHead(channels)

    def forward(self, maps: Tensor, reference: Tensor) -> Tensor:
        """Map features (N, C, h, w) and the good pictures' mean (1, C, h, w) to patch scores (N, h, w)."""
        scores: Tensor = self.plain(self.mix(reference - maps))
        return scores


class NormalityHead(nn.Module):
    """How normal the picture is as a whole: two layers over the pooled features."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.hidden, self.score = nn.Linear(channels, HIDDEN), nn.Linear(HIDDEN, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Map features (N, C, h, w) to scores (N,), higher is more normal."""
        pooled = maps.mean((2, 3))  # (N, C)
        scores: Tensor = self.score(F.relu(self.hidden(pooled)))
        return scores.squeeze(1)


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
