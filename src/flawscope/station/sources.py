"""Which pictures an inspection means: files, folders, patterns, and a folder that is watched."""

from __future__ import annotations

import glob
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from flawscope.errors import DataError
from flawscope.runtime.images import IMAGE_SUFFIXES, list_images


def collect(sources: Sequence[str | Path], *, besides: Path | None = None) -> list[Path]:
    """The pictures that `sources` name, each once: files as given, folders with all below them, patterns.

    A file that is named outright is kept whatever its suffix or state, so that its error is reported; what
    lies in the folder `besides`, where results go, is left out.

    Raises:
        DataError: a source that matches nothing, or a folder without pictures.
    """
    found: dict[Path, None] = {}
    for source in sources:
        for path in _expand(source, besides):
            found.setdefault(path)
    return list(found)


def _pictures(folder: Path, besides: Path | None) -> list[Path]:
    """Pictures in a folder and all below it."""
    found = [picture for place in (folder, *_folders_below(folder)) for picture in list_images(place)]
    return [path for path in found if not _within(path, besides)]


def _within(path: Path, folder: Path | None) -> bool:
    return folder is not None and path.resolve().is_relative_to(folder.resolve())


def _expand(source: str | Path, besides: Path | None) -> list[Path]:
    path = Path(source)
    if path.is_dir():
        pictures = _pictures(path, besides)
        if not pictures:
            raise DataError(
                f"folder {path}",
                expected="at least one picture",
                got="none",
                fix=f"Put pictures ({', '.join(sorted(IMAGE_SUFFIXES))}) into it, or name another folder.",
            )
        return pictures
    if path.exists() or not glob.has_magic(str(source)):
        return [path]
    matches = sorted(Path(match) for match in glob.glob(str(source), recursive=True))  # noqa: PTH207 - may be absolute
    pictures = [match for match in matches if match.is_file() and not _within(match, besides)]
    if not pictures:
        raise DataError(
            f"pattern {str(source)!r}",
            expected="at least one matching file",
            got="none",
            fix="Correct the pattern; put it in quotes so that the shell leaves it alone.",
        )
    return pictures


def _folders_below(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_dir() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def watch(
    folder: Path,
    *,
    stopped: Callable[[], bool],
    besides: Path | None = None,
    interval: float = 0.5,
    settle: float = 0.3,
) -> Iterator[Path]:
    """Pictures of `folder` as they arrive, oldest first, until `stopped()`.

    A file counts as arrived once its size and time have stood still for `settle` seconds; one that is
    written again is yielded again. The folder `besides`, where results go, is not watched.
    """
    done: dict[Path, tuple[int, int]] = {}
    pending: dict[Path, tuple[tuple[int, int], float]] = {}
    while not stopped():
        now = time.monotonic()
        arrived = []
        for path in _pictures(folder, besides):
            state = _state(path)
            if state is None or done.get(path) == state:
                continue
            if path in pending and pending[path][0] == state and now - pending[path][1] >= settle:
                arrived.append((state[1], path, state))
            elif path not in pending or pending[path][0] != state:
                pending[path] = (state, now)
        for _, path, state in sorted(arrived):
            if stopped():
                return
            done[path] = state
            pending.pop(path, None)
            yield path
        if not arrived:
            time.sleep(min(interval, settle))


def _state(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
