"""Watch a stream of inspected pictures for drift: of their scores, and of the pictures themselves.

Each quantity has a martingale of its own (`runtime.martingale`), and raises an alarm once, where its capital
first reaches 1 / its share of alpha: one half for the scores, one half for all conditions alike, each having
the same share whether or not the model knows the others. So by the union bound the chance that good,
unchanged pictures ever raise any alarm is at most alpha, whatever ties the quantities have with each other.

Scores of folds come from other models than the one in use, so that they are no reference for its scores:
those are ranked among the stream's own alone. Where a model counts parts, so does its stream
(`runtime.counted_parts`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from flawscope.runtime.alarm import SCORES, Alarm, Moment
from flawscope.runtime.conditions import NAMES
from flawscope.runtime.counted_parts import Counted, CountedParts, Counting
from flawscope.runtime.false_rejects import check_rate
from flawscope.runtime.manifest import Manifest
from flawscope.runtime.martingale import OF_CONDITIONS, OF_SCORES, Array
from flawscope.runtime.record import Record
from flawscope.runtime.watched import Watched

ALPHA = 0.01
_PARTS = "parts"
_MARKS = 4096  # moments remembered before those of no use are let go


@dataclass(frozen=True, slots=True)
class Reference:
    """What a stream's pictures are compared with.

    Attributes:
        values: of calibration pictures, by quantity: scores, of which there may be none, and conditions.
        counting: how pictures make parts, where the model counts those.
    """

    values: Mapping[str, Sequence[float]]
    counting: Counting | None = None

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """For pictures that this model inspects, a value of each part where it counts parts.

        Conditions of more pictures than parts, as models made earlier have them, are none to compare with.
        """
        own, conditions = manifest.calibration, dict[str, Sequence[float]](manifest.conditions)
        counting, scores = Counting.of(own), own.scores
        if counting is not None:
            scores = counting.scores(scores, own.groups)
        if counting is not None and counting.pattern:
            conditions = {
                name: one if len(one) <= own.count else () for name, one in manifest.conditions.items()
            }
        return cls({SCORES: () if own.cross_conformal else scores, **conditions}, counting)

    @classmethod
    def of_json(cls, values: Mapping[str, Any]) -> Self:
        """From what `to_json` gave."""
        parts = values.get(_PARTS)
        known = {name: one for name, one in values.items() if name != _PARTS}
        return cls(known, None if parts is None else Counting.model_validate(parts))

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        parts = {} if self.counting is None else {_PARTS: self.counting.model_dump(mode="json")}
        return {**self.values, **parts}


class Drift:
    """The state of a stream; `see` takes its records in order.

    An alarm is latched: its quantity raises no second one, while the others go on being watched. Another
    `Drift` starts over, with a chance of alpha of its own.

    Args:
        references: values of calibration pictures, by quantity: scores, of which there may be none, and
            conditions.
        alpha: the chance that good, unchanged pictures ever raise an alarm, in (0, 0.5).
        counting: how pictures make parts; None: each counts by itself.

    Raises:
        OptionError: `alpha` outside its range.
    """

    def __init__(
        self,
        references: Mapping[str, Sequence[float]],
        alpha: float = ALPHA,
        counting: Counting | None = None,
    ) -> None:
        check_rate(alpha, "chance of a false alarm of drift")
        known = {name: references[name] for name in NAMES if name in references}
        own = alpha / 2 if known else alpha
        self._conditions = Watched(OF_CONDITIONS, known, dict.fromkeys(known, alpha / 2 / len(NAMES)))
        self._scores = Watched(OF_SCORES, {SCORES: references.get(SCORES, ())}, {SCORES: own})
        self._marks: dict[int, Moment] = {}
        self._counting, self._parts = counting, CountedParts(counting)
        self.pictures, self.alarms = 0, list[Alarm]()

    @classmethod
    def of(cls, manifest: Manifest, alpha: float = ALPHA) -> Self:
        """For pictures that this model inspects."""
        return cls.beside(Reference.of(manifest), alpha)

    @classmethod
    def beside(cls, reference: Reference, alpha: float = ALPHA) -> Self:
        """For pictures that are compared with these."""
        return cls(reference.values, alpha, reference.counting)

    @property
    def promised(self) -> bool:
        """Whether the chance holds: not where the model counts parts, and names do not tell them."""
        return self._counting is None or bool(self._counting.pattern)

    @property
    def names(self) -> tuple[str, ...]:
        """What is watched: scores, then conditions."""
        return (SCORES, *self._conditions.names)

    @property
    def limits(self) -> Array:
        """Logarithm of the capital at which each quantity raises its alarm, in the order of `names`."""
        return np.concatenate([self._scores.limits, self._conditions.limits])

    @property
    def logs(self) -> Array:
        """Logarithm of each quantity's capital now, likewise."""
        return np.concatenate([self._scores.logs, self._conditions.logs])

    def see(self, record: Record) -> tuple[Alarm, ...]:
        """The alarms that this picture raises, mostly none; one that could not be inspected has no part."""
        if record.score is None:
            return ()
        self.pictures += 1
        time = None if record.state is None else record.state[1]
        at, before = Moment(picture=self.pictures, path=record.path, time=time), len(self.alarms)
        for counted in self._parts.see(record, at):
            self._count(counted, at)
        self._forget()
        return tuple(self.alarms[before:])

    def _count(self, one: Counted, at: Moment) -> None:
        number = one.first.picture
        self._marks[number] = one.first
        found = self._conditions.see(one.conditions, one.draws, number)
        found += self._scores.see({SCORES: one.score}, one.draws, number)
        for gone in found:
            alarm = Alarm(
                about=gone.name,
                way=gone.way,
                since=self._marks[gone.since],
                at=at,
                usual=gone.usual,
                now=gone.now,
            )
            self.alarms.append(alarm.worded(self.alarms, conditions=bool(self._conditions.names)))

    def _forget(self) -> None:
        if len(self._marks) > _MARKS:
            used = self._scores.starts | self._conditions.starts
            self._marks = {number: mark for number, mark in self._marks.items() if number in used}

    def to_json(self) -> dict[str, Any]:
        """What goes on from here, as plain values; 20 bytes for each distinct value seen."""
        return {
            "pictures": self.pictures,
            "marks": [mark.model_dump(mode="json") for mark in self._marks.values()],
            "alarms": [alarm.to_json() for alarm in self.alarms],
            "parts": self._parts.to_json(),
            "scores": self._scores.to_json(),
            "conditions": self._conditions.to_json(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `to_json` gave of one with the same references."""
        self.pictures = int(state["pictures"])
        self._marks = {mark.picture: mark for mark in map(Moment.model_validate, state["marks"])}
        self.alarms = [Alarm.model_validate(alarm) for alarm in state["alarms"]]
        self._parts.restore(state["parts"])
        self._scores.restore(state["scores"])
        self._conditions.restore(state["conditions"])
