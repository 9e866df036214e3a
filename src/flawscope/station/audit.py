"""Whether the results in a folder are as inspections wrote them: the chain, the records, the pictures."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from flawscope.errors import OptionError
from flawscope.files import is_folder, sha256
from flawscope.runtime import bundle, chain, versions
from flawscope.runtime.chain import START, Row
from flawscope.runtime.record import Inset
from flawscope.station import chained
from flawscope.station.entries import views
from flawscope.station.names import read_from
from flawscope.station.store import opened_to_read, require_results, told

_HASH = re.compile(r"[0-9a-f]{64}")
_RECORDS = "SELECT CAST(link AS INTEGER), path, size, mtime_ns, score FROM records ORDER BY 1"
_VIEWS = """
SELECT link, CAST(about AS TEXT), CAST(picture AS BLOB) FROM views JOIN records ON id = record
ORDER BY link, views.rowid
"""


@dataclass(frozen=True, slots=True)
class Problem:
    """The first row that is not as it was written.

    Attributes:
        row: its number in the chain, from 1.
        what: what became of it, in a sentence that begins with the row.
    """

    row: int
    what: str


@dataclass(slots=True)
class Audit:
    """What was found in a folder of results.

    Attributes:
        rows: of the chain, by kind; up to the problem where there is one.
        head: hash of the last row that was read.
        problem: the first row that is not as it was written; None where all are.
        known: number of the row whose hash was given as an earlier head; 0 for none.
        folder: where the model in force last lay; empty where the chain tells none.
        through: rows of logs of versions by which results went on, by their hash: their number here.
        changed: pictures whose file has other bytes now, where they were looked at.
        gone: how many are not there any more.
    """

    rows: Counter[str] = field(default_factory=Counter)
    head: str = START
    problem: Problem | None = None
    known: int = 0
    folder: str = ""
    through: dict[str, int] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    gone: int = 0

    @property
    def whole(self) -> bool:
        """Whether nothing was changed, removed or put in, as far as the chain tells."""
        return self.problem is None

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "whole": self.whole,
            "rows": sum(self.rows.values()),
            "kinds": dict(self.rows),
            "head": self.head,
            "head_given_is_row": self.known or None,
            "problem": None if self.problem is None else asdict(self.problem),
            "pictures_changed": self.changed,
            "pictures_gone": self.gone,
        }


def audit(folder: Path, *, head: str | None = None, pictures: bool = False) -> Audit:
    """Recompute the chain of a folder's results, and compare every record with its last entry.

    Memory does not grow with the records, 32 bytes of each apart. Inspections may go on meanwhile; what they
    add after the beginning is not looked at.

    Args:
        folder: of an inspection's results.
        head: hash of a row that was written down earlier; it must be in the chain still.
        pictures: also compare the pictures that are still there with the hashes in their records.

    Raises:
        InputError: there are no results.
        OptionError: `head` is no hash.
        OutputError: the store is damaged or foreign.
    """
    if head is not None and not _HASH.fullmatch(head := head.strip().lower()):
        fix = "Give the whole head that audit verify told."
        raise OptionError("--head", expected="64 hex digits", got=repr(head), fix=fix)
    require_results(folder)
    with contextlib.closing(opened_to_read(folder)) as base, told(folder):
        base.execute("BEGIN")  # all that follows sees one moment
        walk = _Walk(base, head, read_from(base, folder) if pictures else None)
        walk.go()
    return walk.found


@dataclass(frozen=True, slots=True)
class LogAudit:
    """What was found in the log of a model's versions: how many rows, and what is wrong, or None."""

    folder: Path
    rows: int
    problem: str | None

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"model": str(self.folder), "rows": self.rows, "problem": self.problem}


def audit_log(found: Audit, model: Path | None = None) -> LogAudit | None:
    """Check the log of a model's versions, and that it holds the changes by which the results went on.

    Args:
        found: what `audit` found of the results.
        model: the model folder; None: where it lay when the results were made.

    Returns:
        None where there is no such log, and none of the changes that it should hold is known; or where it
        cannot be read, see `is_closed`.

    Raises:
        BundleError: neither a model nor versions of one lie where `model` says.
        OSError: the log of `model` cannot be read.
    """
    folder = Path(found.folder) if model is None else model
    try:
        rows = versions.rows(folder)
    except OSError:
        if model is not None:
            raise
        return None
    kept = is_folder(versions.folder_of(folder))
    if model is not None and not (bundle.is_bundle(model) or kept):
        bundle.load(model)  # which says what is missing
    if not rows and not (kept and found.through):
        return None
    problem, known = chain.verify(rows), {row.hash for row in rows}
    lacking = [number for hashed, number in found.through.items() if hashed not in known]
    told = None if problem is None else str(problem)
    if told is None and lacking:
        told = f"a change is missing by which the results went on in their row {min(lacking)}"
    return LogAudit(folder, len(rows), told)


def is_closed(found: Audit) -> bool:
    """Whether the log lies, beside where the model lay, as far as is known, where it cannot be read."""
    try:
        versions.rows(Path(found.folder))
    except OSError:
        return True
    return False


class _Walk:
    """The way along the chain, with the records beside it in the order of their entries.

    Where `pictures` says from which folder their names are read, their files are compared, too.
    """

    def __init__(self, base: sqlite3.Connection, head: str | None, pictures: Path | None) -> None:
        self._base, self._head, self._pictures = base, head, pictures
        self.found = Audit()
        self._records = base.execute(_RECORDS)
        self._record = self._records.fetchone()
        self._shadowed = dict[int, str]()  # entries without a record, until a later one comes
        self._views = dict[int, str]()  # hashes of small pictures, by the entry that has them

    def go(self) -> None:
        """Fill `found`."""
        self._views = dict(_hashes_of_views(self._base))
        if (broken := chain.verify(self._rows())) is not None:
            self._problem(broken.number, f"was {broken.how}{self._about(broken.number)}")
        else:
            self._finish()

    def _rows(self) -> Iterator[Row]:
        for number, kind, row in chained.rows(self._base):
            yield row
            # whoever asks for the next one has found this one whole and in its place
            if number != row.number or kind != row.entry.get("kind"):
                self._problem(row.number, "was changed: the number or the kind beside its entry")
            self.found.rows[str(row.entry.get("kind"))] += 1
            self.found.head = row.hash
            if row.hash == self._head:
                self.found.known = row.number
            try:
                self._note_model(row)
                self._compare_records(row)
            except (KeyError, TypeError, ValueError):
                self._problem(row.number, "is no entry of its kind")

    def _note_model(self, row: Row) -> None:
        if row.entry.get("kind") == "model":
            self.found.folder = str(row.entry["folder"])
            self.found.through |= {change["hash"]: row.number for change in row.entry.get("through", ())}

    def _compare_records(self, row: Row) -> None:
        while self._record is not None and self._record[0] < row.number:
            self._problem(self._record[0], f"is no picture, but a record names it: {_name(self._record[1])}")
            self._record = self._records.fetchone()
        if row.entry.get("kind") != "picture":
            return
        again, path = row.entry.get("again"), str(row.entry["record"]["path"])
        if again is not None and self._shadowed.pop(again, None) is None:
            self._problem(row.number, f"is the last of {path}, but its record names row {again}")
        if self._record is None or self._record[0] != row.number:
            self._shadowed[row.number] = path
            return
        if self._record[1:] != _facts(row):
            self._problem(row.number, f"says otherwise than its record: {path}")
        if self._views.pop(row.number, row.entry.get("views")) != row.entry.get("views"):
            self._problem(row.number, f"has other small pictures than were made: {path}")
        if self._pictures is not None:
            self._compare_file(self._pictures, path, row.entry["record"].get("picture"))
        self._record = self._records.fetchone()

    def _compare_file(self, place: Path, path: str, expected: str | None) -> None:
        try:
            found = sha256(place / path) if expected else expected
        except OSError:
            self.found.gone += 1
            return
        if found != expected:
            self.found.changed.append(path)

    def _finish(self) -> None:
        """What the end of a whole chain tells."""
        for number, path in self._shadowed.items():
            self._problem(number, f"has no record any more: {path}")
        if self._record is not None:
            self._problem(self._record[0], f"was removed, which a record names: {_name(self._record[1])}")
        if self._head is not None and not self.found.known:
            last = sum(self.found.rows.values())
            self._problem(
                last + 1, "was removed, or rows before it were written anew: none has the head given"
            )

    def _about(self, number: int) -> str:
        row = chained.row(self._base, number)
        record = {} if row is None else row.entry.get("record")
        return f": {record['path']}" if isinstance(record, dict) and "path" in record else ""

    def _problem(self, number: int, what: str) -> None:
        if self.found.problem is None or number < self.found.problem.row:
            self.found.problem = Problem(number, f"row {number} {what}")


def _facts(row: Row) -> tuple[Any, ...]:
    """What the table of records must say beside this entry."""
    record, state = row.entry["record"], row.entry["file"]
    return os.fsencode(record["path"]), *(state or (None, None)), record.get("score")


def _hashes_of_views(base: sqlite3.Connection) -> Iterator[tuple[int, str]]:
    """The entry of each picture that has small pictures, and their hash; those pictures are 300 at most."""
    found = dict[int, list[Inset]]()
    for link, about, picture in base.execute(_VIEWS):
        found.setdefault(link, []).append(Inset(picture, about))
    for link, kept in found.items():
        yield link, chained.hash_of(views(kept))


def _name(path: object) -> str:
    return os.fsdecode(path) if isinstance(path, bytes) else str(path)
