"""Progress bars, one-line errors and JSON output: what every command shares."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from flawscope.runtime.calibration import Calibration

errors = Console(stderr=True, highlight=False, soft_wrap=True)
console = Console(highlight=False, soft_wrap=True)


class Bars:
    """Progress bars with time left on standard error; plain silence where nobody watches."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=errors,
            transient=True,
            disable=quiet or not errors.is_terminal,
        )
        self._depth = 0

    @contextlib.contextmanager
    def stage(self, title: str, total: int) -> Iterator[_Bar]:
        """Show a bar of `total` steps; 0 means that nobody knows how many."""
        if self._depth == 0:
            self._bars.start()
        self._depth += 1
        task = self._bars.add_task(title, total=total or None)
        try:
            yield _Bar(self._bars, task)
        finally:
            self._bars.remove_task(task)
            self._depth -= 1
            if self._depth == 0:
                self._bars.stop()


class _Bar:
    def __init__(self, bars: Progress, task: TaskID) -> None:
        self._bars, self._task = bars, task

    def advance(self, steps: int = 1) -> None:
        self._bars.advance(self._task, steps)


def print_json(value: Any) -> None:
    """One JSON value on one line of standard output; models, data classes and paths become plain values."""
    from pydantic_core import to_jsonable_python

    sys.stdout.write(json.dumps(to_jsonable_python(value), allow_nan=False) + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """A line for people on standard output, as it is."""
    console.print(text, markup=False)


def promised(calibration: Calibration) -> dict[str, Any]:
    """What verdicts are made with, for JSON: both thresholds, and the promise in words."""
    return {
        "reject_threshold": calibration.reject_threshold,
        "review_threshold": calibration.review_threshold,
        "promise": calibration.statement(),
    }


def note(text: str) -> None:
    """A remark for people, on standard error, so that standard output stays data."""
    errors.print(text, style="dim", markup=False)


def silent(text: str) -> None:
    """In place of `note` where standard error shall stay empty."""
    del text
