"""Real-IAD: one JSON a product, five views C1 to C5 of each part (Wang et al., CVPR 2024).

The published archive holds `realiad_jsons/realiad_jsons/PRODUCT.json` (multi-view split) and
`realiad_{256,512,1024}/PRODUCT/...`; the largest resolution present is read. A JSON lying directly in
`realiad_jsons/` is read too. A view on which a part's defect cannot be seen is labelled good there.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from flawscope.data.masks import MaskFile
from flawscope.data.samples import GOOD, Dataset, Sample, Split
from flawscope.data.tables import malformed, named_path, read_json
from flawscope.data.truth import says_good
from flawscope.errors import DataError
from flawscope.files import encodable

NAME = "real_iad"
SPLITS: tuple[Split, ...] = ("train", "test")
RESOLUTIONS = ("realiad_raw", "realiad_1024", "realiad_512", "realiad_256")


def _tables(folder: Path) -> Path:
    outer = folder / "realiad_jsons"
    inner = outer / "realiad_jsons"
    return inner if inner.is_dir() else outer


def recognises(folder: Path) -> bool:
    """See `Reader.recognises`."""
    return _tables(folder).is_dir() and bool(products(folder))


def products(folder: Path) -> tuple[str, ...]:
    """See `Reader.products`: one for each JSON."""
    return tuple(sorted(path.stem for path in _tables(folder).glob("*.json")))


def read(folder: Path, product: str | None) -> Dataset:
    """See `Reader.read`; `group` is the part's folder."""
    table = _tables(folder) / f"{product}.json"
    content = read_json(table)
    meta = content.get("meta") if isinstance(content, dict) else None
    if not isinstance(meta, dict) or not all(isinstance(content.get(split), list) for split in SPLITS):
        raise malformed(table, 1, "an object with meta, train and test", repr(content)[:80])
    prefix = meta.get("prefix", f"{product}/")
    root = named_path(_pictures_root(folder), prefix, table, "meta.prefix")
    normal = meta.get("normal_class", "OK")
    samples = [
        _sample(root, table, f"{split} entry {index + 1}", entry, split=split, normal=normal)
        for split in SPLITS
        for index, entry in enumerate(content[split])
    ]
    return Dataset(product or folder.resolve().name, NAME, folder, tuple(samples), masked=True)


def _pictures_root(folder: Path) -> Path:
    for name in RESOLUTIONS:
        if (folder / name).is_dir():
            return folder / name
    raise DataError(
        f"Real-IAD in {folder}",
        expected=f"pictures in one of {', '.join(RESOLUTIONS)}",
        got="none of these folders",
        fix="Unpack the picture archives beside realiad_jsons.",
    )


def _sample(root: Path, table: Path, place: str, entry: Any, *, split: Split, normal: object) -> Sample:
    keys = ("anomaly_class", "image_path")
    if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in keys):
        raise malformed(table, place, "an object with anomaly_class and image_path", repr(entry)[:80])
    kind, image = entry["anomaly_class"], entry["image_path"]
    defective = kind != normal and not says_good(kind)
    mask = entry.get("mask_path")
    path = named_path(root, image, table, place)
    return Sample(
        path,
        split,
        defective=defective,
        kind=kind if defective else GOOD,
        masks=(MaskFile(named_path(root, mask, table, place)),) if mask else (),
        group=encodable(Path(os.path.relpath(path.parent, root)).as_posix()),
        named=kind,
    )
