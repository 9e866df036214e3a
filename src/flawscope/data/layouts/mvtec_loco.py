"""MVTec LOCO AD: validation split, logical and structural anomalies, several masks a picture.

Each picture's areas lie in `ground_truth/KIND/NAME/*.png`, one area a file; the area's grey value names its
defect in `defects_config.json`, which says from how many pixels on it counts as found in full
(Bergmann et al., IJCV 2022, section 4: saturation of the sPRO).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from flawscope.data.layouts.reader import (
    annotated,
    by_folder,
    good_folders,
    inner,
    kind_folders,
    labelled,
    pictures,
)
from flawscope.data.masks import MaskFile, Saturation
from flawscope.data.samples import Dataset, Sample, Split
from flawscope.data.tables import malformed, read_json
from flawscope.runtime.listing import list_images

NAME = "mvtec_loco"
CONFIG = "defects_config.json"
GOOD_SPLITS: tuple[Split, ...] = ("train", "validation")
_CATEGORIES: dict[str, Literal["logical", "structural"]] = {
    "logical_anomalies": "logical",
    "structural_anomalies": "structural",
}


def is_product(folder: Path) -> bool:
    """Whether `folder` is one product: good pictures in train and in validation."""
    return all(good_folders(inner(folder, split)) for split in ("train", "validation"))


recognises, products = by_folder(is_product)


def read(folder: Path, product: str | None) -> Dataset:
    """See `Reader.read`; other kinds, in a folder of one's own, have masks as in MVTec AD."""
    root = folder / product if product else folder
    truth, test = inner(root, "ground_truth"), inner(root, "test")
    saturations = read_saturations(root / CONFIG) if (root / CONFIG).is_file() else {}
    samples: list[Sample] = []
    for split in GOOD_SPLITS:
        for good in good_folders(inner(root, split)):
            samples += labelled(pictures(good), split, good.name)
    for kind in kind_folders(test):
        category = _CATEGORIES.get(kind.name.casefold())
        if category is None:
            samples += annotated(kind, "test", truth)
            continue
        for sample in labelled(pictures(kind), "test", kind.name):
            areas = inner(truth, kind.name.casefold()) / sample.path.stem
            masks = tuple(_area(path, saturations) for path in (list_images(areas) if areas.is_dir() else ()))
            samples.append(replace(sample, category=category, masks=masks))
    return Dataset(root.resolve().name, NAME, root, tuple(samples), masked=truth.is_dir())


def _area(path: Path, saturations: Mapping[int, Saturation]) -> MaskFile:
    """One area; where its grey value names a defect, all above 0 is the area, however dark."""
    return MaskFile(path, threshold=0 if saturations else None, table=saturations)


def read_saturations(path: Path) -> Mapping[int, Saturation]:
    """Saturation by grey value, as `defects_config.json` lists it.

    Raises:
        DataError: the file is no list of objects with `pixel_value`, `saturation_threshold` and
            `relative_saturation`, or a value is out of range.
    """
    content = read_json(path)
    if not isinstance(content, list):
        raise malformed(path, 1, "a list of defects", type(content).__name__)
    return dict(_saturation(path, f"defect {index + 1}", entry) for index, entry in enumerate(content))


def _saturation(path: Path, place: str, entry: Any) -> tuple[int, Saturation]:
    keys = ("pixel_value", "saturation_threshold", "relative_saturation")
    if not isinstance(entry, dict) or any(key not in entry for key in keys):
        raise malformed(path, place, f"an object with {', '.join(keys)}", repr(entry)[:80])
    value, threshold, relative = (entry[key] for key in keys)
    if not isinstance(value, int) or not 0 < value < 2**16:
        raise malformed(path, place, "a pixel_value between 1 and 65535", repr(value)[:80])
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not threshold > 0:
        raise malformed(path, place, "a saturation_threshold above 0", repr(threshold)[:80])
    if not isinstance(relative, bool):
        raise malformed(path, place, "relative_saturation true or false", repr(relative)[:80])
    return value, Saturation(float(threshold), relative)
