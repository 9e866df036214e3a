"""The five losses of CSAD's segmentation network (section 3.2, equation 3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from flawscope.runtime.frozen import Frozen

_PIXEL = 1.0  # added to both sides of Dice's fraction, so that a class without pixels has a gradient


class LossWeights(Frozen):
    """λ1 to λ5 of equation 3."""

    cross_entropy: float = Field(0.5, ge=0, description="λ1 (paper: 0.5; authors' code: 0.5)")
    dice: float = Field(10.0, ge=0, description="λ2 (paper: 10; authors' code: 1)")
    focal: float = Field(1.0, ge=0, description="λ3 (paper: 1; authors' code: 10)")
    histogram: float = Field(10.0, ge=0, description="λ4 (paper: 10; authors' code: 10)")
    entropy: float = Field(1.0, ge=0, description="λ5 (paper: 1; authors' code: 1)")

    def total(self, losses: dict[str, Tensor]) -> Tensor:
        """The weighted sum of the losses by their names."""
        return torch.stack([getattr(self, name) * loss for name, loss in losses.items()]).sum()


def supervised(logits: Tensor, labels: Tensor, gamma: float) -> dict[str, Tensor]:
    """The losses of labelled pictures by name.

    Args:
        logits: (N, C, H, W).
        labels: (N, H, W) int64.
        gamma: γ of the focal loss.
    """
    logs = F.log_softmax(logits.float(), 1)
    return {
        "cross_entropy": cross_entropy(logs, labels),
        "dice": dice(logs.exp(), labels),
        "focal": focal(logs, labels, gamma),
    }


def unsupervised(logits: Tensor, drawn: Tensor) -> dict[str, Tensor]:
    """The losses of unlabelled pictures by name.

    Args:
        logits: (N, C, H, W).
        drawn: (N, H, W) int64, labels of a labelled picture drawn at random for each of them.
    """
    logs = F.log_softmax(logits.float(), 1)
    shares = logs.exp()
    return {"histogram": histogram_matching(shares, drawn), "entropy": entropy(logs, shares)}


def cross_entropy(logs: Tensor, labels: Tensor) -> Tensor:
    """Mean of -log p of the true class.

    Args:
        logs: log-probabilities (N, C, H, W).
        labels: (N, H, W) int64.
    """
    return F.nll_loss(logs, labels, reduction="sum") / labels.numel()


def focal(logs: Tensor, labels: Tensor, gamma: float) -> Tensor:
    """Mean of -(1 - p)^γ log p of the true class (Lin et al., ICCV 2017, equation 4); as `cross_entropy`."""
    missed = -F.nll_loss(logs, labels, reduction="none")  # log p, (N, H, W)
    weighed = -missed * (1 - missed.exp()) ** gamma
    return weighed.sum() / labels.numel()


def dice(shares: Tensor, labels: Tensor) -> Tensor:
    """1 - 2 Σ p g / (Σ p² + Σ g²), averaged over classes and pictures (Milletari et al., 3DV 2016).

    Args:
        shares: probabilities (N, C, H, W).
        labels: (N, H, W) int64.
    """
    truth = _one_hot(labels, shares)
    both = (shares * truth).sum((2, 3))  # (N, C)
    each = shares.square().sum((2, 3)) + truth.sum((2, 3))
    return 1 - ((2 * both + _PIXEL) / (each + _PIXEL)).mean()


def histogram_matching(shares: Tensor, drawn: Tensor) -> Tensor:
    """Mean over the components of the difference between two class histograms (equation 2).

    Args:
        shares: probabilities (N, C, H, W); their means are the histogram, class 0 left out.
        drawn: (N, H, W) int64, labels of another picture for each.
    """
    wanted = _one_hot(drawn, shares).mean((2, 3))  # (N, C)
    found = shares.mean((2, 3))
    return (wanted - found)[:, 1:].abs().mean()


def entropy(logs: Tensor, shares: Tensor) -> Tensor:
    """Mean over all pixels of -Σ p log p, of log-probabilities and probabilities (N, C, H, W)."""
    return -(shares * logs).sum(1).mean()


def _one_hot(labels: Tensor, like: Tensor) -> Tensor:
    """Labels (N, H, W) as (N, C, H, W) of 0 and 1."""
    classes = torch.arange(like.shape[1], device=labels.device).view(1, -1, 1, 1)
    return (labels.unsqueeze(1) == classes).to(like.dtype)
