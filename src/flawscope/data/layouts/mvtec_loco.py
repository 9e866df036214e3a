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

from flawscope.data.layouts.reader import by_folder, labelled, pictures
from flawscope.data.masks import MaskFile, Saturation
from flawscope.data.samples import GOOD, Dataset
from flawscope.data.tables import malformed, read_json

NAME = "mvtec_loco"
CONFIG = "defects_config.json"
CATEGORIES: tuple[Literal["logical", "structural"], ...] = ("logical", "structural")


def is_product(folder: Path) -> bool:
    """Whether `folder` is one product: train/good and validation/good."""
    return (folder / "train" / GOOD).is_dir() and (folder / "validation" / GOOD).is_dir()


recognises, products = by_folder(is_product)


def read(folder: Path, product: str | None) -> Dataset:
    """See `Reader.read`."""
    root = folder / product if product else folder
    truth, test = root / "ground_truth", root / "test"
    saturations = read_saturations(root / CONFIG) if (root / CONFIG).is_file() else {}
    samples = [
        *labelled(pictures(root / "train" / GOOD), "train"),
        *labelled(pictures(root / "validation" / GOOD), "validation"),
        *labelled(pictures(test / GOOD), "test"),
    ]

    def masks(path: Path) -> tuple[MaskFile, ...]:
        areas = pictures(truth / path.parent.name / path.stem)
        return tuple(MaskFile(area, table=saturations) for area in areas)

    for category in CATEGORIES:
        kind = f"{category}_anomalies"
        anomalous = labelled(pictures(test / kind), "test", kind, masks)
        samples += [replace(sample, category=category) for sample in anomalous]
    return Dataset(root.resolve().name, NAME, root, tuple(samples), masked=truth.is_dir())


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
