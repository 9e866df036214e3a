"""VAD, Valeo Anomaly Dataset: train/good, train/bad, test/good, test/bad, test/bad_unseen_defects.

Labels are for whole pictures, there are no masks. Of the 1000 bad test pictures 165 show kinds that training
does not hold; the published archive keeps them in a folder of their own (Baitieva et al., CVPR 2024
workshops, section 3, and the data set's own description). Any test folder whose name says `unseen` is read as
such. Folders of one's own in this shape may name their kinds as they like.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from flawscope.data.layouts.reader import (
    annotated,
    defect_folders,
    good_folders,
    inner,
    kind_folders,
    mask_folders,
    one_product,
)
from flawscope.data.samples import Dataset, Sample, Split

NAME = "vad"
SPLITS: tuple[Split, ...] = ("train", "test")
products = one_product


def recognises(folder: Path) -> bool:
    """See `Reader.recognises`: defective pictures in the training split are what no other layout has."""
    train = inner(folder, "train")
    return bool(good_folders(train)) and bool(defect_folders(train))


def read(folder: Path, product: str | None) -> Dataset:
    """See `Reader.read`."""
    del product
    samples: list[Sample] = []
    for split in SPLITS:
        for kind in kind_folders(inner(folder, split)):
            found = annotated(kind, split, *mask_folders(folder, kind.parent))
            samples += [replace(sample, seen="unseen" not in kind.name.casefold()) for sample in found]
    masked = any(sample.masks for sample in samples)
    return Dataset(folder.resolve().name, NAME, folder, tuple(samples), masked=masked)
