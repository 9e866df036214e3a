"""What every layout reader offers, and the small helpers that they share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from flawscope.data.masks import MaskFile
from flawscope.data.samples import GOOD, Dataset, Sample, Split
from flawscope.runtime.images import IMAGE_SUFFIXES, list_images

HELD_OUT_STEP = 3


class Reader(Protocol):
    """One layout; each module beside this one is a `Reader`."""

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
    """Folders directly in `folder`, sorted by name, without hidden ones."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


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


def good_samples(folder: Path, split: Split) -> list[Sample]:
    """One good sample for each picture directly in `folder`."""
    return [Sample(path, split, defective=False) for path in pictures(folder)]


def mask_beside(folder: Path, names: Sequence[str], *, threshold: int = 0) -> tuple[MaskFile, ...]:
    """The first of `names` that exists in `folder`, as the only mask; none where no name does."""
    for name in names:
        if (folder / name).is_file():
            return (MaskFile(folder / name, threshold=threshold),)
    return ()


def every_third(paths: Sequence[Path]) -> list[Sample]:
    """Good samples of a data set that was published without a split: every third name is for testing.

    `paths` are sorted by name; those at index 2, 5, 8, ... become test samples, the others training samples.
    """
    ordered = sorted(paths, key=lambda path: path.name)
    return [
        Sample(
            path,
            "test" if index % HELD_OUT_STEP == HELD_OUT_STEP - 1 else "train",
            defective=False,
            kind=GOOD,
        )
        for index, path in enumerate(ordered)
    ]
