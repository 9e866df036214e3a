"""What tells whether a picture has changed: the size and the time of its file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from flawscope.runtime.record import State

_TOP = 1 << 63  # times are stored in 64 bits, which end in 2262

Known = tuple[bytes, int | None, int | None]  # name, size and time of a file; None where there is none


def file_state(path: Path) -> State | None:
    """Size in bytes and time of change in ns; None where there is no file."""
    try:
        status = path.stat()
    except (OSError, ValueError):  # no such file, or a name that no file can have
        return None
    return _state(status)


def _state(status: os.stat_result) -> State:
    return status.st_size, min(max(status.st_mtime_ns, -_TOP), _TOP - 1)


def states(keys: Sequence[bytes]) -> list[Known]:
    """How the files of these names stand; quickest for files of one folder."""
    found: list[Known] = []
    with _folder_of(keys) as (start, folder):
        for key in keys:
            try:
                status = os.stat(key[start:], dir_fd=folder)
            except (OSError, ValueError):
                found.append((key, None, None))
            else:
                found.append((key, *_state(status)))
    return found


@contextlib.contextmanager
def _folder_of(keys: Sequence[bytes]) -> Iterator[tuple[int, int | None]]:
    """Length of the name of the folder below which all files lie, and the folder, opened.

    Asked from there, the system need not walk down to it for each file. (0, None) where it cannot be opened.
    """
    common = os.fsencode(os.path.commonprefix([min(keys), max(keys)]))  # noqa: RUF071 - cut at a separator below
    name = common[: common.rfind(b"/") + 1]
    try:
        if not name or os.stat not in os.supports_dir_fd:
            raise NotADirectoryError
        folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        yield 0, None
        return
    try:
        yield len(name), folder
    finally:
        os.close(folder)
