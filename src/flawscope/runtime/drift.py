"""Watch a stream of inspected pictures for drift: of their scores, and of the pictures themselves.

Each quantity has a martingale of its own (`runtime.martingale`), and raises an alarm once, where its capital
first reaches 1 / its share of alpha: one half for the scores, one half for all conditions alike, each having
the same share whether or not the model knows the others. So by the union bound the chance that good,
unchanged pictures ever raise any alarm is at most alpha, whatever ties the quantities have with each other.

Scores of folds come from other models than the one in use, so that they are no reference for its scores:
those are ranked among the stream's own alone.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from flawscope.runtime.alarm import SCORES, Alarm, Moment
from flawscope.runtime.conditions import NAMES
from flawscope.runtime.false_rejects import check_rates
from flawscope.runtime.manifest import Manifest
from flawscope.runtime.martingale import OF_CONDITIONS, OF_SCORES, Array
from flawscope.runtime.record import Record
from flawscope.runtime.watched import Watched

ALPHA = 0.01
_EVERY = (SCORES, *NAMES)
_MARKS = 4096  # moments remembered before those of no use are let go


class Drift:
    """The state of a stream; `see` takes its records in order.

    An alarm is latched: its quantity raises no second one, while the others go on being watched. Another
    `Drift` starts over, with a chance of alpha of its own.

    Args:
        references: values of calibration pictures, by quantity: scores, of which there may be none, and
            conditions.
        alpha: the chance that good, unchanged pictures ever raise an alarm, in (0, 0.5).

    Raises:
        OptionError: `alpha` outside its range.
    """

    def __init__(self, references: Mapping[str, Sequence[float]], alpha: float = ALPHA) -> None:
        check_rates(alpha, 0.5)
        known = {name: references[name] for name in NAMES if name in references}
        own = alpha / 2 if known else alpha
        self._conditions = Watched(OF_CONDITIONS, known, dict.fromkeys(known, alpha / 2 / len(NAMES)))
        self._scores = Watched(OF_SCORES, {SCORES: references.get(SCORES, ())}, {SCORES: own})
        self._marks: dict[int, Moment] = {}
        self.pictures, self.alarms = 0, list[Alarm]()

    @classmethod
    def of(cls, manifest: Manifest, alpha: float = ALPHA) -> Self:
        """For pictures that this model inspects."""
        return cls(references(manifest), alpha)

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
        """The alarms that this picture raises, mostly none; one that could not be inspected is no part."""
        if record.score is None:
            return ()
        self.pictures += 1
        time = None if record.state is None else record.state[1]
        at = self._marks[self.pictures] = Moment(picture=self.pictures, path=record.path, time=time)
        draws, before = _draws(record), len(self.alarms)
        found = self._conditions.see(record.conditions, draws, self.pictures)
        found += self._scores.see({SCORES: record.score}, draws, self.pictures)
        for one in found:
            alarm = Alarm(
                about=one.name, way=one.way, since=self._marks[one.since], at=at, usual=one.usual, now=one.now
            )
            self.alarms.append(alarm.worded(self.alarms, conditions=bool(self._conditions.names)))
        self._forget()
        return tuple(self.alarms[before:])

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
            "scores": self._scores.to_json(),
            "conditions": self._conditions.to_json(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `to_json` gave of one with the same references."""
        self.pictures = int(state["pictures"])
        self._marks = {mark.picture: mark for mark in map(Moment.model_validate, state["marks"])}
        self.alarms = [Alarm.model_validate(alarm) for alarm in state["alarms"]]
        self._scores.restore(state["scores"])
        self._conditions.restore(state["conditions"])


def references(manifest: Manifest) -> dict[str, tuple[float, ...]]:
    """What pictures that this model inspects are compared with, by quantity."""
    calibration = manifest.calibration
    return {SCORES: () if calibration.cross_conformal else calibration.scores, **manifest.conditions}


def _draws(record: Record) -> dict[str, float]:
    """For each quantity a number in (0, 1) that breaks its ties, fixed by the file's name, size and time."""
    key = os.fsencode(record.path) + repr(record.state).encode()
    digest = hashlib.shake_256(key).digest(8 * len(_EVERY))
    whole = np.frombuffer(digest, "<u8") >> np.uint64(11)
    return dict(zip(_EVERY, ((whole + 0.5) / 2.0**53).tolist(), strict=True))
