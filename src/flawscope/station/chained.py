"""The chain in the store of an inspection: what is appended to it, in the transaction of what it tells of.

Entries say what `kind` they are and when (`at`) they were appended:

- `picture`: a picture's record, with the state of its file and the digest of model, calibration and engine.
  One that was inspected before names the entry of that time (`again`). Where small pictures are kept of it,
  `views` is their hash.
- `model`: what is in force from there on.
- `review`: what a person found the part of a picture to be.
- `folder`: from which folder relative names of pictures are read from there on (`station.names`).
- `drift`: that drift is watched from there on as of a new stream.
"""

from __future__ import annotations

import datetime
import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from flawscope.files import digest
from flawscope.runtime import chain
from flawscope.runtime.chain import Row
from flawscope.runtime.record import Views
from flawscope.station.store import foreign

Kind = Literal["picture", "model", "folder", "review", "drift"]

_LAST = "SELECT seq, CAST(hash AS BLOB) FROM chain ORDER BY seq DESC LIMIT 1"
_ADD = "INSERT INTO chain VALUES (?, ?, ?, ?, ?)"
_ROWS = "SELECT seq, kind, entry, previous, hash FROM chain ORDER BY seq"
_OTHERS = "SELECT entry FROM chain WHERE kind = ? AND kind != 'picture' ORDER BY seq"
_LAST_OTHER = """
SELECT seq, CAST(hash AS BLOB) FROM chain WHERE kind = ? AND kind != 'picture' ORDER BY seq DESC LIMIT 1
"""


def append(base: sqlite3.Connection, kind: Kind, content: Mapping[str, Any]) -> Row:
    """Append an entry within the caller's transaction."""
    number, last = base.execute(_LAST).fetchone() or (0, None)
    before = None if last is None else Row("", {"number": number}, last.hex())
    row = chain.following(before, {"kind": kind, "at": _now(), **content})
    text = json.dumps(row.entry, separators=(",", ":"))
    base.execute(_ADD, (row.number, kind, text, bytes.fromhex(row.previous), bytes.fromhex(row.hash)))
    return row


def rows(base: sqlite3.Connection) -> Iterator[tuple[int, str, Row]]:
    """Number, kind and row of the whole chain, as they stand in the table; one row at a time."""
    for number, kind, text, previous, hashed in base.execute(_ROWS):
        yield number, kind, _row(text, previous, hashed)


def row(base: sqlite3.Connection, number: int) -> Row | None:
    """The row of this number, or None."""
    query = "SELECT entry, previous, hash FROM chain WHERE seq = ?"
    found = base.execute(query, (number,)).fetchone()
    return None if found is None else _row(*found)


def picture(base: sqlite3.Connection, folder: Path, number: int) -> Row:
    """The row of this number, which tells of a picture.

    Raises:
        OutputError: there is none such.
    """
    found = row(base, number)
    if found is None or not isinstance(found.entry.get("record"), dict):
        raise foreign(folder)
    return found


def others(base: sqlite3.Connection, kind: Kind) -> Iterator[dict[str, Any]]:
    """The entries of a kind that tells of no picture, in their order; what is none is empty."""
    for (text,) in base.execute(_OTHERS, (kind,)):
        yield {**_row(text, b"", b"").entry}


def last_of(base: sqlite3.Connection, kind: Kind) -> tuple[int, str] | None:
    """Number and hash of the last row of a kind that tells of no picture, or None."""
    found = base.execute(_LAST_OTHER, (kind,)).fetchone()
    return None if found is None else (int(found[0]), found[1].hex())


def hash_of(views: Views) -> str:
    """A digest of small pictures and what they show."""
    parts = [("", views.thumbnail), ("", views.overlay), *((one.about, one.picture) for one in views.insets)]
    return digest(json.dumps([(about, digest(picture)) for about, picture in parts]).encode())


def _row(text: Any, previous: Any, hashed: Any) -> Row:
    """From the cells of a table that anybody may have written; what is no row is one that is not whole."""
    try:
        return Row.of(previous.hex(), json.loads(text), hashed.hex())
    except (ValueError, TypeError, AttributeError, RecursionError):
        return Row("", {}, "")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
