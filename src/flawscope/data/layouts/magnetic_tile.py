"""Magnetic-tile defects: MT_KIND/Imgs/NAME.jpg with NAME.png as mask (Huang et al., Visual Computer 2020).

Published without a split. Here every third good picture by name is for testing, and so is every defect.
Masks have soft edges; values above half (127) count as defect.
"""

from __future__ import annotations

from pathlib import Path

from flawscope.data.layouts.reader import every_third, labelled, mask_named, one_product, pictures, subfolders
from flawscope.data.samples import Dataset

NAME = "magnetic_tile"
FREE = "MT_Free"
HALF = 127
products = one_product


def recognises(folder: Path) -> bool:
    """See `Reader.recognises`."""
    return (folder / FREE / "Imgs").is_dir()


def read(folder: Path, product: str | None) -> Dataset:
    """See `Reader.read`."""
    del product
    samples = every_third(_photographs(folder / FREE))
    for kind in subfolders(folder):
        if kind.name == FREE or not kind.name.startswith("MT_"):
            continue
        masks = mask_named(kind / "Imgs", endings=(".png",), threshold=HALF)
        samples += labelled(_photographs(kind), "test", kind.name.removeprefix("MT_"), masks)
    return Dataset(folder.resolve().name, NAME, folder, tuple(samples), masked=True)


def _photographs(kind: Path) -> list[Path]:
    """Pictures of one kind without their masks, which are the PNG files."""
    return [path for path in pictures(kind / "Imgs") if path.suffix.lower() in {".jpg", ".jpeg"}]
