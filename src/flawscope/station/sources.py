"""Which pictures an inspection means: files, folders and patterns."""

from __future__ import annotations

import functools
import glob
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from flawscope.data.layouts.annotations import masks_among
from flawscope.data.truth import says_bad, says_good
from flawscope.errors import DataError, OptionError
from flawscope.files import is_file, is_folder, is_there
from flawscope.runtime.listing import IMAGE_SUFFIXES, LeftOut, is_picture_name, list_pictures, real_path, told

_MASK = "a mask of a picture, by its name; a file that is named itself is inspected"
_SPLITS = ("train", "validation", "test")


def collect(
    sources: Sequence[str | Path],
    *,
    besides: Path | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> list[Path]:
    """The pictures that `sources` name, each once: files as given, folders with all below them, patterns.

    One that is named twice, relatively, in full or by a link to its folder, has the first of its names.
    A file that is named outright is kept whatever its suffix or state, so that its error is reported; what
    lies in the folder `besides`, where results go, is left out. Folders are listed as everywhere
    (`runtime.listing`), without masks of their pictures, which training and evaluation take for none either;
    `tell` gets a sentence about what is left out there.

    Raises:
        DataError: a source that matches nothing, or a folder without pictures.
    """
    found: dict[tuple[Path, str], Path] = {}
    place = functools.cache(_place)
    for source in sources:
        for path in _expand(source, besides, tell):
            found.setdefault((place(path.parent), path.name), path)
    return list(found.values())


def collect_good(sources: Sequence[str | Path], *, tell: Callable[[str], None]) -> list[Path]:
    """As `collect`, for pictures that are to be good: a folder with defective ones among them is refused.

    Raises:
        DataError: as `collect`; or a source, or a folder below one, that says bad, or lies there beside one
            that says good.
    """
    for source in sources:
        folder = Path(source)
        defective = _defective_below(folder) if is_folder(folder) else None
        if defective is not None:
            pattern = f"{defective}/*{list_pictures(defective).pictures[0].suffix}"
            raise DataError(
                f"good pictures in {folder}",
                expected="nothing but good pictures",
                got=f"a folder {_called(defective)}, which counts as defective",
                fix="Name the folder that holds the good ones alone; if these are good, rename it, or name "
                f"them by a pattern in quotes, such as '{pattern}'.",
            )
    return collect(sources, tell=tell)


def _called(folder: Path) -> str:
    """By the name that was given, as of a link; the folder's own where none was, as in `.` and `..`."""
    return folder.resolve().name if folder.name in ("", "..") else folder.name


def _defective_below(folder: Path) -> Path | None:
    """The folder, or one below, of defective pictures: its name says so, or one beside it is the good one's.

    In a folder that says bad itself, pictures below one that says good are good.
    """
    ways = [
        [parent for parent in path.parents if parent != folder and parent.is_relative_to(folder)]
        for path in list_pictures(folder).pictures
    ]
    if says_bad(_called(folder)) and not all(any(says_good(one.name) for one in way) for way in ways):
        return folder
    below = {parent for way in ways for parent in way}
    chosen = {path.parent for path in below if says_good(path.name)}
    for path in sorted(below):
        odd = path.parent in chosen and path.name.casefold() not in _SPLITS
        if says_bad(path.name) or (odd and not says_good(path.name)):
            return path
    return None


def apart(folder: Path | str, out: Path | None) -> None:
    """Let results go anywhere but into `folder` or above it, where every picture would count as a result.

    Raises:
        OptionError: `folder` is `out`, or lies in it.
    """
    if _within(Path(folder), out):
        raise OptionError(
            f"--out {out}",
            expected="a folder that does not hold the pictures to inspect",
            got=f"one that holds {folder}, and what lies in --out is not inspected",
            fix="Name a folder of its own for the results.",
        )


def _within(path: Path, folder: Path | None) -> bool:
    return folder is not None and real_path(path).is_relative_to(real_path(folder))


def _expand(source: str | Path, besides: Path | None, tell: Callable[[str], None]) -> list[Path]:
    path = Path(source)
    if is_folder(path):
        apart(path, besides)
        what, wanted = f"folder {path}", "at least one picture"
        fix = f"Put pictures ({', '.join(sorted(IMAGE_SUFFIXES))}) into it, or name another folder."
        listing = list_pictures(path)
        masks = set(masks_among(path, listing.pictures))
        found = [picture for picture in listing.pictures if picture not in masks]
        left_out = [*listing.left_out, *(LeftOut(one, _MASK) for one in listing.pictures if one in masks)]
        for line in told(one for one in left_out if not _within(one.path, besides)):
            tell(line)
    elif is_there(path) or not glob.has_magic(str(source)):
        return [path]
    else:
        what, wanted = f"pattern {str(source)!r}", "at least one matching file"
        fix = "Correct the pattern; put it in quotes so that the shell leaves it alone."
        matches = map(Path, glob.glob(str(source), recursive=True))  # noqa: PTH207 - may be absolute
        found = _each_once(sorted(path for path in matches if is_file(path) or _is_dangling(path)))
        if found and all(_within(match, besides) for match in found):
            apart(source, besides)
    pictures = [picture for picture in found if not _within(picture, besides)]
    if not pictures:
        raise DataError(what, expected=wanted, got="none", fix=fix)
    return pictures


def _place(folder: Path) -> Path:
    try:
        return real_path(folder)
    except ValueError:  # a name that no folder can have
        return folder


def _is_dangling(path: Path) -> bool:
    return path.is_symlink() and is_picture_name(path.name)


def _each_once(paths: Iterable[Path]) -> list[Path]:
    """Paths without those of a folder that a link reaches again."""
    folders: dict[Path, Path] = {}
    return [path for path in paths if folders.setdefault(path.parent.resolve(), path.parent) == path.parent]
