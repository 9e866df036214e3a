"""Which model a store of results is kept with, and when another may go on in its place.

Verdicts of different models are not mixed: results of another model are refused. The exception is a later
version of the same model folder, where the log of its versions shows how the one became the other; the change
is then an entry in the chain, and each record carries the digest of what it was made with.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from flawscope.errors import OutputError
from flawscope.runtime import chain, versions
from flawscope.runtime.chain import Entry, Row
from flawscope.runtime.in_force import InForce
from flawscope.station import chained
from flawscope.station.store import STORE, foreign, opened, told


def claim(base: sqlite3.Connection, folder: Path, model: InForce) -> str:
    """Go on with the results in `folder` with this model, within the caller's transaction.

    Returns:
        The hash of the chain's entry that says what is in force: a new one where anything about it changed.

    Raises:
        OutputError: there are results of another model, and no version's log leads from that to this one.
    """
    last, content = chained.last_of(base, "model"), model.model_dump(mode="json")
    if last is not None:
        earlier = in_force(base, folder, last[0])
        if earlier == model:
            return last[1]
        if earlier.verdicts != model.verdicts and _has_records(base):
            changes = _led(earlier, model)
            if not changes:
                raise of_another_model(folder)
            content["through"] = [{**row.entry, "hash": row.hash} for row in changes]
    return chained.append(base, "model", content).hash


def require(base: sqlite3.Connection, folder: Path, model: InForce, claimed: str) -> str:
    """Let an inspection go on that claimed the results by the entry with this hash; that of the one in force.

    Raises:
        OutputError: another model has taken the folder.
    """
    last = chained.last_of(base, "model")
    if last is None or (last[1] != claimed and in_force(base, folder, last[0]).verdicts != model.verdicts):
        raise of_another_model(folder)
    return last[1]


def in_force(base: sqlite3.Connection, folder: Path, number: int) -> InForce:
    """What entry `number` says is in force.

    Raises:
        OutputError: it says nothing of the kind.
    """
    row = chained.row(base, number)
    return _read({} if row is None else row.entry, folder)


def models_of(base: sqlite3.Connection, folder: Path) -> Iterator[tuple[int, InForce]]:
    """All that has been in force, each with the number of the entry that says so.

    Raises:
        OutputError: the store is damaged.
    """
    for entry in chained.others(base, "model"):
        number = entry.get("number", 0)
        if not isinstance(number, int):
            raise foreign(folder)
        yield number, _read(entry, folder)


def read_models(folder: Path) -> list[InForce]:
    """All that has been in force for the results in a folder, in its order.

    Raises:
        OutputError: what lies there is damaged or foreign.
    """
    if not (folder / STORE).is_file():
        return []
    with contextlib.closing(opened(folder)) as base, told(folder):
        return [model for _, model in models_of(base, folder)]


def _read(entry: Entry, folder: Path) -> InForce:
    try:
        return InForce.model_validate({name: entry[name] for name in InForce.model_fields})
    except (ValidationError, KeyError) as error:
        raise foreign(folder) from error


def of_another_model(folder: Path) -> OutputError:
    """The error for results of another model."""
    return OutputError(
        f"results folder {folder}",
        expected="an empty folder, or results of this model and calibration or of an earlier version of it",
        got="results of another model or calibration",
        fix="Choose another --out, or start over with --fresh.",
    )


def _led(earlier: InForce, later: InForce) -> list[Row]:
    """The changes that led from one version to another, in the log of the later one's folder.

    Empty where it shows none, is not whole, or only found the model changed and cannot tell by what.
    """
    log, rows = versions.rows(Path(later.folder)), list[Row]()
    if not earlier.version or chain.verify(log) is not None:
        return rows
    for row in log:
        if row.entry.get("from") == earlier.version:
            rows = []
        elif not rows or "to" not in row.entry:
            continue
        rows = [] if row.entry.get("event") == "found" else [*rows, row]
        if rows and row.entry.get("to") == later.version:
            return rows
    return []


def _has_records(base: sqlite3.Connection) -> bool:
    return base.execute("SELECT 1 FROM records LIMIT 1").fetchone() is not None
