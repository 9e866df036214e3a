"""DRA's heads over the backbone's feature map (section 3)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

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
