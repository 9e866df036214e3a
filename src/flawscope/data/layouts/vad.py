"""VAD, Valeo Anomaly Dataset: train/good, train/bad, test/good, test/bad, test/bad_unseen_defects.

Labels are for whole pictures, there are no masks. Of the 1000 bad test pictures 165 show kinds that training
does not hold; the published archive keeps them in a folder of their own (Baitieva et al., CVPR 2024
workshops, section 3, and the data set's own description). Any test folder whose name starts with `bad` and
says `unseen` is read as such.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from flawscope.data.layouts.reader import labelled, one_product, pictures, subfolders
from flawscope.data.samples import GOOD, Dataset, Sample, Split

NAME = "vad"
SPLITS: tuple[Split, ...] = ("train", "test")
products = one_product


def recognises(folder: Path) -> bool:
    """See `Reader.recognises`: bad pictures in the training split are what no other layout has."""
    return (folder / "train" / GOOD).is_dir() and (folder / "train" / "bad").is_dir()


def read(folder: Path, product: str | None) -> Dataset:
    """See `Reader.read`."""
    del product
    samples: list[Sample] = []
    for split in SPLITS:
        samples += labelled(pictures(folder / split / GOOD), split)
        for kind in subfolders(folder / split):
            if kind.name.startswith("bad"):
                bad = labelled(pictures(kind), split, kind.name)
                samples += [replace(sample, seen="unseen" not in kind.name) for sample in bad]
    return Dataset(folder.resolve().name, NAME, folder, tuple(samples))
