"""VisA: `split_csv/1cls.csv` names split, label, picture and mask of each object (Zou et al., ECCV 2022)."""

from __future__ import annotations

from pathlib import Path

from flawscope.data.masks import MaskFile
from flawscope.data.samples import GOOD, Dataset, Sample, Split
from flawscope.data.tables import malformed, named_path, read_csv
from flawscope.data.truth import says_bad, says_good

NAME = "visa"
COLUMNS = ("object", "split", "label", "image", "mask")
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
    """See `Reader.read`; a mask's values above 0 are defect (they number the kinds of that picture).

    Other words for normal and anomaly than the published table has are read too, in any case.
    """
    table = _table(folder)
    samples = [
        _sample(folder, table, line, row)
        for line, row in read_csv(table, COLUMNS)
        if row["object"] == product
    ]
    return Dataset(product or folder.resolve().name, NAME, folder, tuple(samples), masked=True)


def _sample(folder: Path, table: Path, line: int, row: dict[str, str]) -> Sample:
    split, label = SPLITS.get(row["split"].casefold()), row["label"]
    if split is None:
        raise malformed(table, line, "split train or test", repr(row["split"])[:80])
    good = says_good(label)
    if not good and not says_bad(label):
        raise malformed(table, line, "label normal or anomaly", repr(label)[:80])
    masks = (MaskFile(named_path(folder, row["mask"], table, line), threshold=0),) if row["mask"] else ()
    return Sample(
        named_path(folder, row["image"], table, line),
        split,
        defective=not good,
        kind=GOOD if good else "anomaly",
        masks=masks,
        named=label,
    )
