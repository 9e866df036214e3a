"""What every layout reader offers, and the small helpers that they share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from flawscope.data.layouts.annotations import (
    divide,
    is_mask_folder,
    key_of,
    masked_kind,
    may_be_kind,
    with_labels,
    with_masks,
)
from flawscope.data.samples import GOOD, Dataset, Sample, Split
from flawscope.data.truth import says_good
from flawscope.errors import InputError
from flawscope.runtime.listing import is_picture_name, list_images

HELD_OUT_STEP = 3


class Reader(Protocol):
    """One layout; each module beside this one is a `Reader`."""

    NAME: str

    def recognises(self, folder: Path, /) -> bool:
        """Whether `folder` looks like this layout, judged by names alone."""
        ...

    def products(self, folder: Path, /) -> tuple[str, ...]:
        """Names of the products in `folder`; empty where the folder itself is one product."""
        ...

    def read(self, folder: Path, product: str | None) -> Dataset:
        """The samples of one product; `product` is one of `products`, or None where that is empty."""
        ...


def subfolders(folder: Path) -> list[Path]:
    """Folders directly in `folder`, sorted by name, without hidden ones; none where it cannot be listed."""
    try:
        with os.scandir(folder) as entries:  # which knows without a look at each of many pictures
            seen = [(entry, Path(entry.path)) for entry in entries if not entry.name.startswith(".")]
            return sorted(path for entry, path in seen if (path if entry.is_symlink() else entry).is_dir())
    except OSError:
        return []


def inner(folder: Path, name: str) -> Path:
    """The folder in `folder` that is called `name` in whatever case; `folder / name` where there is none."""
    exact = folder / name
    if exact.is_dir():
        return exact
    return next((path for path in subfolders(folder) if key_of(path.name) == name), exact)


def kind_folders(folder: Path) -> list[Path]:
    """Folders of kinds in `folder`: all but those of masks, as `masks`, or `scratch_mask` by `scratch`."""
    folders = subfolders(folder)
    names = {key_of(path.name) for path in folders}
    return [
        path
        for path in folders
        if not is_mask_folder(path.name)
        and (key_of(masked_kind(path.name) or "") not in names or may_be_kind(path))
    ]


def good_folders(folder: Path) -> list[Path]:
    """Folders in `folder` whose names say that their pictures are good."""
    return [path for path in kind_folders(folder) if says_good(path.name)]


def defect_folders(folder: Path) -> list[Path]:
    """Folders in `folder` with pictures that no name of theirs says to be good."""
    return [path for path in kind_folders(folder) if not says_good(path.name) and pictures(path)]


def pictures(folder: Path) -> list[Path]:
    """Pictures in `folder` and below, without masks that lie among them; none where it does not exist."""
    return divide(folder, _listed(folder))[0]


def holds_pictures(folder: Path) -> bool:
    """Whether any picture lies directly in `folder`; stops at the first."""
    with suppress(OSError), os.scandir(folder) as entries:
        return any(is_picture_name(entry.name) for entry in entries)
    return False


def by_folder(
    is_product: Callable[[Path], bool],
) -> tuple[Callable[[Path], bool], Callable[[Path], tuple[str, ...]]]:
    """`recognises` and `products` of a layout that has a folder a product: the given one, or those in it."""

    def may_be(folder: Path) -> bool:
        with suppress(OSError):  # a folder among them that cannot be entered
            return is_product(folder)
        return False

    def products(folder: Path) -> tuple[str, ...]:
        inside = [] if is_product(folder) else subfolders(folder)
        return tuple(path.name for path in inside if may_be(path))

    return lambda folder: is_product(folder) or bool(products(folder)), products


def one_product(folder: Path) -> tuple[str, ...]:
    """`products` of a layout whose folder is one product."""
    del folder
    return ()


def labelled(paths: Iterable[Path], split: Split, name: str = GOOD) -> list[Sample]:
    """Samples of one kind: good where its folder's `name` says so, else defective and of the kind `name`."""
    good = says_good(name)
    kind = GOOD if good else name
    return [
        Sample(path, split, defective=not good, kind=kind, named="" if name == kind else name)
        for path in paths
    ]


def annotated(
    kind: Path, split: Split, *mask_roots: Path, name: str | None = None, deep: bool = True
) -> list[Sample]:
    """Samples of the folder `kind` (and below it if `deep`), called `name` or as it is, each with its masks.

    Masks lie in a folder of the kind's name below one of `mask_roots`; in `KIND_mask` beside the kind or
    there; in a folder `masks` in the kind; or beside each picture, as `000_mask.png`. LabelMe files lie in
    the same folders or beside the pictures.
    """
    paths, beside = divide(kind, _listed(kind, deep=deep))
    samples = labelled(paths, split, name or kind.name)
    places = _mask_places(kind, mask_roots)
    return with_labels(with_masks(samples, kind, *places, beside=beside), kind, *places)


def mask_folders(*folders: Path) -> list[Path]:
    """Folders in `folders` that hold masks, as their names say."""
    return [path for folder in folders for path in subfolders(folder) if is_mask_folder(path.name)]


def every_third(paths: Sequence[Path]) -> list[Sample]:
    """Good samples of a data set that was published without a split: every third name is for testing.

    `paths` are sorted by name; those at index 2, 5, 8, ... become test samples, the others training samples.
    """
    ordered = sorted(paths, key=lambda path: path.name)
    return [
        Sample(path, "test" if index % HELD_OUT_STEP == HELD_OUT_STEP - 1 else "train", defective=False)
        for index, path in enumerate(ordered)
    ]


def _listed(folder: Path, *, deep: bool = True) -> list[Path]:
    """Files in `folder`; none where it cannot be listed, which is told as left out, unless it says good."""
    try:
        return list_images(folder, recursive=deep) if folder.is_dir() else []
    except InputError:
        if says_good(folder.name):
            raise
        return []


def _mask_places(kind: Path, roots: Iterable[Path]) -> list[Path]:
    wanted = key_of(kind.name)
    places = []
    for root in (*roots, kind.parent):
        for path in subfolders(root):
            name = key_of(path.name)
            same = name == wanted or (says_good(kind.name) and says_good(name))
            masks = key_of(masked_kind(path.name) or "") == wanted
            masks = masks and not (root == kind.parent and may_be_kind(path))
            if masks or (same and root != kind.parent):
                places.append(path)
    return places
