"""Deviation learning: scores of good pictures follow a Gaussian prior, those of defects leave it upwards.

Pang, Ding, Shen, van den Hengel: Explainable Deep Few-shot Anomaly Detection with Deviation Networks,
arXiv:2108.00462. Used by DevNet and by DRA.
"""

from __future__ import annotations

import torch
from torch import Tensor

REFERENCES = 5000


def prior_scores(count: int = REFERENCES) -> Tensor:
    """Scores (count,) drawn from the prior N(0, 1) with torch's global generator, which the loop seeds."""
    return torch.randn(count)


def deviation_loss(scores: Tensor, defective: Tensor, prior: Tensor, margin: float = 5.0) -> Tensor:
    """Mean of (1 − y) |dev(s)| + y max(0, margin − dev(s)), with dev(s) = (s − μ) / σ.

    Args:
        scores: (N,) of one head.
        defective: (N,) y, 1 or True where the score must deviate.
        prior: (M,) reference scores, whose mean is μ and whose standard deviation is σ.
        margin: a, in standard deviations of the prior.
    """
    mean, spread = float(prior.mean()), float(prior.std())
    deviation = (scores - mean) / spread
    return torch.where(defective.bool(), (margin - deviation).clamp_min(0), deviation.abs()).mean()


def top_mean(maps: Tensor, share: float) -> Tensor:
    """Mean (N,) of the largest K of each map's patch scores (N, h, w), K = `share` of them, at least one.

    The top-K multiple-instance score: a picture is a bag of patches, and its few worst ones speak for it.
    """
    values = maps.flatten(1)  # (N, h * w)
    count = max(int(values.shape[1] * share), 1)
    return values.topk(count, dim=1, sorted=False).values.mean(1)
