"""By what names results know their pictures: one picture has one name, from whatever folder it is named.

Relative names are read from one folder: the working folder of the inspection that first recorded one.
An entry of kind `folder` in the chain says which that is (`path`) and where the results lay then (`results`),
so that it is found again where both were moved. A picture that is named from another working folder, or in
full, has the name by which the results know its folder. Where they do not know it, it keeps the name that was
typed if that is read from the same place, and is named as seen from there otherwise.

Where results of an earlier version say no folder, or what they say is not there any more, the pictures tell:
a folder is taken that holds most of the latest ones with the bytes that were inspected. Where none does,
pictures are named in full, so that they never take the place of others.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from flawscope.files import is_file, is_folder, sha256
from flawscope.runtime.listing import real_path
from flawscope.station import chained
from flawscope.station.entries import records
from flawscope.station.picture import Inspected
from flawscope.station.store import foreign, told

_AT_ONCE = 500  # pictures of one query
_LATEST, _ENOUGH = 300, 12  # records that may tell a folder, and how many pictures that are there do
_RELATIVE = "(path < X'2F' OR path >= X'30')"
_SEPARATOR = "X'2F'"
if os.name == "nt":
    _RELATIVE = "(substr(path, 2, 1) != X'3A' AND substr(path, 1, 1) != X'5C')"
    _SEPARATOR = "X'5C'"
_ANY = f"SELECT 1 FROM records WHERE {_RELATIVE}"  # noqa: S608 - of constants
_BARE = f"{_ANY} AND instr(path, {_SEPARATOR}) = 0"
_BELOW = "SELECT 1 FROM records WHERE path >= ? AND path < ?"
_LAST = f"""
SELECT entry FROM records JOIN chain ON seq = link WHERE {_RELATIVE.replace("path", "+path")}
AND score IS NOT NULL ORDER BY id DESC LIMIT {_LATEST}
"""  # noqa: S608 - + keeps SQLite to the order of rows


class Names:
    """The names of pictures in a store that is open for writing; made within the caller's transaction.

    Attributes:
        root: the folder from which relative names are read; None where no record has one yet, or where it is
            not found.
        said: a sentence for whoever named pictures from elsewhere; else empty.
    """

    def __init__(self, base: sqlite3.Connection, folder: Path) -> None:
        self._base, self._folder, self.said = base, folder, ""
        self._last = chained.last_of(base, "folder")
        self._set(_found(base, folder))
        if self.root is not None and self.root != _noted(base, folder)[0]:
            self._note(self.root)

    def by_hundreds(self, paths: Iterable[Path]) -> Iterator[tuple[list[Path], list[bytes]]]:
        """`paths` in pieces of one query each, and their names in the store."""
        remaining = iter(paths)
        while piece := list(itertools.islice(remaining, _AT_ONCE)):
            with told(self._folder):
                self.follow()
                keys = [os.fsencode(self._of(str(path))) for path in piece]
            yield piece, keys

    def follow(self) -> None:
        """Heed what another inspection has recorded meanwhile."""
        last = chained.last_of(self._base, "folder")
        if last != self._last:
            self._last = last
            self._set(_noted(self._base, self._folder)[0])

    def named(self, one: Inspected) -> Inspected:
        """The same with the picture's name in these results."""
        name = self._of(one.record.path)
        if name == one.record.path:
            return one
        return replace(one, record=one.record.model_copy(update={"path": name}))

    def recorded(self, name: str) -> None:
        """Note from where names are read, before the first record with a relative one."""
        if self._open and not Path(name).is_absolute():
            self._note(real_path(_here()))

    def _set(self, root: Path | None) -> None:
        self.root = root
        self._open = root is None and not _any(self._base, _ANY)
        self._by_typed = dict[str, str]()
        self._by_place = dict[str, str]()  # so that two ways to one folder have one name
        self._is_root = functools.cache(lambda path: real_path(path) == self.root)

    def _note(self, root: Path) -> None:
        content = {"path": str(root), "results": str(real_path(self._folder))}
        chained.append(self._base, "folder", content)
        self._last = chained.last_of(self._base, "folder")
        self.root, self._open = root, False
        self._is_root.cache_clear()

    def _of(self, name: str) -> str:
        folder, last = os.path.split(name)
        known = self._by_typed.get(folder)
        if known is None:
            known = self._by_typed[folder] = self._called(folder)
        return name if known == folder else os.path.join(known, last)  # noqa: PTH118 - called often

    def _called(self, folder: str) -> str:
        """What the records call a folder, or what they shall."""
        named = _here() / folder
        try:
            place = os.path.realpath(named)
        except ValueError:  # a name that no folder can have
            return folder
        whole = place if os.pardir in named.parts else str(named)  # .. leads elsewhere behind a link
        if place not in self._by_place:
            name = self._name(folder, whole, place)
            forms = itertools.chain((name,), self._seen_from_root(whole, place), (whole, place))
            self._by_place[place] = next(filter(self._holds, forms), name)
        return self._by_place[place]

    def _name(self, folder: str, whole: str, place: str) -> str:
        """The name for a folder of which there are no records: as it was typed, where that can be."""
        at_root = self._open or self._is_root(_here())
        if Path(folder).is_absolute():
            return folder
        if at_root:
            plain = os.pardir not in Path(folder).parts or self._holds(folder)
            return folder if plain else _relative(Path(place), real_path(_here()))
        if self.root is None:
            self.said = (
                "Pictures are named in full: the folder that earlier names are read from is not found."
            )
            return whole
        self.said = f"Names in {self._folder} are read from {self.root}, where these results began."
        return next(self._seen_from_root(whole, place), whole)

    def _seen_from_root(self, whole: str, place: str) -> Iterator[str]:
        """The folder's relative names: by the way that was typed, and by where links lead."""
        if self.root is None:
            return
        above = Path(whole)
        for parent in (above, *above.parents):
            if self._is_root(parent):
                yield _relative(above, parent)
        with contextlib.suppress(ValueError):  # another drive
            yield _relative(Path(place), self.root)

    def _holds(self, folder: str) -> bool:
        """Whether there are records of pictures in this folder or below."""
        if not folder:
            return _any(self._base, _BARE)
        first = os.fsencode(os.path.join(folder, ""))  # noqa: PTH118 - with a separator at its end
        after = first[:-1] + bytes([first[-1] + 1])
        return _any(self._base, _BELOW, first, after)


def _any(base: sqlite3.Connection, query: str, *values: bytes) -> bool:
    return base.execute(f"{query} LIMIT 1", values).fetchone() is not None


def read_from(base: sqlite3.Connection, folder: Path) -> Path:
    """The folder from which names in these results are read, for whoever looks for their pictures.

    Raises:
        OutputError: the store is damaged.
    """
    return _found(base, folder) or _noted(base, folder)[0] or _here()


def _found(base: sqlite3.Connection, folder: Path) -> Path | None:
    """The folder that is noted where it still is that, or else the one whose pictures are those inspected."""
    (noted, then), now, here = _noted(base, folder), real_path(folder), real_path(_here())
    places = [here]
    if noted is not None and then is not None:
        if then == now and is_folder(noted):
            return noted
        with contextlib.suppress(ValueError):  # another drive
            places = [Path(os.path.normpath(now / os.path.relpath(noted, then))), noted, here]
    if not _any(base, _ANY):
        return None
    latest = [(one.path, one.picture) for one in records(base, folder, _LAST)]
    return next((place for place in dict.fromkeys(places) if _fits(place, latest)), None)


def _fits(place: Path, pictures: Iterable[tuple[str, str | None]]) -> bool:
    """Whether most of these pictures, as far as they are there, have the bytes that were inspected."""
    paths = ((place / name, expected) for name, expected in pictures)
    there = ((path, expected) for path, expected in paths if is_file(path))
    same = other = 0
    for path, expected in itertools.islice(there, _ENOUGH):
        with contextlib.suppress(OSError):
            alike = sha256(path) == expected
            same, other = same + alike, other + (not alike)
    return same > other


def _noted(base: sqlite3.Connection, folder: Path) -> tuple[Path | None, Path | None]:
    """What the chain's last entry says: the folder of names, and where the results lay."""
    last = chained.last_of(base, "folder")
    row = None if last is None else chained.row(base, last[0])
    try:
        return (None, None) if row is None else (Path(row.entry["path"]), Path(row.entry["results"]))
    except (KeyError, TypeError) as error:
        raise foreign(folder) from error


def _relative(folder: Path, root: Path) -> str:
    """The folder seen from `root`, empty for itself: what stands before a picture's own name."""
    seen = os.path.relpath(folder, root)
    return "" if seen == os.curdir else seen


def _here() -> Path:
    """The working folder, as the shell calls it where links lead there."""
    try:
        real, called = Path.cwd(), Path(os.environ.get("PWD", ""))
    except OSError:  # it was removed: only whole names lead anywhere
        return Path(os.sep)
    return called if called.is_absolute() and real_path(called) == real else real
