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
