"""How long work tells how far it is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

Item = TypeVar("Item")


class Stage(Protocol):
    """One counted stretch of work, shown as a bar with time left."""

    def advance(self, steps: int = 1) -> None:
        """Report `steps` more done."""


class Progress(Protocol):
    """Where long work reports how far it is."""

    def stage(self, title: str, total: int) -> contextlib.AbstractContextManager[Stage]:
        """Open a stage of `total` steps; it ends with the block."""


class Silent:
    """Progress that nobody watches."""

    @contextlib.contextmanager
    def stage(self, title: str, total: int) -> Iterator[Silent]:
        """See `Progress.stage`."""
        del title, total
        yield self

    def advance(self, steps: int = 1) -> None:
        """See `Stage.advance`."""


def counted(items: Iterable[Item], stage: Stage) -> Iterator[Item]:
    """The items, each reported as done once the next is asked for."""
    for item in items:
        yield item
        stage.advance()
