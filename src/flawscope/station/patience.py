"""Waiting for a disk that is full, or a share that is away, where an inspection shall outlive it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from flawscope.errors import OutputError

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Patience:
    """How an inspection waits that shall not end by itself.

    Attributes:
        tell: gets a sentence when waiting begins, and when it is over.
        stopped: whether the user wants it to end.
        pause: seconds between two tries.
    """

    tell: Callable[[str], None]
    stopped: Callable[[], bool]
    pause: float = 1.0

    def __call__(self, work: Callable[[], Made], anew: Callable[[], None]) -> Made:
        """What `work` gives, tried again for as long as the system refuses; `anew` comes before each try.

        Raises:
            OutputError: for another reason, or `stopped()`.
        """
        waiting = False
        while True:
            try:
                if waiting:
                    anew()
                made = work()
            except OutputError as error:
                refused = isinstance(error.__cause__, OSError | sqlite3.OperationalError)
                if not refused or self.stopped():
                    raise
                if not waiting:
                    self.tell(f"{error} Waiting, and trying again.")
                waiting = True
                time.sleep(self.pause)
            else:
                if waiting:
                    self.tell("Results can be written again.")
                return made
