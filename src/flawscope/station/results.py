"""The results of an inspection: records in one SQLite file, exported as JSON lines and as a table.

Every record is committed as its picture is done, in a write-ahead log, so that an inspection that is killed
loses nothing and several may write into one folder at once. Nothing grows with the number of records but the
file.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from flawscope.errors import OutputError
from flawscope.files import unwritable, writable_folder, write_atomically
from flawscope.runtime.in_force import InForce
from flawscope.runtime.record import Inset, Record, Views
from flawscope.station import chained, tables
from flawscope.station.claims import claim, require
from flawscope.station.drifting import Drifting
from flawscope.station.entries import entries, records, views
from flawscope.station.names import Names
from flawscope.station.overlays import clear_overlays
from flawscope.station.picture import MOST, Inspected
from flawscope.station.states import Known, states
from flawscope.station.store import STORE, ForeignResultsError, opened, opened_to_read, told, turn, writing

LINES, TABLE = "results.jsonl", "results.csv"
_ABSENT = (None, None)  # the state of a file that is not there

_ADD = "INSERT INTO records (path, size, mtime_ns, score, link) VALUES (?, ?, ?, ?, ?)"
_REPLACE = "UPDATE records SET size = ?, mtime_ns = ?, score = ?, link = ? WHERE id = ?"
_PRUNE = """
DELETE FROM views WHERE record NOT IN (
    SELECT id FROM records WHERE id IN (SELECT record FROM views) ORDER BY score DESC LIMIT ?)
"""
_KNOWN = "SELECT path, size, mtime_ns FROM records WHERE score IS NOT NULL AND path "
_BETWEEN, _AMONG = f"{_KNOWN} BETWEEN ? AND ? ORDER BY path LIMIT ?", f"{_KNOWN} IN ({{}})"
_PICTURES = """
SELECT path, CAST(about AS TEXT), CAST(picture AS BLOB) FROM views JOIN records ON id = record
ORDER BY views.rowid
"""
_ENTRY = "SELECT entry FROM records JOIN chain ON seq = link"
_SAME = f"{_ENTRY} WHERE path = ? AND size = ? AND mtime_ns = ? AND score IS NOT NULL"
_IN_ORDER, _BY_SCORE = f"{_ENTRY} ORDER BY id", f"{_ENTRY} ORDER BY score DESC, path"
_CLEAR = ("DELETE FROM records", "DELETE FROM views", "DELETE FROM chain", "DELETE FROM drift")
_SHOWN = "SELECT count(*), min(score) FROM records WHERE id IN (SELECT record FROM views)"


class Results:
    """The records in a folder, open for writing; close it, or use it as a context.

    A picture is known by its name (`station.names`), its size and its time, so that one that was replaced is
    inspected again. Names that are asked for or added are as they were typed here.
    `model` is what verdicts are made with; results of another model in the same folder are refused, not
    mixed, unless that is an earlier version of this one (see `station.claims`). Small pictures are kept of
    the 300 highest scores. `drifting` watches what is added.

    Raises:
        OutputError: the folder cannot be written, or holds results of another model, damaged or foreign ones.
    """

    def __init__(
        self, folder: Path, *, model: InForce, fresh: bool = False, drifting: Drifting | None = None
    ) -> None:
        self.folder, self.model, self._drifting = writable_folder(folder), model, drifting
        if fresh:
            _clear(self.folder)
        elif not (self.folder / STORE).is_file():
            for path in (self.folder / LINES, self.folder / TABLE):
                if path.is_file():
                    raise _refused(f"results {path}", f"{STORE} beside it", "none")
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the file go; what was added is kept."""
        self._base.close()

    def reopen(self) -> None:
        """Open the file anew: its folder may have been away, or made again.

        Raises:
            OutputError: as when it was first opened.
        """
        self.close()
        writable_folder(self.folder)
        self._open()

    def _open(self) -> None:
        self._base = opened(self.folder)
        try:
            with writing(self._base, self.folder):
                self._claimed = claim(self._base, self.folder, self.model)
                self.names = Names(self._base, self.folder)
                if self._drifting is not None:
                    self._drifting.begin(self._base, self.model)
            if self._drifting is not None:
                with told(self.folder):
                    self._drifting.follow(self._base, self.folder)
            self._least = self._least_shown()
        except BaseException:
            self.close()
            raise

    def new(self, paths: Iterable[Path]) -> Iterator[Path]:
        """Those of `paths` that have no answer or failed, in their order; no file is looked at."""
        for some, keys in self.names.by_hundreds(paths):
            answered = {key for key, _, _ in self._answered(keys)}
            yield from (path for path, key in zip(some, keys, strict=True) if key not in answered)

    def changed(self, paths: Iterable[Path]) -> Iterator[Path]:
        """Those of `paths` that have an answer, but whose file has changed since; in their order.

        One whose file is gone keeps its answer: nothing is there to give another.
        """
        for some, keys in self.names.by_hundreds(paths):
            answered = self._answered(keys)
            now = zip(some, keys, states([os.fsencode(path) for path in some]), strict=True)
            others = [
                (path, key, size) for path, key, (_, size, at) in now if (key, size, at) not in answered
            ]
            names = {key for key, _, _ in answered} if others else ()
            yield from (path for path, key, size in others if size is not None and key in names)

    def _answered(self, keys: list[bytes]) -> set[Known]:
        """Those of `keys` that have an answer, as their files stood then; maybe others, too.

        Names that follow each other are read in one go, which takes half as long as one by one.
        """
        most = 2 * len(keys)
        with told(self.folder):
            rows = self._base.execute(_BETWEEN, (min(keys), max(keys), most + 1)).fetchall()
            if len(rows) > most:  # names far apart, and many others between them
                rows = self._base.execute(_AMONG.format(",".join("?" * len(keys))), keys).fetchall()
        return set(rows)

    def shows(self, record: Record) -> bool:
        """Whether this record is among the most anomalous so far, of which small pictures are kept."""
        return record.rank > self._least

    def named(self, one: Inspected) -> Inspected:
        """The same with the name that its picture has in these results."""
        with told(self.folder):
            self.names.follow()
            return self.names.named(one)

    def add(self, *inspected: Inspected) -> tuple[Record, ...]:
        """Add records, or put them in the place of earlier ones of their paths, all in one commit.

        A file that another inspection has answered meanwhile, by the same model, counts once.

        Returns:
            The records as they were written: by the names that these results give them, and with the alarms
            of drift that they raise.

        Raises:
            OutputError: the disk is full or the folder is gone, or another model has taken the folder; what
                was added before stays.
        """
        try:
            with writing(self._base, self.folder):
                self._claimed = require(self._base, self.folder, self.model, self._claimed)
                self.names.follow()
                added = [
                    one.record if self._stands(one.record) else self._put(self._watched(one))
                    for one in map(self.names.named, inspected)
                ]
                drawn = any(one.views is not None for one in inspected)
                if drawn:
                    self._base.execute(_PRUNE, (MOST,))
        except BaseException:
            if self._drifting is not None:
                self._drifting.lose()
            raise
        if drawn:
            self._least = self._least_shown()
        return tuple(added)

    def _stands(self, record: Record) -> bool:
        if record.state is None or record.score is None:
            return False
        known = self._base.execute(_SAME, (os.fsencode(record.path), *record.state)).fetchone()
        return known is not None and bool(json.loads(known[0])["model"] == record.model)

    def _watched(self, one: Inspected) -> Inspected:
        if self._drifting is None:
            return one
        return replace(one, record=self._drifting.told(self._base, self.folder, one.record))

    def _put(self, one: Inspected) -> Record:
        """Write one record; it is given back."""
        record, base = one.record, self._base
        self.names.recorded(record.path)
        key = os.fsencode(record.path)
        known = base.execute("SELECT id, link FROM records WHERE path = ?", (key,)).fetchone()
        link = chained.append(base, "picture", _entry(one, None if known is None else known[1])).number
        facts = (*(record.state or _ABSENT), record.score, link)
        if known is None:
            number = base.execute(_ADD, (key, *facts)).lastrowid
        else:
            number = known[0]
            base.execute(_REPLACE, (*facts, number))
            base.execute("DELETE FROM views WHERE record = ?", (number,))
        if one.views is not None:
            pictures = (Inset(one.views.thumbnail, ""), Inset(one.views.overlay, ""), *one.views.insets)
            rows = ((number, picture.about, picture.picture) for picture in pictures)
            base.executemany("INSERT INTO views VALUES (?, ?, ?)", rows)
        if self._drifting is not None:
            self._drifting.appended(base, link)
        return record

    def export(self) -> None:
        """Write results.jsonl, a line a picture, and results.csv, most anomalous first, unreadable ones last.

        Neither where there are no records.
        """
        with turn(self.folder):
            with told(self.folder):
                if self._base.execute("SELECT 1 FROM records LIMIT 1").fetchone() is None:
                    return
                with write_atomically(self.folder / LINES) as stream:
                    for entry in entries(self._base, self.folder, _IN_ORDER):
                        line = {**entry["record"], "file": entry["file"]}
                        stream.write(f"{json.dumps(line)}\n".encode())
            ordered = records(self._base, self.folder, _BY_SCORE)
            tables.write_table(self.folder / TABLE, tables.RESULTS, ordered)

    def _least_shown(self) -> float:
        with told(self.folder):
            count, least = self._base.execute(_SHOWN).fetchone()
        return float(least) if count >= MOST else float("-inf")


def read_records(folder: Path) -> Iterator[Record]:
    """The records of an inspection's folder, in the order in which its pictures were first done.

    Raises:
        OutputError: what lies there is damaged or foreign.
    """
    if (folder / STORE).is_file():
        with contextlib.closing(opened_to_read(folder)) as base:
            yield from records(base, folder, _IN_ORDER)


def read_views(folder: Path) -> dict[str, Views]:
    """Small pictures of the most anomalous pictures, by path."""
    if not (folder / STORE).is_file():
        return {}
    found: dict[str, list[Inset]] = {}
    with contextlib.closing(opened_to_read(folder)) as base, told(folder):
        for path, about, picture in base.execute(_PICTURES):
            found.setdefault(os.fsdecode(path), []).append(Inset(picture, about))
    return {path: views(kept) for path, kept in found.items()}


def _entry(one: Inspected, earlier: int | None) -> dict[str, Any]:
    """What the chain keeps of a picture, whose entry before was `earlier`."""
    record = one.record
    entry: dict[str, Any] = {"model": record.model, "file": record.state, "record": record.to_json()}
    if earlier is not None:
        entry["again"] = earlier
    if one.views is not None:
        entry["views"] = chained.hash_of(one.views)
    return entry


def _clear(folder: Path) -> None:
    """Forget earlier results; a store that another inspection has open is emptied, not taken away."""
    try:
        with contextlib.closing(opened(folder)) as base, writing(base, folder):
            for statement in _CLEAR:
                base.execute(statement)
        leftovers = [LINES, TABLE]
    except ForeignResultsError:
        leftovers = [LINES, TABLE, STORE, f"{STORE}-wal", f"{STORE}-shm"]
    for name in leftovers:
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(folder / name, error) from error
    clear_overlays(folder)


def _refused(what: str, expected: str, got: str) -> OutputError:
    fix = "Choose another --out, or start over with --fresh."
    return OutputError(what, expected=expected, got=got, fix=fix)
