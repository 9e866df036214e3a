"""Progress that asks to stop after some training steps."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from typing import Any


class StopAfter:
    """Sets the stop signal at the end of training step number `steps`."""

    def __init__(self, steps: int, stop: threading.Event) -> None:
        self.steps, self.stop, self.title = steps, stop, ""

    def stage(self, title: str, total: int) -> Any:
        self.title = title
        return nullcontext(self)

    def advance(self, steps: int = 1) -> None:
        if self.title == "training" and steps:
            self.steps -= steps
            if self.steps == 0:
                self.stop.set()
