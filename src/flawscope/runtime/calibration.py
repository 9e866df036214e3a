"""From raw scores to p-values and verdicts, with a stated bound on how many good parts are rejected.

The calibration scores are those of n good pictures that fit has never seen. A picture is rejected when its
score lies strictly above the k-th largest of them; equal scores are not rejected, so ties only make a promise
safer. Which k is allowed depends on the promise:

*With confidence*: the false-reject rate of that threshold is at most Beta(k, n - k + 1) distributed over
calibration sets (exactly so without ties), hence it exceeds alpha with probability at most
P(Binomial(n, alpha) < k). k is the largest for which this is at most delta (Wilks 1941, tolerance limits;
Vovk 2012, "Conditional validity of inductive conformal predictors", proposition 2).

*On average*: rejected is what has a conformal p-value of at most alpha, so that over calibration sets and
pictures together at most alpha of the good ones are rejected: k = floor(alpha (n + 1)) (Vovk, Gammerman and
Shafer 2005, section 2.2).

*Cross-conformal* scores come from K folds, each scored by a model that was trained on the other folds, so
that few pictures serve twice. Barber et al. (2021, "Predictive inference with the jackknife+", theorem 4)
bound the rate by 2 alpha + sqrt(2 / n) if every new picture is scored by all K models. Here one further
model, trained on all folds, scores it; no bound for any n is known then. The rate is alpha in the limit where
leaving out a fold changes no score, and usually lower, since a model that saw fewer pictures tends to score
good ones higher. So the promise is on average, and it is stated as "about".
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np
from pydantic import field_validator, model_validator

from flawscope.errors import CalibrationError, InputError
from flawscope.runtime.false_rejects import (
    ALPHA,
    DELTA,
    HIGHEST_RATE,
    Promise,
    check_promise,
    check_rates,
    normals_needed,
    order_statistic,
    parse_rate,
    percent,
    smallest_rate,
)
from flawscope.runtime.frozen import Frozen
from flawscope.runtime.prediction import Decision

__all__ = ["Calibration", "Promise", "normals_needed", "parse_rate"]

REVIEW_FACTOR = 5  # the review threshold stands where the rate is this many times alpha


class Calibration(Frozen):
    """Scores of good pictures, the promise asked for, and the thresholds that keep it.

    Attributes:
        scores: of n good pictures that fit never saw, raw; kept in rising order.
        alpha: highest false-reject rate asked for, in (0, 0.5).
        delta: for the promise with confidence, the probability in (0, 1) that it fails.
        promise: see the module's text.
        cross_conformal: the scores come from `from_folds`; the promise is on average, and "about".

    Raises:
        CalibrationError: no score, one that is not finite, too few to support any rate below one half, or
            confidence asked of cross-conformal scores.
        OptionError: `alpha`, `delta` or `promise` outside its range.

    >>> calibration = Calibration(scores=range(299))
    >>> calibration.reject_threshold, calibration.decide(298.5), calibration.p_value(298.5)
    (298.0, <Decision.REJECT: 'reject'>, 0.0033333333333333335)
    >>> calibration.with_settings(promise="on_average").reject_threshold
    296.0
    """

    scores: tuple[float, ...]
    alpha: float = ALPHA
    delta: float = DELTA
    promise: Promise = "with_confidence"
    cross_conformal: bool = False

    @field_validator("scores", mode="before")
    @classmethod
    def _finite_and_rising(cls, scores: Any) -> tuple[float, ...]:
        return _check_scores(scores)

    @field_validator("promise", mode="before")
    @classmethod
    def _known_promise(cls, promise: Any) -> Any:
        check_promise(promise)
        return promise

    @model_validator(mode="after")
    def _supported(self) -> Self:
        check_rates(self.alpha, self.delta)
        if self.cross_conformal and self.promise == "with_confidence":
            raise CalibrationError(
                "calibration",
                expected='the promise "on_average" for scores that come from folds of few pictures',
                got='"with_confidence"',
                fix="Calibrate on good pictures that training has not seen to get a confidence.",
            )
        if smallest_rate(len(self.scores), self.delta, self.promise) >= HIGHEST_RATE:
            needed = normals_needed(HIGHEST_RATE - 1e-9, self.delta, self.promise)
            raise CalibrationError(
                "calibration",
                expected=f"at least {needed} good pictures that training has not seen",
                got=f"{len(self.scores)}",
                fix=f"Add good pictures; {self.normals_needed} support {percent(self.alpha)} false rejects.",
            )
        return self

    @classmethod
    def from_folds(
        cls, folds: Sequence[Iterable[float]], *, alpha: float = ALPHA, delta: float = DELTA
    ) -> Self:
        """Merge the held-out scores of K folds, one list each, into the weaker promise that they support.

        Raises:
            CalibrationError: fewer than two folds, or as the class.
        """
        if len(folds) < 2:
            raise CalibrationError(
                "folds", expected="at least 2", got=f"{len(folds)}", fix="Split the good pictures into folds."
            )
        scores = [score for fold in folds for score in fold]
        return cls(scores=tuple(scores), alpha=alpha, delta=delta, promise="on_average", cross_conformal=True)

    @cached_property
    def alpha_kept(self) -> float:
        """The false-reject rate promised: `alpha`, or the smallest that n pictures support if higher."""
        return max(self.alpha, smallest_rate(len(self.scores), self.delta, self.promise))

    @property
    def review_rate(self) -> float:
        """The rate promised for the review threshold: five times `alpha_kept`, at most one half."""
        return min(REVIEW_FACTOR * self.alpha_kept, HIGHEST_RATE)

    @cached_property
    def rank(self) -> int:
        """k: the reject threshold is the k-th largest score."""
        return max(1, order_statistic(len(self.scores), self.alpha_kept, self.delta, self.promise))

    @property
    def expected_rate(self) -> float:
        """False-reject rate to expect of this threshold, k / (n + 1): at or below what is promised."""
        return self.rank / (len(self.scores) + 1)

    @property
    def reject_threshold(self) -> float:
        """Scores above this are rejected."""
        return self.scores[-self.rank]

    @cached_property
    def review_threshold(self) -> float:
        """Scores above this, and not above `reject_threshold`, are for review; never the higher one."""
        rank = order_statistic(len(self.scores), self.review_rate, self.delta, self.promise)
        return self.scores[-max(self.rank, rank)]

    @property
    def normals_needed(self) -> int:
        """Good pictures that the asked `alpha` needs."""
        return normals_needed(self.alpha, self.delta, self.promise)

    def p_value(self, score: float) -> float:
        """Conformal p-value in (0, 1]: (1 + calibration scores at or above `score`) / (n + 1).

        Raises:
            InputError: `score` is not finite.
        """
        count = len(self.scores)
        return (1 + count - bisect_left(self.scores, _check_score(score))) / (count + 1)

    def decide(self, score: float) -> Decision:
        """Reject above the reject threshold, review above the review threshold, accept at or below it.

        Raises:
            InputError: `score` is not finite.
        """
        if _check_score(score) > self.reject_threshold:
            return Decision.REJECT
        return Decision.REVIEW if score > self.review_threshold else Decision.ACCEPT

    def with_settings(
        self, *, alpha: float | None = None, delta: float | None = None, promise: Promise | None = None
    ) -> Self:
        """The same scores read for another promise; what is None stays. Raises as the class."""
        wished = {"alpha": alpha, "delta": delta, "promise": promise}
        return type(self)(
            **self.model_dump() | {name: value for name, value in wished.items() if value is not None}
        )

    def with_more(self, scores: Iterable[float]) -> Self:
        """Further good pictures added, which fit never saw either; folds stay marked. Raises as the class."""
        return type(self)(**self.model_dump() | {"scores": self.scores + _check_scores(scores)})

    def statement(self) -> str:
        """What is promised, on what ground, and what more good pictures would buy, in plain sentences."""
        count, kept = len(self.scores), percent(self.alpha_kept)
        if self.cross_conformal:
            promised = (
                f"About {kept} of good parts are rejected, on average. This is the weaker promise: "
                f"the {count} good pictures served both to train and to calibrate, each scored by a model "
                "that was trained without it, so the figure is an estimate and not a bound."
            )
        elif self.promise == "with_confidence":
            sure = f"{round(100 * (1 - self.delta), 6):g} %"
            promised = (
                f"At most {kept} of good parts are rejected, with {sure} confidence, "
                f"from {count} good pictures that training has not seen."
            )
        else:
            promised = (
                f"On average at most {kept} of good parts are rejected, "
                f"from {count} good pictures that training has not seen; one calibration may do worse."
            )
        return f"{promised} {self._more()}"

    def _more(self) -> str:
        if self.alpha_kept > self.alpha:
            return (
                f"Asked for were {percent(self.alpha)}, which need {self.normals_needed} good pictures: "
                f"{self.normals_needed - len(self.scores)} more."
            )
        half = self.alpha / 2
        needed = max(normals_needed(half, self.delta, self.promise), len(self.scores))
        return (
            f"The rate to expect is {percent(self.expected_rate)}. {needed} good pictures support "
            f"{percent(half)}; more than now also bring the threshold closer to the promise, "
            "so that fainter flaws are found."
        )


def _check_scores(scores: Any) -> tuple[float, ...]:
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
    return tuple(np.sort(values).tolist())


def _check_score(score: float) -> float:
    if not math.isfinite(score):
        raise InputError(
            "score",
            expected="a finite number",
            got=f"{score}",
            fix="Check the picture and the model that scored it.",
        )
    return score
