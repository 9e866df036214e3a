"""A user's own folder of pictures: good ones only, or good ones beside named defect folders.

Read are: pictures directly in the folder (all good); or sub-folders whose names say good (`good`, `OK`,
`defect_free`, …), where every other sub-folder with pictures is a defect kind; or a folder that is called so
itself, with all below it; or `train/good` alone. Where the folder's own name says NG, defects or the like,
pictures directly in it are defective. A sub-folder `test` may hold kinds, too. Masks lie in
`ground_truth/KIND` or `masks/KIND`, in `KIND_mask`, or beside the pictures (see `annotations`). Good pictures
are training pictures, defects test pictures.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from flawscope.data.layouts.annotations import with_flat_masks
from flawscope.data.layouts.reader import (
    annotated,
    defect_folders,
    good_folders,
    holds_pictures,
    inner,
    kind_folders,
    mask_folders,
    one_product,
    pictures,
)
from flawscope.data.samples import GOOD, Dataset, Sample
from flawscope.data.truth import says_bad, says_good
from flawscope.errors import DataError

NAME = "folder"
SPLITS = ("train", "test")
_VALIDATION = ("val", "valid", "validation", "dev", "eval")  # which this layout has not


def _good_folder(folder: Path) -> Path | None:
    """The one folder that holds the good pictures, or None where no name or place tells."""
    found = good_folders(folder)
    if not found and not inner(folder, "test").is_dir():
        found = good_folders(inner(folder, "train"))
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise DataError(str(folder), expected="one folder of good pictures", got=names, fix="Merge them.")
    if not found and says_good(folder.resolve().name) and pictures(folder):
        found = [folder]
    return found[0] if found else None


products = one_product


def recognises(folder: Path) -> bool:
    """See `Reader.recognises`; defective pictures alone are recognised by names such as NG or defects."""
    if holds_pictures(folder) or _good_folder(folder) is not None:
        return True
    names = (folder.resolve().name, *(path.name for path in kind_folders(folder)))
    return any(map(says_bad, names)) and bool(defect_folders(folder))


def read(folder: Path, product: str | None) -> Dataset:
    """See `Reader.read`.

    Raises:
        DataError: pictures both directly in the folder and in sub-folders, so that nothing tells which
            are good.
    """
    del product
    good, test = _good_folder(folder), inner(folder, "test")
    kinds = defect_folders(folder) if good != folder else []
    kinds = [path for path in kinds if path.name.casefold() not in SPLITS]
    for kind in kinds:
        if kind.name.casefold() in _VALIDATION and good_folders(kind):
            raise DataError(
                str(folder),
                expected="good pictures in one folder to learn from, and others in test",
                got=f"{kind.name}/{good_folders(kind)[0].name}",
                fix=f"Move what lies in {kind.name} there; training sets pictures aside by itself.",
            )
    own = folder.resolve().name
    samples: list[Sample] = []
    if holds_pictures(folder) and good is None and says_bad(own):
        samples = annotated(folder, "test", *mask_folders(folder), name=own, deep=False)
    elif holds_pictures(folder) and good != folder:
        if good is not None or kinds:
            raise _mixed(folder, [*([good] if good else []), *kinds])
        good = folder
    if good is not None:
        deep = good != folder or says_good(own)
        found = annotated(good, "train", *mask_folders(folder), name=GOOD, deep=deep)
        name = good.resolve().name
        samples = [replace(sample, named="" if name == GOOD else name) for sample in found]
    for kind in kinds:
        samples += annotated(kind, "test", *mask_folders(folder))
    for kind in (*good_folders(test), *defect_folders(test)) if good != folder else ():
        samples += annotated(kind, "test", *mask_folders(folder, test))
    truth = mask_folders(folder, test)
    samples = with_flat_masks(samples, truth)
    masked = bool(truth) or any(sample.masks for sample in samples)
    return Dataset(folder.resolve().name, NAME, folder, tuple(samples), masked=masked)


def _mixed(folder: Path, others: list[Path]) -> DataError:
    found = ", ".join(path.name for path in others)
    return DataError(
        str(folder),
        expected="good pictures either directly in the folder or in its sub-folder good",
        got=f"pictures directly in it and in {found}",
        fix="Move the good ones into a sub-folder named good, or point at that sub-folder.",
    )
