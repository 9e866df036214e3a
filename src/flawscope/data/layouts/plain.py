"""A user's own folder of pictures: good ones only, or good ones beside named defect folders.

Read are: pictures directly in the folder (all good); or a sub-folder `good`, `ok` or `normal`, where every
other sub-folder with pictures is a defect kind; or `train/good` alone. A mask, where there is one, lies at
`ground_truth/KIND/NAME_mask.png` or `masks/KIND/NAME.png` (both names work in both folders). Good pictures
are training pictures, defects test pictures.
"""

from __future__ import annotations

from pathlib import Path

from flawscope.data.layouts.reader import (
    holds_pictures,
    labelled,
    mask_named,
    one_product,
    pictures,
    subfolders,
)
from flawscope.data.samples import Dataset
from flawscope.errors import DataError

NAME = "folder"
GOOD_NAMES = ("good", "ok", "normal")
MASK_FOLDERS = ("ground_truth", "masks")


def _good_folder(folder: Path) -> Path | None:
    """The one folder that holds the good pictures, or None where no name or place tells."""
    candidates = [path for path in subfolders(folder) if path.name.lower() in GOOD_NAMES]
    if not candidates and not (folder / "test").is_dir() and (folder / "train").is_dir():
        candidates = [path for path in subfolders(folder / "train") if path.name.lower() in GOOD_NAMES]
    if len(candidates) > 1:
        names = " and ".join(path.name for path in candidates)
        raise DataError(str(folder), expected="one folder of good pictures", got=names, fix="Merge them.")
    return candidates[0] if candidates else None


def _defect_folders(folder: Path) -> list[Path]:
    skipped = {*GOOD_NAMES, *MASK_FOLDERS, "train"}
    return [path for path in subfolders(folder) if path.name.lower() not in skipped and holds_pictures(path)]


products = one_product


def recognises(folder: Path) -> bool:
    """See `Reader.recognises`."""
    return holds_pictures(folder) or _good_folder(folder) is not None


def read(folder: Path, product: str | None) -> Dataset:
    """See `Reader.read`.

    Raises:
        DataError: pictures both directly in the folder and in sub-folders, so that nothing tells which
            are good.
    """
    del product
    good, defects = _good_folder(folder), _defect_folders(folder)
    if holds_pictures(folder):
        if good is not None or defects:
            found = ", ".join(path.name for path in ([good] if good else []) + defects)
            raise DataError(
                str(folder),
                expected="good pictures either directly in the folder or in its sub-folder good",
                got=f"pictures directly in it and in {found}",
                fix="Move the good ones into a sub-folder named good, or point at that sub-folder.",
            )
        good = folder
    samples = [] if good is None else labelled(pictures(good), "train")
    for kind in defects:
        places = (folder / name / kind.name for name in MASK_FOLDERS)
        masks = mask_named(*places, endings=("_mask.png", ".png"))
        samples += labelled(pictures(kind), "test", kind.name, masks)
    masked = any((folder / name).is_dir() for name in MASK_FOLDERS)
    return Dataset(folder.resolve().name, NAME, folder, tuple(samples), masked=masked)
