"""The results of an inspection: records in one SQLite file, exported as JSON lines and as a table.

Every record is committed as its picture is done, in a write-ahead log, so that an inspection that is killed
loses nothing and several may write into one folder at once. Nothing grows with the number of records but the
file.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

from flawscope.errors import OutputError
from flawscope.files import unwritable, writable_folder, write_atomically
from flawscope.runtime.record import Inset, Record, Views
from flawscope.station import tables
from flawscope.station.picture import MOST, Inspected
from flawscope.station.states import Known, states
from flawscope.station.store import STORE, ForeignResultsError, foreign, opened, told, turn, writing

LINES, TABLE, OVERLAYS = "results.jsonl", "results.csv", "overlays"
_AT_ONCE = 500  # pictures of one query
_ABSENT = (None, None)  # the state of a file that is not there

_ADD = """
INSERT INTO records (path, size, mtime_ns, score, line) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (path) DO UPDATE SET size = excluded.size, mtime_ns = excluded.mtime_ns, score = excluded.score,
    line = excluded.line
"""
_PRUNE = """
DELETE FROM views WHERE record NOT IN (
    SELECT id FROM records WHERE id IN (SELECT record FROM views) ORDER BY score DESC LIMIT ?)
"""
_KNOWN = "SELECT path, size, mtime_ns FROM records WHERE score IS NOT NULL AND path "
_BETWEEN, _AMONG = f"{_KNOWN} BETWEEN ? AND ? ORDER BY path LIMIT ?", f"{_KNOWN} IN ({{}})"
_PICTURES = "SELECT path, about, picture FROM views JOIN records ON id = record ORDER BY views.rowid"
_IN_ORDER = "SELECT line FROM records ORDER BY id"
_BY_SCORE = "SELECT line FROM records ORDER BY score DESC, path"
_CLEAR = ("DELETE FROM records", "DELETE FROM views", "DELETE FROM model")
_SHOWN = "SELECT count(*), min(score) FROM records WHERE id IN (SELECT record FROM views)"


class Results:
    """The records in a folder, open for writing; close it, or use it as a context.

    A picture is known by its path, its size and its time, so that one that was replaced is inspected again.
    `model` identifies the model; results of another model in the same folder are refused, not mixed. Small
    pictures are kept of the 300 highest scores.

    Raises:
        OutputError: the folder cannot be written, or holds results of another model, damaged or foreign ones.
    """

    def __init__(self, folder: Path, *, model: str, fresh: bool = False) -> None:
        self.folder, self.model = writable_folder(folder), model
        if fresh:
            _clear(self.folder)
        elif (self.folder / LINES).is_file() and not (self.folder / STORE).is_file():
            raise _refused(f"results {self.folder / LINES}", f"{STORE} beside it", "none")
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
                self._claim()
            self._least = self._least_shown()
        except BaseException:
            self.close()
            raise

    def new(self, paths: Iterable[Path]) -> Iterator[Path]:
        """Those of `paths` that have no answer or failed, in their order; no file is looked at."""
        for some, keys in _by_hundreds(paths):
            answered = {key for key, _, _ in self._answered(keys)}
            yield from (path for path, key in zip(some, keys, strict=True) if key not in answered)

    def changed(self, paths: Iterable[Path]) -> Iterator[Path]:
        """Those of `paths` that have an answer, but whose file has changed since; in their order."""
        for some, keys in _by_hundreds(paths):
            answered = self._answered(keys)
            others = [
                (path, now) for path, now in zip(some, states(keys), strict=True) if now not in answered
            ]
            names = {key for key, _, _ in answered} if others else ()
            yield from (path for path, (key, _, _) in others if key in names)

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

    def add(self, *inspected: Inspected) -> None:
        """Add records, or put them in the place of earlier ones of their paths, all in one commit.

        Raises:
            OutputError: the disk is full or the folder is gone, or another model has taken the folder; what
                was added before stays.
        """
        with writing(self._base, self.folder):
            if self._base.execute("SELECT identity FROM model").fetchone() != (self.model,):
                raise _of_another_model(self.folder)
            drawn = sum(self._put(one) for one in inspected)
            if drawn:
                self._base.execute(_PRUNE, (MOST,))
        if drawn:
            self._least = self._least_shown()

    def _put(self, one: Inspected) -> bool:
        """Write one record; whether it has small pictures."""
        record, base = one.record, self._base
        key, line = os.fsencode(record.path), record.to_json() | {"file": record.state}
        base.execute(_ADD, (key, *(record.state or _ABSENT), record.score, json.dumps(line)))
        (number,) = base.execute("SELECT id FROM records WHERE path = ?", (key,)).fetchone()
        base.execute("DELETE FROM views WHERE record = ?", (number,))
        if one.views is not None:
            pictures = (Inset(one.views.thumbnail, ""), Inset(one.views.overlay, ""), *one.views.insets)
            rows = ((number, picture.about, picture.picture) for picture in pictures)
            base.executemany("INSERT INTO views VALUES (?, ?, ?)", rows)
        return one.views is not None

    def export(self) -> None:
        """Write results.jsonl, a line a picture, and results.csv, most anomalous first, unreadable ones last.

        Neither where there are no records.
        """
        with turn(self.folder):
            with told(self.folder):
                if self._base.execute("SELECT 1 FROM records LIMIT 1").fetchone() is None:
                    return
                with write_atomically(self.folder / LINES) as stream:
                    for (line,) in self._base.execute(_IN_ORDER):
                        stream.write(f"{line}\n".encode())
            ordered = _records(self._base, self.folder, _BY_SCORE)
            tables.write_table(self.folder / TABLE, tables.RESULTS, ordered)

    def _claim(self) -> None:
        known = self._base.execute("SELECT identity FROM model").fetchone()
        if known is None:
            self._base.execute("INSERT INTO model VALUES (?)", (self.model,))
        elif known != (self.model,):
            if self._base.execute("SELECT 1 FROM records LIMIT 1").fetchone() is not None:
                raise _of_another_model(self.folder)
            self._base.execute("UPDATE model SET identity = ?", (self.model,))

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
        with contextlib.closing(opened(folder)) as base:
            yield from _records(base, folder, _IN_ORDER)


def read_views(folder: Path) -> dict[str, Views]:
    """Small pictures of the most anomalous pictures, by path."""
    if not (folder / STORE).is_file():
        return {}
    found: dict[str, list[Inset]] = {}
    with contextlib.closing(opened(folder)) as base, told(folder):
        for path, about, picture in base.execute(_PICTURES):
            found.setdefault(os.fsdecode(path), []).append(Inset(picture, about))
    return {
        path: Views(thumbnail.picture, overlay.picture, tuple(insets))
        for path, (thumbnail, overlay, *insets) in found.items()
    }


def _by_hundreds(paths: Iterable[Path]) -> Iterator[tuple[list[Path], list[bytes]]]:
    """`paths` in pieces of one query each, and their names in the store."""
    remaining = iter(paths)
    while piece := list(itertools.islice(remaining, _AT_ONCE)):
        yield piece, [os.fsencode(path) for path in piece]


def _records(base: sqlite3.Connection, folder: Path, query: str) -> Iterator[Record]:
    with told(folder):
        (model,) = base.execute("SELECT identity FROM model").fetchone() or ("",)
        for (line,) in base.execute(query):
            try:
                yield Record.of_json(json.loads(line), model=model)
            except (ValueError, AttributeError) as error:
                raise foreign(folder) from error


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
    shutil.rmtree(folder / OVERLAYS, ignore_errors=True)


def _of_another_model(folder: Path) -> OutputError:
    return _refused(
        f"results folder {folder}",
        "an empty folder, or results of this model and calibration",
        "results of another model or calibration",
    )


def _refused(what: str, expected: str, got: str) -> OutputError:
    fix = "Choose another --out, or start over with --fresh."
    return OutputError(what, expected=expected, got=got, fix=fix)
