"""Work that is stopped in the middle of each of its stages and taken up again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from types import SimpleNamespace
from typing import Any, TypeVar

from flawscope.errors import Stopped
from flawscope.nn.watch import Watch

Result = TypeVar("Result")


class _Stops:
    """Progress that asks once in every stage to stop, when half of it is done; `titles` are those stages'."""

    def __init__(self) -> None:
        self.stop, self.titles = Event(), list[str]()

    @contextmanager
    def stage(self, title: str, total: int) -> Iterator[Any]:
        left = max(total // 2, 1)

        def advance(steps: int = 1) -> None:
            nonlocal left
            left -= steps
            if steps and left <= 0 and title not in self.titles:
                self.titles.append(title)
                self.stop.set()

        yield SimpleNamespace(advance=advance)


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
