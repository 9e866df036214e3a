"""Logistic regression as SegAD's final classifier: for few pictures, where a forest's steps are coarse.

Not in the paper. Each feature is measured from its mean over good pictures, in their standard deviations, and
its logarithm is taken on either side of 0: heights of maps, skewness and kurtosis have long tails.

What is learnt from known kinds of defects may weigh too little what tells others. `weights` alike takes the
detectors' scores and what stands beside them, a classifier's score or a likeness, for the same, and leaves
all else out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from flawscope.runtime.frozen import Frozen

_CONSTANT = 1e-6  # standard deviation, as a share of the mean, that is rounding alone

Features = NDArray[np.float32]


class LogisticOptions(Frozen):
    """Settings of the logistic regression."""

    strength: float = Field(
        10.0,
        gt=0,
        description="weight of the summed losses against half the sum of squared coefficients, as "
        "scikit-learn's C; good and defective pictures weigh alike",
    )
    weights: Literal["learnt", "alike"] = Field(
        "learnt",
        description="learnt from good and defective pictures; or alike, whatever the strength: the mean of "
        "the detectors' scores, the classifier's score and the likeness count 1 each, statistics 0",
    )


@dataclass(frozen=True, slots=True)
class Coefficients:
    """A fitted logistic regression over F features.

    Attributes:
        centre: (F,) mean over good pictures.
        spread: (F,) standard deviation over them.
        usual: (F,) mean over good pictures of what the logarithm makes of them.
        weight: (F,) of each feature.
        bias: margin of a picture whose features are as usual.
    """

    centre: Features
    spread: Features
    usual: Features
    weight: Features
    bias: float

    def margins(self, features: Features) -> NDArray[np.float32]:
        """Margins (N,) of features (N, F): above 0 where a defect is the likelier."""
        moved = _compressed((features - self.centre) / self.spread) - self.usual
        return (self.bias + moved @ self.weight).astype(np.float32)


def fit_logistic(features: Features, defective: NDArray[np.bool_], options: LogisticOptions) -> Coefficients:
    """The regression of truth (N,) on `features` (N, F); there is one best, whatever the seed."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - takes a second

    rows = features.astype(np.float64)
    centre, spread, moved = _measured(rows, defective)
    usual, scale = moved[~defective].mean(0), moved.std(0)
    scale = np.where(scale > 0, scale, 1.0)
    model = LogisticRegression(
        C=options.strength, class_weight="balanced", solver="newton-cholesky", max_iter=1000
    ).fit((moved - usual) / scale, defective)
    return Coefficients(
        centre=centre.astype(np.float32),
        spread=spread.astype(np.float32),
        usual=usual.astype(np.float32),
        weight=(model.coef_[0] / scale).astype(np.float32),
        bias=float(model.intercept_[0]),
    )


def join_alike(features: Features, defective: NDArray[np.bool_], weight: Features) -> Coefficients:
    """Such weights (F,) for `features` (N, F); 0 lies midway between good and defective ones in the mean."""
    rows = features.astype(np.float64)
    centre, spread, moved = _measured(rows, defective)
    usual = moved[~defective].mean(0)
    margins = (moved - usual) @ weight
    return Coefficients(
        centre=centre.astype(np.float32),
        spread=spread.astype(np.float32),
        usual=usual.astype(np.float32),
        weight=weight.astype(np.float32),
        bias=-float(margins[defective].mean() + margins[~defective].mean()) / 2,
    )


def _measured(rows: NDArray[np.float64], defective: NDArray[np.bool_]) -> tuple[NDArray[np.float64], ...]:
    """Mean and deviation (F,) of good rows (N, F), and the logarithms (N, F) of all from there."""
    good = rows[~defective]
    centre, spread = good.mean(0), good.std(0)
    spread = np.where(spread > _CONSTANT * np.abs(centre), spread, 1.0)
    return centre, spread, np.asarray(_compressed((rows - centre) / spread), np.float64)


class Logistic(nn.Module):
    """A logistic regression as tensors: margins, and what each feature adds to them."""

    centre: Tensor
    spread: Tensor
    usual: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("centre", "spread", "usual", "weight"):
            self.register_buffer(name, torch.ones(1))  # (F,)
        self.register_buffer("bias", torch.zeros(()))

    def take(self, found: Coefficients) -> None:
        """Take over a fitted regression."""
        for name in ("centre", "spread", "usual", "weight"):
            self.register_buffer(name, torch.from_numpy(getattr(found, name)))
        self.bias = torch.tensor(found.bias)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Margin (N,) and what each feature contributed to it (N, F), of features (N, F).

        A feature that is as usual over good pictures contributes 0.
        """
        unit = (features - self.centre) / self.spread
        moved = unit.sign() * (1 + unit.abs()).log()
        contributions = (moved - self.usual) * self.weight
        return self.bias + contributions.sum(1), contributions


def _compressed(unit: NDArray[np.floating]) -> NDArray[np.floating]:
    """The logarithm of one more than the size, with the sign."""
    return np.asarray(np.sign(unit) * np.log1p(np.abs(unit)))
