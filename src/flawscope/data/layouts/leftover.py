"""What lies in a data set's folder and is read as nothing: no picture and no mask is left out in silence."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from flawscope.data.labelme import LabelMe
from flawscope.data.layouts.annotations import is_mask_folder, masked_kind
from flawscope.data.layouts.reader import inner, kind_folders
from flawscope.data.samples import Dataset
from flawscope.runtime.listing import LeftOut, list_pictures, real_path

NOT_A_PLACE = "where this layout has no pictures"
NO_PICTURE = "a mask of no picture"
EMPTY = "a folder without pictures"
LABEL_MAPS = "parts"  # of rendered products: which part each pixel shows


def left_over(dataset: Dataset) -> list[LeftOut]:
    """What is no sample and no mask below the data set's folder, kinds without pictures, skipped shapes."""
    listing = list_pictures(dataset.root)
    samples = [sample.path for sample in dataset]
    masks = [path for sample in dataset for mask in sample.masks if (path := getattr(mask, "path", None))]
    used = {*samples, *masks}
    rest = [path for path in listing.pictures if path not in used and not _is_label_map(dataset, path)]
    if rest:  # a file may be reached by another way than its sample was
        real = set(map(real_path, used))
        rest = [path for path in rest if real_path(path) not in real]
    entered = _folders_of(used)
    found = [one for one in listing.left_out if one.path not in entered]
    found += [LeftOut(path, NO_PICTURE if _is_mask(dataset.root, path) else NOT_A_PLACE) for path in rest]
    holders = _folders_of([*listing.pictures, *samples])
    found += [LeftOut(path, EMPTY) for path in _kinds(dataset.root) if path not in holders]
    found += [
        LeftOut(areas.path, reason)
        for sample in dataset
        for areas in sample.masks
        if isinstance(areas, LabelMe)
        for reason in areas.skipped
    ]
    return found


def _folders_of(paths: Iterable[Path]) -> set[Path]:
    folders = {path.parent for path in paths}
    return folders.union(*(folder.parents for folder in folders))


def _kinds(root: Path) -> Iterable[Path]:
    for split in ("train", "validation", "test"):
        yield from kind_folders(inner(root, split))


def _is_mask(root: Path, path: Path) -> bool:
    parts = path.relative_to(root).parts[:-1]
    folder = any(is_mask_folder(name) or masked_kind(name) for name in parts)
    return folder or masked_kind(path.stem) is not None


def _is_label_map(dataset: Dataset, path: Path) -> bool:
    return path.relative_to(dataset.root).parts[0] == LABEL_MAPS and dataset.layout == "mvtec_loco"
