"""Which files of a folder are pictures: one rule for training, checking and inspecting."""

from __future__ import annotations

import contextlib
import os
import re
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from flawscope.errors import InputError
from flawscope.files import is_folder, is_there

IMAGE_SUFFIXES = (".bmp", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
UNREAD_SUFFIXES = (
    *(".avif", ".cr2", ".dcm", ".dng", ".exr", ".gif", ".heic", ".heif", ".j2k", ".jp2"),
    *(".jxl", ".nef", ".pbm", ".pgm", ".pnm", ".ppm", ".psd", ".tga"),
)
HIDDEN = "hidden, its name begins with a dot"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file or folder whose pictures are not read, and why, in a few words."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Listing:
    """The pictures of a folder in natural order, and what was left out beside them."""

    pictures: list[Path] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def is_picture_name(name: str) -> bool:
    """Whether a file of this name is taken for a picture: by its ending, in any case, unless hidden."""
    return not name.startswith(".") and name.lower().endswith(IMAGE_SUFFIXES)


def list_pictures(folder: Path, *, recursive: bool = True) -> Listing:
    """Pictures in `folder` and, where `recursive`, in all folders below it.

    Links are followed, wherever they lead. A folder that links reach a second time, or that holds `folder`
    itself, is left out; so are hidden files, folders that cannot be listed, what is no regular file (a pipe,
    a device) and pictures of a format that is not read. A link that leads nowhere, or where nobody may look,
    counts as a picture, so that reading it fails by name, as any damaged file does.

    Raises:
        InputError: no such folder, or one that cannot be listed.
    """
    folder = Path(folder)
    if not is_folder(folder):
        raise InputError(
            f"folder {folder}",
            expected="a folder of pictures",
            got="a file" if is_there(folder) else "nothing there",
            fix="Correct the path.",
        )
    found = Listing()
    for current in _folders(folder, found, recursive=recursive):
        found.pictures.extend(current)
    found.pictures.sort(key=natural_key)
    found.left_out.sort(key=lambda one: natural_key(one.path))
    return found


def list_images(folder: Path, *, recursive: bool = False) -> list[Path]:
    """The pictures of `list_pictures`, without what was left out."""
    return list_pictures(folder, recursive=recursive).pictures


def told(left_out: Iterable[LeftOut], shown: int = 3) -> list[str]:
    """What was left out in sentences, one for each reason, with how many and the first few names."""
    by_reason: defaultdict[str, list[Path]] = defaultdict(list)
    for one in left_out:
        by_reason[one.reason].append(one.path)
    lines = []
    for reason, paths in by_reason.items():
        names = ", ".join("/".join(path.parts[-2:]) for path in paths[:shown])
        more = f" and {len(paths) - shown} more" if len(paths) > shown else ""
        lines.append(f"{len(paths)} left out ({reason}): {names}{more}.")
    return lines


def real_path(path: Path) -> Path:
    """Where a path leads once links are followed, as far as that goes for links round in a circle."""
    return Path(os.path.realpath(path))


def natural_key(path: Path) -> tuple[Any, ...]:
    """Sorting key that puts `part2.png` before `part10.png`, folder by folder."""
    return (*_folder_key(path.parent), _pieces(path.name)), str(path)


@lru_cache(maxsize=1024)
def _folder_key(folder: Path) -> tuple[Any, ...]:
    return tuple(_pieces(part) for part in folder.parts)


def _pieces(part: str) -> list[tuple[int, str]]:
    return [(int(piece), "") if piece.isdecimal() else (-1, piece) for piece in re.split(r"(\d+)", part)]


def _folders(base: Path, found: Listing, *, recursive: bool) -> Iterator[list[Path]]:
    """The pictures of `base` and of each folder below it, once: real folders first, then where links lead."""
    resolved = base.resolve()
    waiting, links = deque([base]), deque[Path]()
    met: set[tuple[int, int]] = set()
    while waiting or links:
        folder = waiting.popleft() if waiting else links.popleft()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in met:
                found.left_out.append(LeftOut(folder, "a folder that is read already by another way"))
                continue
            with os.scandir(folder) as entries:
                pictures, inner = _sorted_out(entries, found)
        except OSError as error:
            found.left_out.append(_unlisted(folder, error, top=folder == base))
            continue
        met.add((status.st_dev, status.st_ino))
        yield pictures
        for path in inner if recursive else ():
            if not path.is_symlink():
                waiting.append(path)
            elif resolved.is_relative_to(path.resolve()):
                found.left_out.append(LeftOut(path, "a link back to a folder that holds it"))
            else:
                links.append(path)


def _unlisted(folder: Path, error: OSError, *, top: bool) -> LeftOut:
    reason = f"cannot be listed: {(error.strerror or str(error)).lower()}"
    if top:
        fix = "Change the permissions, or point at another folder."
        raise InputError(
            f"folder {folder}", expected="a folder that can be listed", got=reason, fix=fix
        ) from error
    return LeftOut(folder, reason)


def _sorted_out(entries: Iterable[os.DirEntry[str]], found: Listing) -> tuple[list[Path], list[Path]]:
    """Pictures and folders among `entries`, each sorted."""
    pictures, folders = list[Path](), list[Path]()
    for entry in entries:
        path, name = Path(entry.path), entry.name.lower()
        is_picture, hidden = name.endswith(IMAGE_SUFFIXES), name.startswith(".")
        dangling = entry.is_symlink() and not is_there(path)
        if not dangling and entry.is_dir():
            if not hidden:
                folders.append(path)
            elif _holds_pictures(path):
                found.left_out.append(LeftOut(path, HIDDEN))
        elif hidden:
            if is_picture:
                found.left_out.append(LeftOut(path, HIDDEN))
        elif is_picture and (dangling or entry.is_file()):
            pictures.append(path)
        elif is_picture:
            found.left_out.append(LeftOut(path, "not a regular file"))
        elif dangling:
            found.left_out.append(LeftOut(path, "a link that leads nowhere"))
        elif name.endswith(UNREAD_SUFFIXES):
            reason = f"{path.suffix.lower()} is not read; convert it to PNG"
            found.left_out.append(LeftOut(path, reason))
    return sorted(pictures), sorted(folders)


def _holds_pictures(folder: Path) -> bool:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return any(entry.name.lower().endswith(IMAGE_SUFFIXES) for entry in entries)
    return False
