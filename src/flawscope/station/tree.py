"""The pictures of a folder and all below it, looked through again and again at little cost.

A folder whose time of change stands still has the names that it had, so only folders that changed are
listed again, and of a listing only names that are new are looked at. Links are followed, and no folder is
read twice, as in `runtime.listing`.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from flawscope.runtime.listing import UNREAD_SUFFIXES, is_picture_name
from flawscope.runtime.record import State

Key = tuple[int, int]  # device and number of a folder
_FINE = 0.1  # s within which a second change may leave the time as it is
_COARSE = 2.5  # the same where times are whole s
_ANEW = 60.0  # s after which a folder is listed again whatever its time says


@dataclass(slots=True)
class _Folder:
    key: Key
    changed: int
    listed: float
    names: set[str] = field(default_factory=set)
    inner: list[str] = field(default_factory=list)


class Tree:
    """What lies in `folder` and below it; `look` tells what came and went since the last look.

    What cannot be read, what is no picture though its name is one's, and each format that is not read are
    told once through `tell`. While `folder` or one below it cannot be read, its pictures count as being
    there.
    """

    def __init__(self, folder: Path, *, besides: Path | None, tell: Callable[[str], None]) -> None:
        self._base, self._besides, self._tell = str(folder), besides, tell
        self._folders: dict[str, _Folder] = {}
        self._away: set[str] = set()  # folders that cannot be read for the moment
        self._named: set[str] = set()  # files that were told of
        self._above = {_key_of(str(parent)) for parent in folder.resolve().parents}

    def look(self) -> tuple[list[tuple[str, State | None]], list[str]]:
        """Pictures that came, with their state (None for a link that leads nowhere), and names that went."""
        came, went = list[tuple[str, State | None]](), list[str]()
        met = set(self._above)
        if self._besides is not None:
            met.add(_key_of(str(self._besides)))
        waiting, seen = [self._base], set[str]()
        while waiting:
            path = waiting.pop()
            try:
                status = os.stat(path)  # noqa: PTH116 - called often
                key = (status.st_dev, status.st_ino)
                if key in met:
                    continue
                met.add(key)
                if self._may_have_changed(path, key, status.st_mtime_ns):
                    self._list(path, key, status.st_mtime_ns, came, went)
            except OSError as error:
                self._lost(path, error)
            else:
                self._found(path)
            if path in self._folders:
                seen.add(path)
                waiting += self._folders[path].inner
        for path in self._folders.keys() - seen:
            went += (os.path.join(path, name) for name in self._folders.pop(path).names)  # noqa: PTH118
        return came, went

    def _may_have_changed(self, path: str, key: Key, changed: int) -> bool:
        known, now = self._folders.get(path), time.time()
        if known is None or (known.key, known.changed) != (key, changed):
            return True
        unsure = _FINE if changed % 1_000_000_000 else _COARSE
        return known.listed - changed / 1e9 < unsure or now - known.listed > _ANEW

    def _list(
        self, path: str, key: Key, changed: int, came: list[tuple[str, State | None]], went: list[str]
    ) -> None:
        """List a folder again; both lists grow by what it tells."""
        listed = time.time()
        names = set(os.listdir(path))  # noqa: PTH208 - of a hundred thousand names, in one go
        known = self._folders.get(path)
        if known is None:
            known = self._folders[path] = _Folder(key, changed, listed)
        fresh = names - known.names if known.key == key else names  # another folder in its place
        if len(names) - len(fresh) < len(known.names):
            gone = known.names - names
            went += (os.path.join(path, name) for name in gone)  # noqa: PTH118 - called often
            left = gone if known.key == key else known.names
            known.inner = [inner for inner in known.inner if os.path.basename(inner) not in left]  # noqa: PTH119
        known.key, known.changed, known.listed, known.names = key, changed, listed, names
        for entry, status in _looked_at(path, fresh):
            if status is not None and stat.S_ISDIR(status.st_mode):
                known.inner.append(entry)
            elif not is_picture_name(os.path.basename(entry)):  # noqa: PTH119
                self._unread(entry)
            elif status is None:
                self._name(entry, "leads nowhere yet")
                came.append((entry, None))
            elif stat.S_ISREG(status.st_mode):
                came.append((entry, (status.st_size, status.st_mtime_ns)))
            else:
                self._name(entry, "is no regular file, and is passed over")

    def _unread(self, path: str) -> None:
        suffix = os.path.splitext(path)[1].lower()  # noqa: PTH122 - called often
        if suffix in UNREAD_SUFFIXES and suffix not in self._named:
            self._named.add(suffix)
            self._tell(f"{path} is passed over: {suffix} is not read; convert it to PNG. So are all others.")

    def _name(self, path: str, what: str) -> None:
        if path not in self._named:
            self._named.add(path)
            self._tell(f"{path} {what}.")

    def _lost(self, path: str, error: OSError) -> None:
        removed = isinstance(error, FileNotFoundError | NotADirectoryError)  # which its parent's names tell
        if path not in self._away and not (removed and path != self._base):
            self._away.add(path)
            reason = (error.strerror or str(error)).lower()
            self._tell(f"{path} cannot be read ({reason}); waiting until it can.")

    def _found(self, path: str) -> None:
        if path in self._away:
            self._away.remove(path)
            self._tell(f"{path} can be read again.")


def _looked_at(path: str, names: set[str]) -> Iterator[tuple[str, os.stat_result | None]]:
    for name in names:
        if not name.startswith("."):
            entry = os.path.join(path, name)  # noqa: PTH118 - called often
            try:
                yield entry, os.stat(entry)  # noqa: PTH116
            except OSError:
                yield entry, None


def _key_of(path: str) -> Key:
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return (-1, -1)
    return status.st_dev, status.st_ino
