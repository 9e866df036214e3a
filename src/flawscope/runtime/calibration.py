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

*Pictures of one part count once* where their scores come with groups: n is then the number of parts, and
`flawscope.runtime.groups` says what is promised of a part's picture, or of the part, and why.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Self

import numpy as np
from pydantic import SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from flawscope.errors import CalibrationError
from flawscope.runtime.evidence import Evidence, check_score, check_scores, one_each
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
from flawscope.runtime.groups import Judge, check_groups, check_judge, drawn, highest, shared
from flawscope.runtime.prediction import Decision
from flawscope.runtime.statement import ground, statement, units

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
        groups: for each score the number of the part that its picture shows; empty: each shows another.
        judge: whether the promise is on pictures or on parts; see `flawscope.runtime.groups`.
        grouped_by: where the groups come from, as `--groups` takes it, or `layout`.

    Raises:
        CalibrationError: no score, one that is not finite, too few to support any rate below one half,
            confidence asked of cross-conformal scores, groups that do not fit, or parts without groups.
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
    groups: tuple[int, ...] = ()
    judge: Judge = "picture"
    grouped_by: str = ""

    @model_validator(mode="before")
    @classmethod
    def _finite_and_rising(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or "scores" not in values:
            return values
        scores, groups = check_scores(values["scores"]), values.get("groups", ())
        if not len(groups):
            return {**values, "scores": tuple(np.sort(scores).tolist())}
        numbers = check_groups(groups, len(scores))
        order = np.lexsort((numbers, scores))
        rising = {"scores": tuple(scores[order].tolist()), "groups": tuple(numbers[order].tolist())}
        return {**values, **rising}

    @field_validator("promise", mode="before")
    @classmethod
    def _known_promise(cls, promise: Any) -> Any:
        check_promise(promise)
        return promise

    @field_validator("judge", mode="before")
    @classmethod
    def _known_judge(cls, judge: Any) -> Any:
        check_judge(judge)
        return judge

    @model_serializer(mode="wrap")
    def _groups_where_there_are_any(self, values: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = values(self)
        grouping = () if self.groups else ("groups", "judge", "grouped_by")
        return {name: value for name, value in written.items() if name not in grouping}

    @model_validator(mode="after")
    def _supported(self) -> Self:
        check_rates(self.alpha, self.delta)
        if self.judge == "part" and not self.groups:
            raise CalibrationError(
                "judge",
                expected="groups of pictures, each of one part, for a promise on parts",
                got="pictures that count each by itself",
                fix="Say which pictures show one part (--groups), or leave it out.",
            )
        if self.cross_conformal and self.promise == "with_confidence":
            raise CalibrationError(
                "calibration",
                expected='the promise "on_average" for scores that come from folds of few pictures',
                got='"with_confidence"',
                fix="Calibrate on good pictures that training has not seen to get a confidence.",
            )
        if smallest_rate(self.count, self.delta, self.promise) >= HIGHEST_RATE:
            needed = normals_needed(HIGHEST_RATE - 1e-9, self.delta, self.promise)
            raise CalibrationError(
                "calibration",
                expected=f"at least {needed} {units(self)} that training has not seen",
                got=ground(self) if self.groups else f"{self.count}",
                fix=f"Add {units(self)}; {self.normals_needed} support {percent(self.alpha)} false rejects.",
            )
        return self

    @classmethod
    def from_folds(
        cls,
        folds: Sequence[Iterable[float]],
        groups: Sequence[Sequence[int]] = (),
        *,
        alpha: float = ALPHA,
        delta: float = DELTA,
        **grouping: Any,
    ) -> Self:
        """Merge the held-out scores of K folds, one list each, into the weaker promise that they support.

        Args:
            groups: likewise the numbers of their parts, each part in one fold; empty: each picture is one.
            grouping: `judge` and `grouped_by`.

        Raises:
            CalibrationError: fewer than two folds, a part in several, or as the class.
        """
        if len(folds) < 2:
            raise CalibrationError(
                "folds", expected="at least 2", got=f"{len(folds)}", fix="Split the good pictures into folds."
            )
        scores, numbers = ([value for fold in lists for value in fold] for lists in (folds, groups))
        if sum(len(set(fold)) for fold in groups) > len(set(numbers)):
            raise CalibrationError(
                "folds",
                expected="all pictures of a part in one fold",
                got="a part whose pictures lie in several, so that its model has seen it",
                fix="Divide parts into folds, not pictures.",
            )
        grouping |= {"groups": tuple(numbers), "promise": "on_average", "cross_conformal": True}
        return cls(scores=tuple(scores), alpha=alpha, delta=delta, **grouping)

    @cached_property
    def count(self) -> int:
        """n, what the promise counts: parts, or pictures where each counts by itself."""
        return len(set(self.groups)) if self.groups else len(self.scores)

    @cached_property
    def _all(self) -> Evidence:
        """What p-values are read from."""
        if not self.groups:
            return one_each(self.scores)
        return (highest if self.judge == "part" else shared)(self.scores, self.groups)

    @cached_property
    def _counted(self) -> Evidence:
        """What thresholds are read from: with confidence, one picture of each part."""
        if self.groups and self.judge == "picture" and self.promise == "with_confidence":
            return drawn(self.scores, self.groups)
        return self._all

    @cached_property
    def alpha_kept(self) -> float:
        """The false-reject rate promised: `alpha`, or the smallest that n pictures support if higher."""
        return max(self.alpha, smallest_rate(self.count, self.delta, self.promise))

    @property
    def review_rate(self) -> float:
        """The rate promised for the review threshold: five times `alpha_kept`, at most one half."""
        return min(REVIEW_FACTOR * self.alpha_kept, HIGHEST_RATE)

    @cached_property
    def rank(self) -> int:
        """k: the reject threshold is the k-th largest score that counts."""
        return max(1, order_statistic(self.count, self.alpha_kept, self.delta, self.promise))

    @property
    def expected_rate(self) -> float:
        """False-reject rate to expect of this threshold, k / (n + 1), at most that where parts share it."""
        above: float = self.rank - 1
        if self._counted.weights:
            above = self._counted.at_or_above(math.nextafter(self.reject_threshold, math.inf))
        return (1 + above) / (self.count + 1)

    @cached_property
    def reject_threshold(self) -> float:
        """Scores above this are rejected."""
        return self._threshold(self.alpha_kept, self.rank)

    @cached_property
    def review_threshold(self) -> float:
        """Scores above this, and not above `reject_threshold`, are for review; never the higher one."""
        rank = order_statistic(self.count, self.review_rate, self.delta, self.promise)
        return self._threshold(self.review_rate, max(self.rank, rank))

    def _threshold(self, rate: float, rank: int) -> float:
        """Above which rejecting keeps the rate: fewer than `rank` parts, or as much in shares."""
        shares = rate * (self.count + 1) - 1
        return self._counted.threshold(shares if self._counted.weights else rank - 1)

    @property
    def normals_needed(self) -> int:
        """Good pictures that the asked `alpha` needs; with groups, parts."""
        return normals_needed(self.alpha, self.delta, self.promise)

    def p_value(self, score: float) -> float:
        """Conformal p-value in (0, 1]: (1 + calibration scores at or above `score`) / (n + 1); see `judge`.

        Raises:
            InputError: `score` is not finite.
        """
        return (1 + self._all.at_or_above(check_score(score))) / (self.count + 1)

    def decide(self, score: float) -> Decision:
        """Reject above the reject threshold, review above the review threshold, accept at or below it.

        Raises:
            InputError: `score` is not finite.
        """
        if check_score(score) > self.reject_threshold:
            return Decision.REJECT
        return Decision.REVIEW if score > self.review_threshold else Decision.ACCEPT

    def with_settings(
        self,
        *,
        alpha: float | None = None,
        delta: float | None = None,
        promise: Promise | None = None,
        judge: Judge | None = None,
    ) -> Self:
        """The same scores read for another promise; what is None stays. Raises as the class."""
        wished = {"alpha": alpha, "delta": delta, "promise": promise, "judge": judge}
        return type(self)(
            **self.model_dump() | {name: value for name, value in wished.items() if value is not None}
        )

    def with_more(self, scores: Iterable[float], groups: Sequence[int] = ()) -> Self:
        """Further good pictures added, which fit never saw either; folds stay marked. Raises as the class.

        `groups` are numbers of further parts, counted from 0; empty: each picture shows another.
        """
        more = check_scores(scores).tolist()
        changed: dict[str, Any] = {"scores": (*self.scores, *more)}
        if self.groups or len(groups):
            own = self.groups or tuple(range(len(self.scores)))
            first = max(own) + 1
            others = groups if len(groups) else range(len(more))
            changed["groups"] = (*own, *(first + number for number in others))
        return type(self)(**self.model_dump() | changed)

    def statement(self) -> str:
        """What is promised, on what ground, and what more good pictures would buy, in plain sentences."""
        return statement(self)
