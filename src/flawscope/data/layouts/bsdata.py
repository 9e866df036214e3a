"""BSData, ball screw drives: data/NAME.jpg, and label/NAME.json (LabelMe) for defective ones.

Schlagenhauf and Landwehr, Data in Brief 2021: a picture without a label file is good. Published without a
split. Here every third good picture by name is for testing, and so is every defect.
"""

from __future__ import annotations

from pathlib import Path

from flawscope.data.layouts.reader import every_third, holds_pictures, one_product, pictures
from flawscope.data.masks import Polygons
from flawscope.data.samples import Dataset, Sample

NAME = "bsdata"
products = one_product


def recognises(folder: Path) -> bool:
    """See `Reader.recognises`."""
    return holds_pictures(folder / "data") and any((folder / "label").glob("*.json"))


def read(folder: Path, product: str | None) -> Dataset:
    """See `Reader.read`; the kind is the first label of a picture, in lower case."""
    del product
    labels = {path.stem: path for path in (folder / "label").glob("*.json")}
    photographs = pictures(folder / "data")
    samples = every_third([path for path in photographs if path.stem not in labels])
    samples += [_defective(path, labels[path.stem]) for path in photographs if path.stem in labels]
    return Dataset(folder.resolve().name, NAME, folder, tuple(samples), masked=True)


def _defective(path: Path, label: Path) -> Sample:
    areas = Polygons.from_labelme(label)
    kind = areas.labels[0].lower() if areas.labels else "defect"
    return Sample(path, "test", defective=True, kind=kind, masks=(areas,))
