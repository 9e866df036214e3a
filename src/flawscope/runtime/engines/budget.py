"""One budget of processor threads for all engines of a process.

Each engine has threads of its own, by default one for each usable core, so that a picture alone is answered
as fast as the machine can. Several at work at once would take the cores from each other: five models on one
station, five times over. So a call enters only while the threads of the engines at work fit the usable
cores. Calls of one engine share its threads and enter together. Who comes first enters first, so that none
waits for ever. Engines that shall work side by side are opened with fewer threads each.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flawscope.runtime.engines import usable_cores

if TYPE_CHECKING:
    from flawscope.runtime.engines import Engine


class Budget:
    """Lets engines work side by side while their threads fit `cores`; one alone always fits."""

    def __init__(self, cores: int) -> None:
        self.cores = cores
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()
        self._working: Counter[Engine] = Counter()  # calls at work in each

    @contextmanager
    def share(self, engine: Engine) -> Iterator[None]:
        """Wait for this call's turn and for room, then hold the engine's threads for as long as it lasts."""
        turn = object()
        with self._changed:
            self._queue.append(turn)
            try:
                self._changed.wait_for(lambda: self._queue[0] is turn and self._fits(engine))
                self._working[engine] += 1
            finally:
                self._queue.remove(turn)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._working[engine] -= 1
                if not self._working[engine]:
                    del self._working[engine]
                self._changed.notify_all()

    def _fits(self, engine: Engine) -> bool:
        taken = sum(working.threads for working in self._working)
        return not taken or engine in self._working or taken + engine.threads <= self.cores


BUDGET = Budget(usable_cores())
