"""Work that is stopped in the middle of each of its stages and taken up again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import TypeVar

from flawscope.errors import Stopped
from flawscope.nn.watch import Watch

Result = TypeVar("Result")


@dataclass
class _Stops:
    """Progress that asks once in every stage to stop, when half of it is done."""

    stop: Event = field(default_factory=Event)
    titles: list[str] = field(default_factory=list)  # of the stages in which it asked

    @contextmanager
    def stage(self, title: str, total: int) -> Iterator[_Stage]:
        yield _Stage(self, title, max(total // 2, 1))


@dataclass
class _Stage:
    owner: _Stops
    title: str
    left: int

    def advance(self, steps: int = 1) -> None:
        self.left -= steps
        if steps and self.left <= 0 and self.title not in self.owner.titles:
            self.owner.titles.append(self.title)
            self.owner.stop.set()


def stopped_in_every_stage(work: Callable[[Watch], Result]) -> tuple[Result, list[str]]:
    """What `work`, which keeps checkpoints, gives when it is stopped once in each stage and begun again.

    Also returned are the titles of the stages after which it was begun again.
    """
    stops, broken = _Stops(), list[str]()
    watch = Watch(stops, stops.stop)
    while True:
        stops.stop.clear()
        before = len(stops.titles)
        try:
            return work(watch), broken
        except Stopped:
            if len(stops.titles) == before:
                raise AssertionError("work stops though nobody asks it to") from None
            broken += stops.titles[before:]
