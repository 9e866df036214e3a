"""MVTec AD: train/good, test/KIND, ground_truth/KIND/NAME_mask.png (Bergmann et al., CVPR 2019)."""

from __future__ import annotations

from pathlib import Path

from flawscope.data.layouts.reader import by_folder, labelled, mask_named, pictures, subfolders
from flawscope.data.samples import GOOD, Dataset

NAME = "mvtec_ad"


def is_product(folder: Path) -> bool:
    """Whether `folder` is one product: train/good and test, and no sign of LOCO or VAD."""
    train = folder / "train"
    other = (folder / "validation").is_dir() or (train / "bad").is_dir()
    return (train / "good").is_dir() and (folder / "test").is_dir() and not other


recognises, products = by_folder(is_product)


def read(folder: Path, product: str | None) -> Dataset:
    """See `Reader.read`."""
    root = folder / product if product else folder
    truth = root / "ground_truth"
    samples = labelled(pictures(root / "train" / GOOD), "train")
    for kind in subfolders(root / "test"):
        masks = mask_named(truth / kind.name, endings=("_mask.png", ".png"))
        samples += labelled(pictures(kind), "test", kind.name, masks)
    return Dataset(root.resolve().name, NAME, root, tuple(samples), masked=truth.is_dir())
