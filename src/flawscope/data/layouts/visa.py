"""VisA: `split_csv/1cls.csv` names split, label, picture and mask of each object (Zou et al., ECCV 2022)."""

from __future__ import annotations

from pathlib import Path

from flawscope.data.masks import MaskFile
from flawscope.data.samples import GOOD, Dataset, Sample, Split
from flawscope.data.tables import malformed, named_path, read_csv

NAME = "visa"
COLUMNS = ("object", "split", "label", "image", "mask")
LABELS = ("normal", "anomaly")
SPLITS: dict[str, Split] = {"train": "train", "test": "test"}


def _table(folder: Path) -> Path:
    return folder / "split_csv" / "1cls.csv"


def recognises(folder: Path) -> bool:
    """See `Reader.recognises`."""
    return _table(folder).is_file()


def products(folder: Path) -> tuple[str, ...]:
    """See `Reader.products`: the objects that the CSV names."""
    return tuple(sorted({row["object"] for _, row in read_csv(_table(folder), COLUMNS)}))


def read(folder: Path, product: str | None) -> Dataset:
    """See `Reader.read`; a mask's values above 0 are defect (they number the kinds of that picture)."""
    table = _table(folder)
    samples = [
        _sample(folder, table, line, row)
        for line, row in read_csv(table, COLUMNS)
        if row["object"] == product
    ]
    return Dataset(product or folder.resolve().name, NAME, folder, tuple(samples), masked=True)


def _sample(folder: Path, table: Path, line: int, row: dict[str, str]) -> Sample:
    if row["split"] not in SPLITS:
        raise malformed(table, line, "split train or test", repr(row["split"])[:80])
    if row["label"] not in LABELS:
        raise malformed(table, line, "label normal or anomaly", repr(row["label"])[:80])
    defective = row["label"] == "anomaly"
    masks = (MaskFile(named_path(folder, row["mask"], table, line)),) if row["mask"] else ()
    return Sample(
        named_path(folder, row["image"], table, line),
        SPLITS[row["split"]],
        defective=defective,
        kind="anomaly" if defective else GOOD,
        masks=masks,
    )
