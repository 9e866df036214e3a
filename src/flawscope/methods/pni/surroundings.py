"""The network that tells a cell's feature from those around it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Surroundings(nn.Module):
    """From features to the kinds that may lie at each cell, which the cell itself does not tell.

    The first layer reads p × p cells without the one in the middle, whose weights are held at 0; the others
    read one cell each. So the same network reads whole maps, and single neighbourhoods of p × p.

    Args:
        channels: D of the features.
        classes: K.
        reach: cells to each side; p = 2 · reach + 1.
        width: of each layer.
        depth: how many layers.
        dropout: share of the values left out in training.
    """

    around: Tensor

    def __init__(
        self, channels: int, classes: int, *, reach: int, width: int, depth: int, dropout: float
    ) -> None:
        super().__init__()
        self.reach = reach
        self.first = nn.Conv2d(channels, width, 2 * reach + 1)
        around = torch.ones(2 * reach + 1, 2 * reach + 1)
        around[reach, reach] = 0
        self.register_buffer("around", around, persistent=False)  # (p, p)
        layers: list[nn.Module] = [nn.BatchNorm2d(width), nn.ReLU(), nn.Dropout(dropout)]
        for _ in range(depth - 2):
            layers += [nn.Conv2d(width, width, 1), nn.BatchNorm2d(width), nn.ReLU(), nn.Dropout(dropout)]
        self.rest = nn.Sequential(*layers, nn.Conv2d(width, classes, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Logits (N, K, h, w) of features (N, D, h + p − 1, w + p − 1)."""
        logits: Tensor = self.rest(F.conv2d(features, self.first.weight * self.around, self.first.bias))
        return logits

    def padded(self, features: Tensor) -> Tensor:
        """Features (N, D, h, w) with zeros around, as `forward` takes them."""
        return F.pad(features, (self.reach,) * 4)
