"""BSData, ball screw drives: data/NAME.jpg, and label/NAME.json (LabelMe) for defective ones.

Schlagenhauf and Landwehr, Data in Brief 2021: a picture without a label file is good. Published without a
split. Here every third good picture by name is for testing, and so is every defect.
"""

from __future__ import annotations

from pathlib import Path

from flawscope.data.labelme import LabelMe, Unreadable
from flawscope.data.layouts.reader import every_third, holds_pictures, one_product, pictures
from flawscope.data.samples import Dataset, Sample
from flawscope.errors import DataError
from flawscope.runtime.listing import LeftOut

NAME = "bsdata"
products = one_product


def recognises(folder: Path) -> bool:
    """See `Reader.recognises`."""
    return holds_pictures(folder / "data") and bool(_labels(folder))


def read(folder: Path, product: str | None) -> Dataset:
    """See `Reader.read`; the kind is the first label of a picture, in lower case."""
    del product
    labels = {path.stem: path for path in _labels(folder)}
    photographs = pictures(folder / "data")
    samples = every_third([path for path in photographs if path.stem not in labels])
    samples += [_defective(path, labels.pop(path.stem)) for path in photographs if path.stem in labels]
    left_out = [LeftOut(path, "a label of no picture") for path in labels.values()]
    return Dataset(folder.resolve().name, NAME, folder, tuple(samples), masked=True, left_out=tuple(left_out))


def _labels(folder: Path) -> list[Path]:
    files = (folder / "label").rglob("*")
    return sorted(path for path in files if path.suffix.lower() == ".json" and not path.name.startswith("."))


def _defective(path: Path, label: Path) -> Sample:
    try:
        areas: LabelMe | Unreadable = LabelMe.parse(label)
    except DataError as error:
        areas = Unreadable(label, error)
    named = areas.labels[0].lower() if isinstance(areas, LabelMe) and areas.labels else "defect"
    return Sample(path, "test", defective=True, kind=named, masks=(areas,))
