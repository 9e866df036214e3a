"""What calibration scores say about another score: how many parts score as high, and where few enough do."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flawscope.errors import CalibrationError, InputError

Scores = tuple[float, ...]

_SLACK = 1e-9  # of sums of shares


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the calibration pictures say about a score.

    Attributes:
        scores: (N,) in rising order.
        count: G, the parts that they stand for.
        weights: (N,) of each score and all above it, in parts; empty where each score is a part.
    """

    scores: Scores
    count: int
    weights: Scores = ()

    def at_or_above(self, score: float) -> float:
        """How many parts score that high; of a part with several pictures, the share of them that does."""
        place = bisect_left(self.scores, score)
        if not self.weights:
            return len(self.scores) - place
        return self.weights[place] if place < len(self.weights) else 0.0

    def threshold(self, most: float) -> float:
        """The lowest score above which lie at most so many parts (0 or more)."""
        if not self.weights:
            return self.scores[-1 - min(int(most + _SLACK), len(self.scores) - 1)]
        values = sorted(set(self.scores))
        heavy = bisect_left(values, True, key=lambda value: self.at_or_above(value) <= most + _SLACK)
        return values[max(heavy - 1, 0)]


def one_each(scores: Sequence[float]) -> Evidence:
    """Pictures of which each is a part of its own; `scores` (N,) rise."""
    return Evidence(tuple(scores), len(scores))


def check_scores(scores: Any) -> NDArray[np.float64]:
    """Calibration scores (N,) as an array, in their order.

    Raises:
        CalibrationError: none, one that is not finite, or no plain list.
    """
    try:
        values = np.asarray(scores if isinstance(scores, np.ndarray) else list(scores), np.float64)
    except (TypeError, ValueError):
        values = np.array([math.nan])
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise CalibrationError(
            "calibration scores",
            expected="one finite number per good picture, at least one",
            got="none" if not values.size else "a value that is not finite, or no plain list of numbers",
            fix="Check the calibration pictures and the model that scored them.",
        )
    return values


def check_score(score: float) -> float:
    """The score itself.

    Raises:
        InputError: it is not finite.
    """
    if not math.isfinite(score):
        raise InputError(
            "score",
            expected="a finite number",
            got=f"{score}",
            fix="Check the picture and the model that scored it.",
        )
    return score
