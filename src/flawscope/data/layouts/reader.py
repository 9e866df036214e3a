"""What every layout reader offers, and the small helpers that they share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from flawscope.data.masks import MaskFile
from flawscope.data.samples import GOOD, Dataset, Sample, Split
from flawscope.runtime.listing import IMAGE_SUFFIXES, list_images

FindMasks = Callable[[Path], tuple[MaskFile, ...]]

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
    """Folders directly in `folder`, sorted by name, without hidden ones; none where it does not exist."""
    inner = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in inner if path.is_dir() and not path.name.startswith("."))


def pictures(folder: Path) -> list[Path]:
    """Pictures directly in `folder`, sorted by name; none where the folder does not exist."""
    return list_images(folder) if folder.is_dir() else []


def holds_pictures(folder: Path) -> bool:
    """Whether any picture lies directly in `folder`; stops at the first."""
    return folder.is_dir() and any(path.suffix.lower() in IMAGE_SUFFIXES for path in folder.iterdir())


def by_folder(
    is_product: Callable[[Path], bool],
) -> tuple[Callable[[Path], bool], Callable[[Path], tuple[str, ...]]]:
    """`recognises` and `products` of a layout that has a folder a product: the given one, or those in it."""

    def products(folder: Path) -> tuple[str, ...]:
        inner = () if is_product(folder) else subfolders(folder)
        return tuple(path.name for path in inner if is_product(path))

    return lambda folder: is_product(folder) or bool(products(folder)), products


def one_product(folder: Path) -> tuple[str, ...]:
    """`products` of a layout whose folder is one product."""
    del folder
    return ()


def labelled(
    paths: Iterable[Path], split: Split, kind: str = GOOD, masks: FindMasks = lambda path: ()
) -> list[Sample]:
    """Samples of one kind, defective unless it is `good`, with the masks that are found for each."""
    return [Sample(path, split, defective=kind != GOOD, kind=kind, masks=masks(path)) for path in paths]


def mask_named(*folders: Path, endings: Sequence[str], threshold: int = 0) -> FindMasks:
    """Find a picture's only mask: of the files called as the picture is, but for the ending, the first."""

    def find(path: Path) -> tuple[MaskFile, ...]:
        places = (folder / f"{path.stem}{ending}" for folder in folders for ending in endings)
        mask = next((place for place in places if place.is_file()), None)
        return () if mask is None else (MaskFile(mask, threshold=threshold),)

    return find


def every_third(paths: Sequence[Path]) -> list[Sample]:
    """Good samples of a data set that was published without a split: every third name is for testing.

    `paths` are sorted by name; those at index 2, 5, 8, ... become test samples, the others training samples.
    """
    ordered = sorted(paths, key=lambda path: path.name)
    return [
        Sample(path, "test" if index % HELD_OUT_STEP == HELD_OUT_STEP - 1 else "train", defective=False)
        for index, path in enumerate(ordered)
    ]
