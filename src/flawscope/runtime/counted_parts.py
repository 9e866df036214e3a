"""Pictures of one part in a stream count once: each quantity has one value of it, when the part is complete.

Pictures of one part are alike, so that their values one after the other are no exchangeable stream; parts
are. What stands for a part has the same law in calibration and stream, in whatever order its pictures come:
its highest score where the promise is on parts, else that of one of them, drawn by chance. In a stream that
is the picture whose file has the lowest sha256, and its conditions count; in calibration, which keeps scores
alone, a part's scores draw one, parts with the same scores each for itself (`runtime.groups`).

A part is complete with as many pictures as parts that calibrated have at most, or else, where some of its
pictures are missing, once pictures of `RECENT` others have come since its last. Further pictures of it are
passed over as long as it is among that many; a name that comes back later is that of another part.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np

from flawscope.runtime.alarm import SCORES, Moment
from flawscope.runtime.calibration import Calibration
from flawscope.runtime.conditions import NAMES
from flawscope.runtime.frozen import Frozen
from flawscope.runtime.group_pattern import compiled, found_in, pattern_of
from flawscope.runtime.groups import Judge, drawn, highest
from flawscope.runtime.record import Record

RECENT = 8  # parts that may be photographed in turn

_EVERY = (SCORES, *NAMES)


class Counting(Frozen):
    """How the pictures of a model that counts parts make parts.

    Attributes:
        pattern: finds a part's name in that of a picture; empty where no name tells it, as with a table: each
            picture then counts by itself, though it should not.
        judge: whether a part's highest score counts, or that of one of its pictures.
        pictures: most of one part among those that calibrated.
    """

    pattern: str
    judge: Judge
    pictures: int

    @classmethod
    def of(cls, calibration: Calibration) -> Self | None:
        """Of a model's calibration; None where it counts pictures."""
        if not calibration.groups:
            return None
        most = max(Counter(calibration.groups).values())
        return cls(pattern=pattern_of(calibration.grouped_by), judge=calibration.judge, pictures=most)

    def scores(self, scores: Sequence[float], groups: Sequence[int]) -> tuple[float, ...]:
        """One for each part of those that calibrated; `scores` (N,) rise, as those handed back."""
        if not self.pattern:
            return tuple(scores)
        return (highest if self.judge == "part" else drawn)(scores, groups).scores


@dataclass(frozen=True, slots=True)
class Counted:
    """What counts once: a picture, or a part.

    Attributes:
        first: its first picture.
        draws: for each quantity a number in (0, 1) that breaks its ties, fixed by that file's name, size and
            time.
        score, conditions: its own, the latter by name.
    """

    first: Moment
    draws: dict[str, float]
    score: float
    conditions: Mapping[str, float]


@dataclass(slots=True)
class _Part:
    """A part of which pictures have come lately; its values are let go when it has counted.

    `score` and `conditions` are of the picture that stands for it, `highest` is of all `pictures`.
    """

    name: str
    first: Moment
    draws: dict[str, float]
    score: float
    highest: float
    pictures: int = 0
    standing: str = ""
    conditions: dict[str, float] = field(default_factory=dict)
    counted: bool = False

    def take(self, record: Record) -> None:
        score = float(record.score or 0.0)
        self.pictures, self.highest = self.pictures + 1, max(score, self.highest)
        standing = record.picture or hashlib.sha256(_key(record)).hexdigest()
        if not self.standing or standing < self.standing:
            self.standing, self.score, self.conditions = standing, score, dict(record.conditions)

    def count(self, counting: Counting) -> Counted:
        score = self.highest if counting.judge == "part" else self.score
        found = Counted(self.first, self.draws, score, self.conditions)
        self.conditions, self.draws, self.counted = {}, {}, True
        return found


class CountedParts:
    """Takes a stream's records in order, and tells what counts with each.

    Args:
        counting: None, where each picture counts by itself.
    """

    def __init__(self, counting: Counting | None) -> None:
        self._counting = counting if counting is not None and counting.pattern else None
        self._pattern = None if self._counting is None else compiled(self._counting.pattern)
        self._recent = dict[str, _Part]()  # the one whose last picture is the latest comes last

    def see(self, record: Record, at: Moment) -> list[Counted]:
        """What counts now that this picture has come: mostly itself or nothing, else one part or two."""
        name = None if self._pattern is None else found_in(self._pattern, record.path)
        score = float(record.score or 0.0)
        if self._counting is None or name is None:
            return [Counted(at, _draws(record), score, record.conditions)]
        part = self._recent.pop(name, None) or _Part(name, at, _draws(record), score, score)
        self._recent[name] = part
        found = list[Counted]()
        if len(self._recent) > RECENT:
            oldest = self._recent.pop(next(iter(self._recent)))
            found += [] if oldest.counted else [oldest.count(self._counting)]
        if not part.counted:
            part.take(record)
            if part.pictures >= self._counting.pictures:
                found.append(part.count(self._counting))
        return found

    def to_json(self) -> list[dict[str, Any]]:
        """What goes on from here, as plain values."""
        parts = self._recent.values()
        return [asdict(part) | {"first": part.first.model_dump(mode="json")} for part in parts]

    def restore(self, state: Sequence[Mapping[str, Any]]) -> None:
        """Go on from what `to_json` gave."""
        self._recent = {
            part["name"]: _Part(**{**part, "first": Moment.model_validate(part["first"])}) for part in state
        }


def _key(record: Record) -> bytes:
    return os.fsencode(record.path) + repr(record.state).encode()


def _draws(record: Record) -> dict[str, float]:
    digest = hashlib.shake_256(_key(record)).digest(8 * len(_EVERY))
    whole = np.frombuffer(digest, "<u8") >> np.uint64(11)
    return dict(zip(_EVERY, ((whole + 0.5) / 2.0**53).tolist(), strict=True))
