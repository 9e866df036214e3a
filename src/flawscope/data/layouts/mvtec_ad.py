"""MVTec AD: train/good, test/KIND, ground_truth/KIND/NAME_mask.png (Bergmann et al., CVPR 2019).

Folders of one's own in this shape are read too: whatever case their names have, whichever word they have for
good, and wherever the masks lie.
"""

from __future__ import annotations

from pathlib import Path

from flawscope.data.layouts import btad
from flawscope.data.layouts.annotations import with_flat_masks
from flawscope.data.layouts.reader import (
    annotated,
    by_folder,
    defect_folders,
    good_folders,
    inner,
    kind_folders,
    labelled,
    mask_folders,
    pictures,
)
from flawscope.data.samples import Dataset

NAME = "mvtec_ad"


def is_product(folder: Path) -> bool:
    """Whether `folder` is one product: train/good and test, and no sign of LOCO, VAD or BTAD."""
    train = inner(folder, "train")
    if not good_folders(train) or not inner(folder, "test").is_dir():
        return False
    loco = good_folders(inner(folder, "validation"))
    return not loco and not btad.is_product(folder) and not defect_folders(train)


recognises, products = by_folder(is_product)


def read(folder: Path, product: str | None) -> Dataset:
    """See `Reader.read`."""
    root = folder / product if product else folder
    test = inner(root, "test")
    truth = mask_folders(root, test)
    samples = [
        sample
        for good in good_folders(inner(root, "train"))
        for sample in labelled(pictures(good), "train", good.name)
    ]
    for kind in kind_folders(test):
        samples += annotated(kind, "test", *truth)
    samples = with_flat_masks(samples, truth)
    masked = bool(truth) or any(sample.masks for sample in samples)
    return Dataset(root.resolve().name, NAME, root, tuple(samples), masked=masked)
