"""A clock that tests set, and a folder that is watched by it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from flawscope.station.arrivals import Arrivals


class Clock:
    """Stands for the module `time`: sleeping takes none."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def thread_time(self) -> float:
        return 0.0


CLOCK = Clock()


class Watcher:
    """A watched folder that is looked at until nothing comes for a while."""

    def __init__(self, folder: Path, *, patience: float = 0.25, **settings: object) -> None:
        self.told: list[str] = []
        self._patience, self._last = patience, 0.0
        values: dict[str, object] = {"settle": 0.02, "interval": 0.01, "tell": self.told.append} | settings
        self.arrivals = Arrivals(folder, stopped=self._quiet, **values)  # type: ignore[arg-type]

    def _quiet(self) -> bool:
        return CLOCK.monotonic() - self._last > self._patience

    def __call__(self) -> Iterator[Path]:
        self._last = CLOCK.monotonic()
        for path in self.arrivals:
            self._last = CLOCK.monotonic()
            yield path

    def names(self) -> list[str]:
        """Names of what arrives until nothing comes any more, in order."""
        return [path.name for path in self()]


def write(path: Path, content: bytes = b"pixels") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def older(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))
