"""A chain of entries: each bears a hash of itself and of the one before, so that no early one changes alone.

The hash of an entry is sha256 over the hash before it and the entry's canonical form: JSON with keys in
order, no white space, all but ASCII escaped. Before the first stand 64 zeros. Entries are numbered from 1,
under `number`, which the hash covers too.

What it shows is that nothing within the chain was changed, left out or put in afterwards. Whoever can rewrite
all of it can make a new one, and rows cut off its end leave a chain that is whole: only the last hash, kept
somewhere else, tells of those.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

START = "0" * 64  # what stands before the first entry
_DIGEST = 32  # bytes
_SEPARATORS = (",", ":")

Entry = Mapping[str, Any]
How = Literal["changed", "removed", "put in"]


@dataclass(frozen=True, slots=True)
class Row:
    """An entry at its place in a chain, as it is stored.

    Attributes:
        previous: hash of the entry before, in hex.
        entry: what it says, plain values; `number` among them.
        hash: its own hash, in hex.
    """

    previous: str
    entry: Entry
    hash: str

    @property
    def number(self) -> int:
        """Its place in the chain, from 1; 0 where the entry tells none."""
        number = self.entry.get("number")
        return number if type(number) is int else 0

    @property
    def whole(self) -> bool:
        """Whether the row's hash is that of its entry and of the hash before it."""
        try:
            return self.number > 0 and link(self.previous, self.entry) == self.hash
        except (ValueError, RecursionError):  # a number that JSON cannot hold
            return False

    def to_line(self) -> str:
        """One line of JSON, without its end."""
        line = {"previous": self.previous, "entry": self.entry, "hash": self.hash}
        return json.dumps(line, sort_keys=True, separators=_SEPARATORS, allow_nan=False)

    @classmethod
    def of_line(cls, line: str | bytes) -> Self:
        """From what `to_line` gave; what is no such line becomes a row that is not whole."""
        try:
            values = json.loads(line)
            return cls.of(values["previous"], values["entry"], values["hash"])
        except (ValueError, TypeError, KeyError, RecursionError):
            return cls("", {}, "")

    @classmethod
    def of(cls, previous: object, entry: object, hashed: object) -> Self:
        """From values of any kind; those that are none of a row's become one that is not whole."""
        if isinstance(previous, str) and isinstance(entry, dict) and isinstance(hashed, str):
            return cls(previous, entry, hashed)
        return cls("", {}, "")


@dataclass(frozen=True, slots=True)
class Break:
    """The first row of a chain that is not as it was written: its number, and what became of it."""

    number: int
    how: How

    def __str__(self) -> str:
        return f"row {self.number} was {self.how}"


def canonical(entry: Entry) -> str:
    """The canonical form of an entry.

    Raises:
        ValueError: a number that JSON cannot hold.
    """
    return json.dumps(entry, sort_keys=True, separators=_SEPARATORS, allow_nan=False)


def link(previous: str, entry: Entry) -> str:
    """The hash of an entry that follows the one with the hash `previous`.

    Raises:
        ValueError: a number that JSON cannot hold.
    """
    return hashlib.sha256((previous + canonical(entry)).encode(errors="surrogatepass")).hexdigest()


def following(last: Row | None, entry: Entry) -> Row:
    """The row that adds `entry` to the chain that ends with `last`; None where it begins.

    Raises:
        ValueError: a number that JSON cannot hold.
    """
    previous, number = (START, 1) if last is None else (last.hash, last.number + 1)
    numbered = {**entry, "number": number}
    return Row(previous, numbered, link(previous, numbered))


def verify(rows: Iterable[Row]) -> Break | None:
    """The first row that was changed, removed or put in, of a whole chain in its order; None where none was.

    A row that fits neither the one before nor itself was changed. One that is whole and names another
    predecessor than stands there tells of that one: it was changed and its hash made anew, or rows between
    are gone, or did not stand there. 32 bytes are kept of each row.
    """
    seen = bytearray()
    before = START
    for place, row in enumerate(rows, 1):
        number = row.number
        if not row.whole:
            return Break(place, "changed")
        if number > place:
            return Break(place, "removed")
        if number < place:
            twin = seen[(number - 1) * _DIGEST : number * _DIGEST]
            return Break(place if twin.hex() == row.hash else number, "put in")
        if row.previous != before:
            return Break(max(place - 1, 1), "changed")
        before = row.hash
        seen += bytes.fromhex(row.hash)
    return None
