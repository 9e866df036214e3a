"""What people found parts to be, beside what the model said: entries of the results' chain."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from flawscope.data.samples import GOOD
from flawscope.errors import InputError, unknown
from flawscope.runtime.chain import Entry
from flawscope.runtime.listing import real_path
from flawscope.runtime.record import Record, Truth
from flawscope.station import chained
from flawscope.station.entries import record_of
from flawscope.station.names import read_from
from flawscope.station.store import foreign, opened, opened_to_read, require_results, told, writing

PartVerdict = Literal["good", "defective"]
VERDICTS: tuple[PartVerdict, ...] = get_args(PartVerdict)


@dataclass(frozen=True, slots=True)
class Review:
    """One review of one picture.

    Attributes:
        number: of its entry in the chain.
        at: when it was entered, as ISO 8601 in UTC.
        path: the picture, as its record names it.
        of: number of the entry that was the picture's last one then.
        picture: sha256 of the picture that was reviewed; None where its record has none.
        verdict: what the part is.
        by, note: who says so, and why; empty where nothing was said.
    """

    number: int
    at: str
    path: str
    of: int
    picture: str | None
    verdict: PartVerdict
    by: str
    note: str

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def is_of(self, record: Record) -> bool:
        """Whether it is of the picture of this record, and not of one that lay in its place before."""
        return (self.path, self.picture) == (record.path, record.picture)


def review(folder: Path, picture: str, verdict: str, *, by: str = "", note: str = "") -> Review:
    """Append what a person found the part of a picture to be; nothing that was entered before is changed.

    Args:
        folder: of an inspection's results; an inspection may be writing there.
        picture: as `located` takes it.
        verdict: `good` or `defective`.
        by: who says so.
        note: why.

    Raises:
        InputError: there are no results, or none of this picture.
        OptionError: another verdict.
        OutputError: the store is damaged, foreign, or cannot be written.
    """
    if verdict not in VERDICTS:
        raise unknown("--verdict", verdict, VERDICTS)
    require_results(folder)
    with contextlib.closing(opened(folder)) as base, writing(base, folder):
        link = located(base, folder, picture)
        record = record_of(chained.picture(base, folder, link).entry, folder)
        content = {"path": record.path, "of": link, "picture": record.picture, "verdict": verdict}
        return _review(chained.append(base, "review", {**content, "by": by, "note": note}).entry)


def reviews(folder: Path) -> list[Review]:
    """All reviews in a folder of results, in their order.

    Raises:
        InputError: there are no results.
        OutputError: what lies there is damaged or foreign.
    """
    require_results(folder)
    with contextlib.closing(opened_to_read(folder)) as base, told(folder):
        try:
            return [_review(entry) for entry in chained.others(base, "review")]
        except (KeyError, TypeError, ValueError) as error:
            raise foreign(folder) from error


def reviewed(records: Iterable[Record], given: Iterable[Review]) -> Iterator[Record]:
    """The records, with the last review of each as its truth where there is one."""
    last = {(one.path, one.picture): one for one in given}
    for record in records:
        one = last.get((record.path, record.picture))
        if one is None:
            yield record
        else:
            kind = GOOD if one.verdict == "good" else one.verdict
            yield record.model_copy(update={"truth": Truth(kind=kind, defective=one.verdict != "good")})


def _number(link: Any, folder: Path) -> int:
    if not isinstance(link, int):
        raise foreign(folder)
    return link


def located(base: sqlite3.Connection, folder: Path, picture: str) -> int:
    """Number of the last entry of a picture: named as its record has it, as it lies, or by its name's end.

    Raises:
        InputError: no record is of this picture, or several may be meant.
    """
    named, root = Path(picture), read_from(base, folder)
    exact = base.execute("SELECT link FROM records WHERE path = ?", (os.fsencode(named),)).fetchone()
    seen_from_there = named.is_absolute() or real_path(root) == real_path(Path.cwd())
    if exact is not None and seen_from_there:
        return _number(exact[0], folder)
    alike = base.execute("SELECT path, link FROM records WHERE instr(path, ?)", (os.fsencode(named.name),))
    rows = [(Path(os.fsdecode(path)), link) for path, link in alike]
    meant = {link for path, link in rows if _same_place(root / path, named)} | set(exact or ())
    meant = meant or {link for path, link in rows if path.parts[-len(named.parts) :] == named.parts}
    if len(meant) == 1:
        return _number(meant.pop(), folder)
    raise InputError(
        f"picture {picture}",
        expected=f"one of the pictures inspected into {folder}",
        got=f"a name that {len(meant)} of them have" if meant else "a name that none of them has",
        fix="Name it as results.csv does." if seen_from_there else f"Name it in full, or as from {root}.",
    )


def _same_place(path: Path, named: Path) -> bool:
    return path.name == named.name and real_path(path.parent) == real_path(named.parent)


def _review(entry: Entry) -> Review:
    names = ("number", "at", "path", "of", "picture", "verdict", "by", "note")
    return Review(**{name: entry[name] for name in names})
