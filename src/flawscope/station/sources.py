"""Which pictures an inspection means: files, folders, patterns, and a folder that is watched."""

from __future__ import annotations

import contextlib
import glob
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from flawscope.data.truth import says_bad, says_good
from flawscope.errors import DataError
from flawscope.runtime.listing import IMAGE_SUFFIXES, is_picture_name, list_pictures, told
from flawscope.runtime.record import State

_SPLITS = ("train", "validation", "test")


def collect(
    sources: Sequence[str | Path],
    *,
    besides: Path | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> list[Path]:
    """The pictures that `sources` name, each once: files as given, folders with all below them, patterns.

    A file that is named outright is kept whatever its suffix or state, so that its error is reported; what
    lies in the folder `besides`, where results go, is left out. Folders are listed as everywhere
    (`runtime.listing`); `tell` gets a sentence about what is left out there.

    Raises:
        DataError: a source that matches nothing, or a folder without pictures.
    """
    found: dict[Path, None] = {}
    for source in sources:
        for path in _expand(source, besides, tell):
            found.setdefault(path)
    return list(found)


def collect_good(sources: Sequence[str | Path], *, tell: Callable[[str], None]) -> list[Path]:
    """As `collect`, for pictures that are to be good: a folder with defective ones among them is refused.

    Raises:
        DataError: as `collect`; or a folder below a source that says bad, or lies beside one that says good.
    """
    for source in sources:
        folder = Path(source)
        defective = _defective_below(folder) if folder.is_dir() else None
        if defective is not None:
            raise DataError(
                f"good pictures in {folder}",
                expected="nothing but good pictures",
                got=f"a folder {defective.name}, which counts as defective",
                fix="Name the folder that holds the good ones alone.",
            )
    return collect(sources, tell=tell)


def _defective_below(folder: Path) -> Path | None:
    """A folder below of defective pictures: its name says so, or one beside it is named as the good one."""
    below = {
        parent
        for path in list_pictures(folder).pictures
        for parent in path.parents
        if parent != folder and parent.is_relative_to(folder)
    }
    chosen = {path.parent for path in below if says_good(path.name)}
    for path in sorted(below):
        odd = path.parent in chosen and path.name.casefold() not in _SPLITS
        if says_bad(path.name) or (odd and not says_good(path.name)):
            return path
    return None


def _within(path: Path, folder: Path | None) -> bool:
    return folder is not None and path.resolve().is_relative_to(folder.resolve())


def _expand(source: str | Path, besides: Path | None, tell: Callable[[str], None]) -> list[Path]:
    path = Path(source)
    if path.is_dir():
        what, wanted = f"folder {path}", "at least one picture"
        fix = f"Put pictures ({', '.join(sorted(IMAGE_SUFFIXES))}) into it, or name another folder."
        listing = list_pictures(path)
        found = listing.pictures
        for line in told(one for one in listing.left_out if not _within(one.path, besides)):
            tell(line)
    elif path.exists() or not glob.has_magic(str(source)):
        return [path]
    else:
        what, wanted = f"pattern {str(source)!r}", "at least one matching file"
        fix = "Correct the pattern; put it in quotes so that the shell leaves it alone."
        matches = map(Path, glob.glob(str(source), recursive=True))  # noqa: PTH207 - may be absolute
        found = _each_once(sorted(path for path in matches if path.is_file() or _is_dangling(path)))
    pictures = [picture for picture in found if not _within(picture, besides)]
    if not pictures:
        raise DataError(what, expected=wanted, got="none", fix=fix)
    return pictures


def _is_dangling(path: Path) -> bool:
    return path.is_symlink() and is_picture_name(path.name)


def _each_once(paths: Iterable[Path]) -> list[Path]:
    """Paths without those of a folder that a link reaches again."""
    folders: dict[Path, Path] = {}
    return [path for path in paths if folders.setdefault(path.parent.resolve(), path.parent) == path.parent]


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
    written again is yielded again. The folder `besides`, where results go, is not watched. A tree that takes
    long to look through is looked through less often, so that watching takes a fifth of a core at most.
    """
    done: dict[str, State] = {}
    pending: dict[str, tuple[State, float]] = {}
    while not stopped():
        now = time.monotonic()
        arrived = []
        for path, state in _states(folder, besides and besides.resolve()):
            if done.get(path) == state:
                continue
            if path in pending and pending[path][0] == state and now - pending[path][1] >= settle:
                arrived.append((state[1], path, state))
            elif path not in pending or pending[path][0] != state:
                pending[path] = (state, now)
        took = time.monotonic() - now
        for _, path, state in sorted(arrived):
            if stopped():
                return
            done[path] = state
            pending.pop(path, None)
            yield Path(path)
        if not arrived:
            time.sleep(max(min(interval, settle), 4 * took))


def _states(folder: Path, besides: Path | None) -> Iterator[tuple[str, State]]:
    """Pictures in a folder and all below it as they stand, in no order; what vanishes is left out.

    As in `runtime.listing`, links are followed and no folder is read twice.
    """
    base, met = folder.resolve(), set[tuple[int, int]]()
    folders = [] if besides is not None and base.is_relative_to(besides) else [str(folder)]
    while folders:
        try:
            current = folders.pop()
            status = os.stat(current)  # noqa: PTH116 - called often
            if (status.st_dev, status.st_ino) in met:
                continue
            met.add((status.st_dev, status.st_ino))
            with os.scandir(current) as entries:
                for entry in entries:
                    with contextlib.suppress(OSError):
                        if entry.is_dir():
                            if not entry.name.startswith(".") and _may_enter(entry, base, besides):
                                folders.append(entry.path)
                        elif is_picture_name(entry.name) and entry.is_file():
                            status = entry.stat()
                            yield entry.path, (status.st_size, status.st_mtime_ns)
        except OSError:
            continue


def _may_enter(entry: os.DirEntry[str], base: Path, besides: Path | None) -> bool:
    """Whether a folder is neither the one where results go nor a link back to what holds `base`."""
    if besides is None and not entry.is_symlink():
        return True
    place = Path(entry.path).resolve()
    return place != besides and not (entry.is_symlink() and base.is_relative_to(place))
