"""From the rows of an inspection's store to records and small pictures."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from flawscope.runtime.chain import Entry
from flawscope.runtime.record import Inset, Record, Views
from flawscope.station.store import foreign, told

_OF_ONE = """
SELECT CAST(about AS TEXT), CAST(picture AS BLOB) FROM views JOIN records ON id = record WHERE link = ?
ORDER BY views.rowid
"""


def record_of(entry: Entry, folder: Path) -> Record:
    """The record in an entry of the chain.

    Raises:
        OutputError: there is none.
    """
    try:
        return Record.of_json({**entry["record"], "file": entry["file"]}, model=entry["model"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise foreign(folder) from error


def views_of(base: sqlite3.Connection, link: int) -> Views:
    """Small pictures of the picture whose last entry is `link`; empty where none are kept."""
    found = [Inset(picture, about) for about, picture in base.execute(_OF_ONE, (link,))]
    return views(found) if found else Views()


def views(kept: Sequence[Inset]) -> Views:
    """Those that were kept of one picture, in their order; what somebody took away of them is empty."""
    thumbnail, overlay, *insets = kept if len(kept) > 1 else (*kept, Inset(b"", ""))
    return Views(thumbnail.picture, overlay.picture, tuple(insets))


def records(base: sqlite3.Connection, folder: Path, query: str) -> Iterator[Record]:
    """The records in the entries that a query gives; raises as `entries` and `record_of`."""
    for entry in entries(base, folder, query):
        yield record_of(entry, folder)


def entries(base: sqlite3.Connection, folder: Path, query: str) -> Iterator[Entry]:
    """Entries of the chain that a query gives.

    Raises:
        OutputError: what lies there is damaged.
    """
    with told(folder):
        for (text,) in base.execute(query):
            try:
                yield json.loads(text)
            except (ValueError, RecursionError) as error:
                raise foreign(folder) from error
