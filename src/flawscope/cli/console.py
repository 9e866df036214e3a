"""Progress bars, one-line errors and JSON output: what every command shares."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table

from flawscope.files import unwritable

if TYPE_CHECKING:
    from flawscope.runtime.calibration import Calibration


def forget_no_width() -> None:
    """Leave out COLUMNS=0, of terminals that know no width: Rich would print nothing at all."""
    if not os.environ.get("COLUMNS", "").strip("0"):
        os.environ.pop("COLUMNS", None)


@contextlib.contextmanager
def _standard_output() -> Iterator[None]:
    """Name it where it takes no more, such as a file on a full disk; nobody reading is none of this."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise unwritable(Path("standard output"), error) from error


class _Output(Console):
    def print(self, *objects: Any, **settings: Any) -> None:
        with _standard_output():
            super().print(*objects, **settings)


forget_no_width()
errors = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
console = _Output(highlight=False, soft_wrap=True, emoji=False)
_UNPRINTABLE = ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")  # controls, formats such as turns to the left, surrogates
_JOINERS = "\u200c\u200d"  # of scripts and emoji


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

    text = json.dumps(value, default=to_jsonable_python, allow_nan=False)
    if sys.stdout is None:  # closed by whoever started this
        raise SystemExit(1)
    with _standard_output():
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def all_printable() -> None:
    """Let both streams write what their encoding lacks as backslash escapes, where Python would end."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def printable(text: str) -> str:
    """Text in which nothing steers a terminal: a name may hold escapes, line ends, turns of direction."""
    return "".join(
        character
        if character in _JOINERS or unicodedata.category(character) not in _UNPRINTABLE
        else character.encode("unicode_escape").decode()
        for character in text
    )


def cell(text: str) -> str:
    """Text of the user's as a cell of a table."""
    return escape(printable(text))


def table_of(*headings: str, title: str | None = None) -> Table:
    """A table to fill; where it is wider than the terminal, cells go on in further lines, and none is cut."""
    return Table(*(Column(heading, overflow="fold") for heading in headings), title=title)


def say(text: str) -> None:
    """Lines for people on standard output."""
    console.print("\n".join(map(printable, text.split("\n"))), markup=False)


def promised(calibration: Calibration) -> dict[str, Any]:
    """What verdicts are made with, for JSON: both thresholds, and the promise in words."""
    return {
        "reject_threshold": calibration.reject_threshold,
        "review_threshold": calibration.review_threshold,
        "promise": calibration.statement(),
    }


def note(text: str) -> None:
    """A remark for people, on standard error, so that standard output stays data."""
    errors.print(printable(text), style="dim", markup=False)


def silent(text: str) -> None:
    """In place of `note` where standard error shall stay empty."""
    del text
