"""Magnetic-tile defects: MT_KIND/Imgs/NAME.jpg with NAME.png as mask (Huang et al., Visual Computer 2020).

Published without a split. Here every third good picture by name is for testing, and so is every defect.
Masks have soft edges; values above half (127) count as defect.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from flawscope.data.layouts.reader import every_third, one_product, subfolders
from flawscope.data.masks import MaskFile
from flawscope.data.samples import Dataset, Sample
from flawscope.runtime.listing import list_images

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
    samples = [
        replace(sample, masks=_masks(sample.path)) for sample in every_third(_photographs(folder / FREE))
    ]
    for kind in subfolders(folder):
        if kind.name == FREE or not kind.name.startswith("MT_"):
            continue
        samples += [_defective(path, kind.name.removeprefix("MT_")) for path in _photographs(kind)]
    return Dataset(folder.resolve().name, NAME, folder, tuple(samples), masked=True)


def _defective(path: Path, kind: str) -> Sample:
    return Sample(path, "test", defective=True, kind=kind, masks=_masks(path))


def _masks(path: Path) -> tuple[MaskFile, ...]:
    mask = path.with_suffix(".png")
    return (MaskFile(mask, threshold=HALF),) if mask.is_file() else ()


def _photographs(kind: Path) -> list[Path]:
    """Pictures of one kind without their masks, which are the PNG files."""
    folder = kind / "Imgs"
    paths = list_images(folder, recursive=True) if folder.is_dir() else []
    return [path for path in paths if path.suffix.lower() != ".png"]
