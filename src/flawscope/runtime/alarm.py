"""What a drift alarm says: what has changed, since when, and what to look at first."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import FiniteFloat, InstanceOf

from flawscope.runtime.frozen import Frozen
from flawscope.runtime.martingale import Way

SCORES = "scores"

_CALLED = {
    "warmth": "warmth (red over blue)",
    "tint": "tint (green over red and blue)",
    "x": "the part's place across (x)",
    "y": "the part's place down (y)",
    "angle": "the part's angle",
}
_CHANGED: dict[Way, str] = {
    "risen": "has risen",
    "fallen": "has fallen",
    "scattered": "varies more than usual",
    "more": "lies beyond nearly all good ones more often",
}
_LOOK = {
    ("brightness", "fallen"): "Check the lamps, and the exposure.",
    ("brightness", "risen"): "Check the exposure, and for light from elsewhere.",
    ("contrast", "fallen"): "Look for stray light, haze or a dirty window.",
    ("contrast", "risen"): "Check exposure and lamps: shadows or highlights have become harder.",
    ("sharpness", "fallen"): "Refocus or clean the lens, and check for vibration.",
    ("sharpness", "risen"): "Check the focus, and the camera's gain: noise counts as sharp, too.",
}
_LOOK_AT = {
    "warmth": "Check the white balance and the colour of the lamps.",
    "tint": "Check the white balance and the colour of the lamps.",
    "x": "Check fixture, trigger and camera mount.",
    "y": "Check fixture, trigger and camera mount.",
    "angle": "Check fixture and camera mount.",
}
_LOOSE = "Look for what changes from picture to picture: a loose mount, a flickering lamp, mixed lots."


class Moment(Frozen):
    """A picture of the stream: its number, counted from 1, its file and that file's time in ns."""

    picture: int
    path: InstanceOf[str]
    time: int | None = None

    def told(self, beside: Moment | None = None) -> str:
        """As people say it: the time, without the day where the other moment is of the same one."""
        where = f"picture {self.picture}, {Path(self.path).name}"
        if self.time is None:
            return where
        own, other = _local(self.time), None if beside is None or beside.time is None else _local(beside.time)
        same_day = other is not None and own.date() == other.date()
        return f"{own:%H:%M} ({where})" if same_day else f"{own:%Y-%m-%d %H:%M} ({where})"


class Alarm(Frozen):
    """That a stream has departed from good, unchanged pictures.

    Attributes:
        about: `scores`, or the condition that has changed.
        way: how; `more` are pictures that score beyond nearly all good ones.
        since: the picture with which the change most likely began.
        at: the picture at which the alarm was raised.
        usual: the median of the calibration pictures and all before the alarm.
        now: the mean since it began.
        text: all of it in words, with what other alarms say of the cause.
    """

    about: str
    way: Way
    since: Moment
    at: Moment
    usual: FiniteFloat
    now: FiniteFloat
    text: InstanceOf[str] = ""

    def worded(self, others: Iterable[Alarm], *, conditions: bool) -> Alarm:
        """With its text, given alarms raised before; `conditions`: whether any is watched."""
        sentence = self._of_scores if self.about == SCORES else self._of_condition
        return self.model_copy(update={"text": sentence(list(others), conditions)})

    @property
    def called(self) -> str:
        """What it is about, in words."""
        return _CALLED.get(self.about, self.about)

    def since_when(self, now: Moment) -> str:
        """How it has changed and since when, as told at another moment."""
        return f"{_CHANGED[self.way]} since {self.since.told(now)}"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return self.model_dump(mode="json")

    def _of_condition(self, others: list[Alarm], conditions: bool) -> str:
        del conditions
        look = _LOOK.get((self.about, self.way)) or _LOOK_AT.get(self.about, "Check camera and lamps.")
        if self.way == "scattered":
            values, look = "", _LOOSE
        else:
            values = f", from {_value(self.about, self.usual)} to {_value(self.about, self.now)}"
        rose = any(alarm.about == SCORES for alarm in others)
        scores = "The scores rose with it." if rose else "The scores have raised no alarm so far."
        called = self.called[:1].upper() + self.called[1:]
        return f"{called} {self.since_when(self.at)}{values}. {look} {scores}"

    def _of_scores(self, others: list[Alarm], conditions: bool) -> str:
        since = self.since.told(self.at)
        if self.way == "more":
            claim = f"More pictures than usual score beyond nearly all good ones since {since}"
        else:
            claim = f"Scores have risen since {since}, from {self.usual:.4g} to {self.now:.4g}"
        causes = [alarm for alarm in others if alarm.about != SCORES]
        if causes:
            named = " and ".join(f"{one.called}, which {one.since_when(self.at)}" for one in causes)
            return f"{claim}, with {named}: see to that first."
        if not conditions:
            return f"{claim}. The model knows no conditions of its pictures, so the cause is not told."
        return (
            f"{claim}, and no condition of the pictures has raised an alarm so far: more defects than usual, "
            "or a change that the conditions do not show."
        )


def _value(about: str, value: float) -> str:
    if about in ("x", "y"):
        return f"{value:.1%}".replace("%", " %")
    return f"{value:.1f}°" if about == "angle" else f"{value:.3g}"


def _local(time: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(time / 1e9).astimezone()
