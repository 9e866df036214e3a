"""Published data set layouts and plain folders, read into samples: one reader each, chosen by looking."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from flawscope.data.layouts import (
    bsdata,
    btad,
    magnetic_tile,
    mvtec_ad,
    mvtec_loco,
    plain,
    real_iad,
    vad,
    visa,
)
from flawscope.data.layouts.leftover import left_over
from flawscope.data.layouts.reader import Reader, holds_pictures, subfolders
from flawscope.data.samples import Dataset
from flawscope.errors import DataError, suggest, unknown

_READERS: tuple[Reader, ...] = (
    *(bsdata, btad, plain, magnetic_tile),
    *(mvtec_ad, mvtec_loco, real_iad, vad, visa),
)
LAYOUTS = {reader.NAME: reader for reader in _READERS}
_BY_TABLE = (real_iad.NAME, visa.NAME)  # whose tables say which pictures are meant


def read_dataset(folder: Path, *, layout: str | None = None, product: str | None = None) -> Dataset:
    """Read the samples of one product, and what lies beside them and is not read (`Dataset.left_out`).

    Args:
        folder: the data set, or one product of it.
        layout: a name from `LAYOUTS`; recognised by looking where None.
        product: which product, where the folder holds several; the only one where None.

    Raises:
        OptionError: an unknown layout.
        DataError: no such folder; no layout fits, or several do; the product is missing or unknown; a CSV or
            JSON of the data set is malformed.
    """
    folder = Path(folder)
    if not folder.is_dir():
        got = "a file" if folder.exists() else "nothing there"
        raise DataError(f"folder {folder}", expected="a folder of pictures", got=got, fix="Correct the path.")
    try:
        with os.scandir(folder):
            return _read(folder, layout, product)
    except OSError as error:
        raise DataError(
            str(folder),
            expected="folders that can be read",
            got=f"{(error.strerror or str(error)).lower()} at {error.filename}",
            fix="Change the permissions, or point at another folder.",
        ) from error


def _read(folder: Path, layout: str | None, product: str | None) -> Dataset:
    if layout is not None and layout not in LAYOUTS:
        raise unknown("layout", layout, LAYOUTS)
    reader = LAYOUTS[layout or recognise(folder)]
    if layout is not None and not reader.recognises(folder):
        raise DataError(
            str(folder),
            expected=f"the layout {layout}",
            got=_seen(folder),
            fix="Point at the data set's top folder, or leave the layout out.",
        )
    dataset = reader.read(folder, _choose_product(folder, reader.products(folder), product))
    if reader.NAME in _BY_TABLE:
        return dataset
    return replace(dataset, left_out=(*dataset.left_out, *left_over(dataset)))


def recognise(folder: Path) -> str:
    """The layout that `folder` has, judged by the names in it.

    Raises:
        DataError: none fits, or several do.
    """
    names = [name for name, reader in LAYOUTS.items() if reader.recognises(folder)]
    if len(names) > 1:
        names = [name for name in names if name != plain.NAME]  # published folders hold stray pictures too
    if len(names) == 1:
        return names[0]
    if names:
        raise DataError(
            str(folder),
            expected="one layout",
            got=f"signs of several: {', '.join(names)}",
            fix="Name the one that is meant (--layout).",
        )
    raise DataError(
        str(folder),
        expected=f"pictures, a sub-folder good, or one of the layouts {', '.join(LAYOUTS)}",
        got=_seen(folder),
        fix="Point at the folder that holds the good pictures; where they lie in folders below it, call it "
        "good.",
    )


def _choose_product(folder: Path, products: tuple[str, ...], product: str | None) -> str | None:
    if not products:
        if product is not None and product != folder.resolve().name:
            raise DataError(
                str(folder),
                expected=f'several products, one of them "{product}"',
                got="a single product",
                fix="Leave the product out.",
            )
        return None
    if product is None and len(products) == 1:
        return products[0]
    if product in products:
        return product
    raise DataError(
        str(folder),
        expected="one of its products",
        got="none" if product is None else f'"{product}"',
        fix=f"Name the product (--product). {suggest(product or '', products)}",
    )


def _seen(folder: Path) -> str:
    """What lies in a folder, in a few words."""
    names = [path.name for path in subfolders(folder)]
    listed = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
    folders = f"sub-folders {listed}" if names else "no sub-folders"
    return f"{folders} and {'some' if holds_pictures(folder) else 'no'} pictures"
