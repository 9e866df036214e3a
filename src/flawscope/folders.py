"""Folders that are made aside, change places in one step, and are told from what a kill left."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import glob
import os
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_PATIENCE = 600.0  # seconds that one process waits for another's turn; tables of a million records take 15


@contextlib.contextmanager
def scratch(parent: Path, prefix: str) -> Iterator[Path]:
    """A new folder in `parent` that is gone afterwards; while its maker lives, `abandoned` leaves it out."""
    while True:
        with tempfile.TemporaryDirectory(dir=parent, prefix=prefix) as name, claimed(Path(name)) as ours:
            if ours:  # and not taken for an abandoned one in its first moment
                yield Path(name)
                return


def abandoned(parent: Path, prefix: str) -> Iterator[Path]:
    """Folders of `scratch` whose makers were killed, each held until the next is asked for; none where the
    system cannot tell.
    """
    if fcntl is None:
        return
    for folder in sorted(Path(parent).glob(f"{glob.escape(prefix)}*")):
        with contextlib.suppress(OSError), claimed(folder) as ours:
            if ours:
                yield folder


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Hold the folder's lock, which the system gives back whatever becomes of the process.

    False where another holds it or the folder is gone; True without a lock where the disk has none.
    """
    if fcntl is None:
        yield True
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError:
            yield True
            return
        yield folder.exists()
    finally:
        os.close(handle)


@contextlib.contextmanager
def turn(path: Path) -> Iterator[None]:
    """What the block does is done by one process at a time; others wait, ten minutes at most.

    An empty file at `path` keeps the turn, which the system gives back whatever becomes of the process.

    Raises:
        OSError: the file cannot be made, or another process takes its turn for too long.
    """
    path.touch()  # whose errors say why
    with contextlib.closing(sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)) as base:
        try:
            base.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            raise OSError(errno.EACCES, str(error), str(path)) from error
        yield


def exchange(first: Path, second: Path) -> None:
    """Let two folders change places, in one step where system and disk can do it (Linux, macOS).

    Elsewhere it takes three renames; `mended` gives back a `second` that a kill in between took away.

    Raises:
        OSError: the system refuses; both are where they were.
    """
    if _exchanged(first, second):
        return
    away = _away(second)
    second.rename(away)
    try:
        first.rename(second)
        try:
            away.rename(first)
        except BaseException:
            second.rename(first)
            raise
    except BaseException:
        away.rename(second)
        raise


def mended(folder: Path) -> Path | None:
    """Put `folder` back where a kill in `exchange` took it away; what else it left, or None."""
    away = _away(folder)
    if not away.is_dir():
        return None
    if folder.exists():
        return away
    away.rename(folder)
    return None


def _away(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.away")


def _exchanged(first: Path, second: Path) -> bool:
    """Whether the system exchanged the two; False where it cannot."""
    call = _exchange_call()
    if call is None:
        return False
    sys.audit("os.rename", first, second, -1, -1)  # as Python's own renames are told
    if call(os.fsencode(first), os.fsencode(second)) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(second))


@cache
def _exchange_call() -> Callable[[bytes, bytes], int] | None:
    """The C library's way to exchange two names: renameat2 of Linux, renamex_np of macOS."""
    if sys.platform not in ("linux", "darwin"):
        return None
    library: Any = ctypes.CDLL(None, use_errno=True)
    here, swap = -100, 2  # AT_FDCWD; RENAME_EXCHANGE, and RENAME_SWAP
    if hasattr(library, "renameat2"):
        return lambda first, second: int(library.renameat2(here, first, here, second, swap))
    if hasattr(library, "renamex_np"):
        return lambda first, second: int(library.renamex_np(first, second, swap))
    return None
