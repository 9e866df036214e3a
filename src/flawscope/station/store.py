"""The SQLite file of an inspection: its tables, how it is opened and shared, its errors in plain words."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from flawscope import folders
from flawscope.errors import InputError, OutputError
from flawscope.files import unwritable

STORE = "results.sqlite"
_APPLICATION, _FORMAT = 0x666C6177, 2  # "flaw", and the version of the tables below
_PATIENCE = 30.0  # seconds that one inspection waits for another's write
_TURN = ".writing"
_REFUSED = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}
_KEPT = "Keep it as it is and inspect into another --out; inspect --fresh deletes it."

_TABLES = """
CREATE TABLE chain (seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, entry TEXT NOT NULL, previous BLOB NOT NULL,
    hash BLOB NOT NULL);
CREATE INDEX others ON chain (kind, seq) WHERE kind != 'picture';
CREATE TABLE records (id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, size INTEGER, mtime_ns INTEGER,
    score REAL, link INTEGER NOT NULL);
CREATE INDEX by_score ON records (score DESC, path);
CREATE TABLE views (record INTEGER NOT NULL, about TEXT NOT NULL, picture BLOB NOT NULL);
CREATE INDEX by_record ON views (record);
CREATE TABLE drift (verdicts TEXT PRIMARY KEY, reference TEXT NOT NULL, alpha REAL, start INTEGER,
    seq INTEGER, state BLOB);
"""


class ForeignResultsError(OutputError):
    """A file in the store's place that is damaged, somebody else's, or of another version."""


def opened(folder: Path) -> sqlite3.Connection:
    """The store of `folder`, made where there is none; several processes may have it open.

    Raises:
        ForeignResultsError: the file is damaged, or of something else.
        OutputError: it cannot be opened or written.
    """
    return _opened(folder, folder / STORE)


def opened_to_read(folder: Path) -> sqlite3.Connection:
    """The store of `folder`, also where nothing can be written: an archive, or somebody else's share.

    Raises:
        ForeignResultsError: the file is damaged, or of something else.
        OutputError: it cannot be opened.
        InputError: an inspection left rows beside the file, which only a folder that can be written gives.
    """
    try:
        return opened(folder)
    except OutputError as error:
        cause = error.__cause__
        if not isinstance(cause, sqlite3.Error) or cause.sqlite_errorcode & 0xFF not in _REFUSED:
            raise
        if _rows_left(folder):
            raise _unreachable(folder) from error
        return _opened(folder, f"{(folder / STORE).resolve().as_uri()}?immutable=1", uri=True)


def _rows_left(folder: Path) -> bool:
    log = folder / f"{STORE}-wal"
    return log.is_file() and log.stat().st_size > 0


def _unreachable(folder: Path) -> InputError:
    return InputError(
        f"results {folder / STORE}",
        expected="a folder that can be written, for an inspection is running or was cut off there",
        got="one that can only be read",
        fix="Copy the whole folder to where you can write, and name the copy.",
    )


def _opened(folder: Path, name: Path | str, *, uri: bool = False) -> sqlite3.Connection:
    with told(folder):
        base = sqlite3.connect(name, timeout=_PATIENCE, isolation_level=None, uri=uri)
        try:
            base.execute("BEGIN")  # or another inspection could lay its tables out between two looks
            ours = _is_ours(base, folder)
            base.execute("COMMIT")
            if not ours:
                _lay_out(base, folder)
            base.execute("PRAGMA synchronous = NORMAL")  # a kill loses nothing; a power cut, the last moments
        except BaseException:
            base.close()
            raise
    return base


def require_results(folder: Path) -> None:
    """Raise an InputError unless there are results in `folder`; opening them would make some."""
    if not (folder / STORE).is_file():
        fix = "Name the folder that inspect --out wrote."
        raise InputError(f"results {folder}", expected=f"a folder with {STORE}", got="none", fix=fix)


@contextlib.contextmanager
def writing(base: sqlite3.Connection, folder: Path) -> Iterator[None]:
    """All that the block writes is kept together when it ends well, or none of it.

    Raises:
        OutputError: the disk is full or the folder is gone.
    """
    with told(folder):
        base.execute("BEGIN IMMEDIATE")
        try:
            yield
            base.execute("COMMIT")
        except BaseException:
            if base.in_transaction:
                base.execute("ROLLBACK")
            raise


@contextlib.contextmanager
def turn(folder: Path) -> Iterator[None]:
    """What the block reads of the store and writes beside it is written by no other inspection meanwhile.

    Otherwise one that read earlier and writes later would put an older state in the place of a newer one.
    Records can be added all the while. An empty file keeps the turn, which the system gives back whatever
    becomes of the process.

    Raises:
        OutputError: the folder cannot be written.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(folders.turn(folder / _TURN))
        except OSError as error:
            raise unwritable(folder / STORE, error) from error
        with told(folder):
            yield


@contextlib.contextmanager
def told(folder: Path) -> Iterator[None]:
    """What SQLite raises, as one clear line."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise unwritable(folder / STORE, OSError(str(error))) from error
    except sqlite3.DatabaseError as error:
        raise foreign(folder) from error


def foreign(folder: Path) -> ForeignResultsError:
    """The error for a store that holds something else than records."""
    return ForeignResultsError(
        f"results {folder / STORE}",
        expected="results of an inspection",
        got="a damaged or foreign file",
        fix=_KEPT,
    )


def _of_another_version(folder: Path, number: int) -> ForeignResultsError:
    return ForeignResultsError(
        f"results {folder / STORE}",
        expected=f"results of format {_FORMAT}, which this version writes",
        got=f"format {number}",
        fix=_KEPT,
    )


def _is_ours(base: sqlite3.Connection, folder: Path) -> bool:
    """Whether the file holds our tables; False where it is new."""
    marks = [base.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    if marks == [_APPLICATION, _FORMAT]:
        return True
    if marks[0] == _APPLICATION:
        raise _of_another_version(folder, marks[1])
    if any(marks) or base.execute("SELECT 1 FROM sqlite_master").fetchone() is not None:
        raise foreign(folder)
    return False


def _lay_out(base: sqlite3.Connection, folder: Path) -> None:
    _log_ahead(base)
    with writing(base, folder):
        if not _is_ours(base, folder):  # another inspection may have been quicker
            for statement in _TABLES.split(";"):
                base.execute(statement)
            base.execute(f"PRAGMA application_id = {_APPLICATION}")
            base.execute(f"PRAGMA user_version = {_FORMAT}")


def _log_ahead(base: sqlite3.Connection) -> None:
    """Turn the write-ahead log on; SQLite itself does not wait for its turn here."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            base.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            return
