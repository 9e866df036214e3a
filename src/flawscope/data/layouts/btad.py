"""BTAD: train/ok, test/ok, test/ko, ground_truth/ko; BMP and PNG mixed (Mishra et al., ISIE 2021)."""

from __future__ import annotations

from pathlib import Path

from flawscope.data.layouts.reader import by_folder, labelled, mask_named, pictures
from flawscope.data.samples import Dataset

NAME = "btad"


def is_product(folder: Path) -> bool:
    """Whether `folder` is one product: train/ok and a test folder with ok or ko."""
    test = folder / "test"
    return (folder / "train" / "ok").is_dir() and ((test / "ok").is_dir() or (test / "ko").is_dir())


recognises, products = by_folder(is_product)


def read(folder: Path, product: str | None) -> Dataset:
    """See `Reader.read`; a mask has its picture's name, as PNG or BMP."""
    root = folder / product if product else folder
    truth = root / "ground_truth" / "ko"
    samples = (
        *labelled(pictures(root / "train" / "ok"), "train"),
        *labelled(pictures(root / "test" / "ok"), "test"),
        *labelled(pictures(root / "test" / "ko"), "test", "ko", mask_named(truth, endings=(".png", ".bmp"))),
    )
    return Dataset(root.resolve().name, NAME, root, samples, masked=truth.is_dir())
