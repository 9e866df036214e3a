"""BTAD: train/ok, test/ok, test/ko, ground_truth/ko; BMP and PNG mixed (Mishra et al., ISIE 2021)."""

from __future__ import annotations

from pathlib import Path

from flawscope.data.layouts.reader import annotated, by_folder, inner, kind_folders, labelled, pictures
from flawscope.data.samples import Dataset

NAME = "btad"


def is_product(folder: Path) -> bool:
    """Whether `folder` is one product: train/ok, and a test folder with ok, ko and no other kind."""
    kinds = {kind.name for kind in kind_folders(folder / "test")}
    return (folder / "train" / "ok").is_dir() and bool(kinds) and kinds <= {"ok", "ko"}


recognises, products = by_folder(is_product)


def read(folder: Path, product: str | None) -> Dataset:
    """See `Reader.read`; a mask has its picture's name, as PNG or BMP."""
    root = folder / product if product else folder
    truth = inner(root, "ground_truth")
    samples = labelled(pictures(root / "train" / "ok"), "train", "ok")
    for kind in kind_folders(root / "test"):
        samples += annotated(kind, "test", truth)
    return Dataset(root.resolve().name, NAME, root, tuple(samples), masked=truth.is_dir())
