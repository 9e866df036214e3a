"""The log of a model folder's versions, as far as results go on from one version to the next."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from flawscope.runtime import chain
from flawscope.runtime.chain import Break, Row
from flawscope.runtime.in_force import InForce


def log_of(folder: Path) -> Path:
    """Where the changes of the model in `folder` are logged."""
    return folder.with_name(f"{folder.name}.versions") / "log.jsonl"


def rows_of(folder: Path) -> Iterator[Row]:
    """The rows of that log; none where there is none."""
    try:
        with log_of(folder).open("rb") as lines:
            yield from map(Row.of_line, lines)
    except FileNotFoundError:
        return


def broken(folder: Path) -> Break | None:
    """The first row of the log that is not as it was written."""
    return chain.verify(rows_of(folder))


def led(earlier: InForce, later: InForce) -> list[Row]:
    """The changes that led from one version to another, in the log of the later one's folder.

    Empty where it shows none, is not whole, or only found the model changed and cannot tell by what.
    """
    folder, rows = Path(later.folder), list[Row]()
    if not earlier.version or broken(folder) is not None:
        return rows
    for row in rows_of(folder):
        if row.entry.get("from") == earlier.version:
            rows = []
        elif not rows or "to" not in row.entry:
            continue
        rows = [] if row.entry.get("event") == "found" else [*rows, row]
        if rows and row.entry.get("to") == later.version:
            return rows
    return []
