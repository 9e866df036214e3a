"""The losses of equations 1 to 5, each a mean over its pairs, triplets or patches.

The paper writes sums. Every loss draws the same number, so that means differ from sums by one factor for
all of them, and Adam's steps do not depend on it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_HIDDEN, _SLOPE = 128, 0.1


def svdd_loss(anchor: Tensor, nearer: Tensor) -> Tensor:
    """L_SVDD (equation 1): distance of the embeddings (n, D) of neighbours; its gradient at 0 is 0."""
    distances: Tensor = torch.linalg.vector_norm(anchor - nearer, dim=1)  # (n,)
    return distances.mean()


def cosine_loss(anchor: Tensor, nearer: Tensor, farther: Tensor) -> Tensor:
    """L_Cos (equation 2): how much more alike than the nearer patch the farther one is, embeddings (n, D)."""
    return (F.cosine_similarity(anchor, farther) - F.cosine_similarity(anchor, nearer)).mean()


def position_loss(logits: Tensor, label: Tensor) -> Tensor:
    """L_SSL (equation 3): cross-entropy of logits (n, directions) and labels (n,) int64."""
    return F.cross_entropy(logits, label)


def kmeans_loss(embeddings: Tensor, centres: Tensor) -> Tensor:
    """L_Kmeans (equation 4): distance of embeddings (n, D) to the nearest of the centres (K, D)."""
    distances = torch.cdist(embeddings, centres, compute_mode="donot_use_mm_for_euclid_dist")  # (n, K)
    return distances.amin(1).mean()


def total_loss(losses: Mapping[str, Tensor], closeness: float, kmeans_weight: float) -> Tensor:
    """L_all (equation 5) of those losses that are there: λ (L_SVDD + L_Cos) + L_SSL + κ L_Kmeans, κ = 1."""
    weights = {"svdd": closeness, "cos": closeness, "ssl": 1.0, "kmeans": kmeans_weight}
    return torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()


class PositionClassifier(nn.Module):
    """C of equation 3: where the second patch lies, from the difference of both embeddings.

    The paper does not describe it; two hidden layers of 128 on the difference are Patch SVDD's.

    Args:
        dim: D.
        directions: how many to tell apart.
    """

    def __init__(self, dim: int, directions: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(dim, _HIDDEN),
            nn.LeakyReLU(_SLOPE),
            nn.Linear(_HIDDEN, _HIDDEN),
            nn.LeakyReLU(_SLOPE),
            nn.Linear(_HIDDEN, directions),
        )

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Map embeddings (n, D) of P_m and P_n to logits (n, directions)."""
        logits: Tensor = self.layers(first - second)
        return logits
