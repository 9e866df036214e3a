"""Drift of the pictures in a store: one stream, in the order of its chain, whichever inspection adds to it.

The stream begins with the first picture of the model in force, or after the last restart. What it is compared
with lies in the store, so that it can be followed again without the model. Its state is kept there every so
many pictures: no more than those are followed again when an inspection goes on, and the chain alone decides.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flawscope.runtime.alarm import Alarm
from flawscope.runtime.drift import ALPHA, Drift, Reference
from flawscope.runtime.in_force import InForce
from flawscope.runtime.manifest import Manifest
from flawscope.runtime.record import Record
from flawscope.station import chained
from flawscope.station.claims import in_force
from flawscope.station.entries import records
from flawscope.station.store import foreign, opened_to_read

KEPT = 1000  # pictures after which the state is kept again

_MARKS = "SELECT seq, kind FROM chain WHERE kind != 'picture' ORDER BY seq DESC"
_SINCE = "SELECT seq, kind, entry FROM chain WHERE seq > ? ORDER BY seq"
_REFERENCE = "SELECT reference FROM drift WHERE verdicts = ?"
_RAISED = """
SELECT entry FROM chain WHERE kind = 'picture' AND seq > {:d} AND instr(entry, '"drift":') ORDER BY seq
"""
_STATE = "SELECT alpha, start, seq, state FROM drift WHERE verdicts = ?"
_NAME = (
    "INSERT INTO drift (verdicts, reference) VALUES (?, ?) ON CONFLICT (verdicts) DO UPDATE "
    "SET reference = excluded.reference, state = NULL WHERE reference != excluded.reference"
)
_KEEP = "UPDATE drift SET alpha = ?, start = ?, seq = ?, state = ? WHERE verdicts = ?"


class Drifting:
    """Watches pictures as they are added to a store, within the transactions that add them.

    Args:
        manifest: of the model that inspects.
        alpha: as of `runtime.drift.Drift`.
    """

    def __init__(self, manifest: Manifest, alpha: float = ALPHA) -> None:
        self._reference, self._alpha = Reference.of(manifest), alpha
        self._drift = Drift.beside(self._reference, alpha)
        self._start = self._seen = self._kept = 0
        self._verdicts, self._lost = "", True

    @property
    def drift(self) -> Drift:
        """The stream's state after the last picture that was added here."""
        return self._drift

    def begin(self, base: sqlite3.Connection, model: InForce) -> None:
        """Go on with the stream in a store whose model this is; `follow` then takes it up."""
        self._verdicts, self._lost = model.verdicts, True
        base.execute(_NAME, (self._verdicts, json.dumps(self._reference.to_json())))

    def _take_up(self, base: sqlite3.Connection, folder: Path) -> None:
        """The state that was kept last, if it is of this stream."""
        self._start = start_of(base, folder, self._verdicts)
        self._drift, self._seen = Drift.beside(self._reference, self._alpha), self._start
        state = base.execute(_STATE, (self._verdicts,)).fetchone()
        if state is not None and state[:2] == (self._alpha, self._start):
            with contextlib.suppress(zlib.error, ValueError, TypeError, KeyError):  # the chain tells it, too
                kept = Drift.beside(self._reference, self._alpha)
                kept.restore(json.loads(zlib.decompress(state[3])))
                self._drift, self._seen = kept, int(state[2])
        self._kept, self._lost = self._seen, False

    def told(self, base: sqlite3.Connection, folder: Path, record: Record) -> Record:
        """The record with the alarms that it raises; it is to be appended next."""
        self.follow(base, folder)
        return self.seen(record)

    def seen(self, record: Record) -> Record:
        """The same where nothing is stored."""
        alarms = self._drift.see(record)
        return record.model_copy(update={"drift": alarms}) if alarms else record

    def appended(self, base: sqlite3.Connection, number: int) -> None:
        """The record that was told last has this number in the chain."""
        self._seen = number
        if number - self._kept >= KEPT:
            state = zlib.compress(json.dumps(self._drift.to_json()).encode(), 1)
            base.execute(_KEEP, (self._alpha, self._start, number, state, self._verdicts))
            self._kept = number

    def lose(self) -> None:
        """What was told last was not appended after all; the next picture takes the stream up anew."""
        self._lost = True

    def follow(self, base: sqlite3.Connection, folder: Path) -> None:
        """See what other inspections have added, and restarts."""
        if self._lost:
            self._take_up(base, folder)
        for number, kind, record in _rows(base, folder, self._seen):
            self._seen = number
            if kind == "drift":
                self._drift, self._start = Drift.beside(self._reference, self._alpha), number
            elif record is not None:
                self._drift.see(record)


def start_of(base: sqlite3.Connection, folder: Path, verdicts: str) -> int:
    """Number of the chain's entry after which the stream of this model begins."""
    start = 0
    for number, kind in base.execute(_MARKS).fetchall():
        if kind == "drift":
            return int(number)
        if kind == "model" and in_force(base, folder, number).verdicts != verdicts:
            break
        start = number if kind == "model" else start
    return int(start)


def _verdicts(base: sqlite3.Connection, folder: Path) -> str | None:
    """By what the model in force judges; None where there is none yet."""
    last = chained.last_of(base, "model")
    return None if last is None else in_force(base, folder, last[0]).verdicts


def raised(folder: Path) -> list[Alarm]:
    """Alarms since the stream of the model in force began, in their order, of pictures inspected again, too.

    Raises:
        OutputError: what lies there is damaged or foreign.
    """
    with contextlib.closing(opened_to_read(folder)) as base:
        verdicts = _verdicts(base, folder)
        start = 0 if verdicts is None else start_of(base, folder, verdicts)
        return [alarm for record in records(base, folder, _RAISED.format(start)) for alarm in record.drift]


def stream(base: sqlite3.Connection, folder: Path) -> tuple[Reference, Iterator[Record]] | None:
    """What the pictures of the model in force are compared with, and their records; None without either.

    Raises:
        OutputError: what lies there is damaged or foreign.
    """
    verdicts = _verdicts(base, folder)
    if verdicts is None:
        return None
    found = base.execute(_REFERENCE, (verdicts,)).fetchone()
    if found is None:
        return None
    try:
        reference = Reference.of_json(json.loads(found[0]))
        Drift.beside(reference)
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise foreign(folder) from error
    rows = _rows(base, folder, start_of(base, folder, verdicts))
    return reference, (record for _, _, record in rows if record is not None)


def _rows(base: sqlite3.Connection, folder: Path, after: int) -> Iterator[tuple[int, str, Record | None]]:
    """Number, kind and record of the chain's entries after this one; a record is there of pictures alone."""
    for number, kind, text in base.execute(_SINCE, (after,)):
        record = None
        if kind == "picture":
            try:
                entry: dict[str, Any] = json.loads(text)
                record = Record.of_json(entry["record"] | {"file": entry["file"]})
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                raise foreign(folder) from error
        yield number, kind, record
