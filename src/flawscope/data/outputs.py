"""Where what is made may lie: never in the place of what is read, nor among pictures."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from flawscope.data.samples import Dataset
from flawscope.errors import OptionError


def refuse_inside(out: Path, dataset: Dataset) -> None:
    """Refuse a folder among the data set's pictures.

    Raises:
        OptionError: it lies there.
    """
    if out.resolve().is_relative_to(dataset.root.resolve()):
        raise OptionError(
            "--out",
            expected="a folder outside of the pictures, among which what is made would be taken for pictures",
            got=f"{out}, inside {dataset.root}",
            fix="Choose another folder.",
        )


def refuse_in(out: Path, place: Path) -> None:
    """Refuse a file or folder that is, or lies in, a folder that is read.

    Raises:
        OptionError: it does.
    """
    if out.resolve().is_relative_to(place.resolve()):
        raise OptionError(
            "--out",
            expected="another place than what is read from",
            got=f"{out}, in {place}",
            fix="Choose another one.",
        )


def refuse_over(out: Path, pictures: Iterable[Path], *others: Path) -> None:
    """Refuse a file that is one of those read, or that lies in a folder of pictures.

    Args:
        pictures: that are read.
        others: further files that are.

    Raises:
        OptionError: it is, or does.
    """
    real = cache(lambda folder: Path(os.path.realpath(folder)))
    place = real(out.parent) / out.name
    among = any(place.parent == real(path.parent) for path in pictures if path.is_file())
    if among or any(Path(os.path.realpath(out)) == Path(os.path.realpath(path)) for path in others):
        raise OptionError(
            "--out",
            expected="a file that is not read itself, outside of the folders of pictures",
            got=f"{out}, {'among the pictures' if among else 'which is read'}",
            fix="Choose another one.",
        )


def refuse_any(made: Iterable[Path], read: Iterable[Path]) -> None:
    """Refuse files that are among those read.

    Raises:
        OptionError: one of them is.
    """
    known = {Path(os.path.realpath(path)) for path in read}
    for path in made:
        if Path(os.path.realpath(path)) in known:
            raise OptionError(
                "--out",
                expected="a folder in which no file is read",
                got=f"one in which {path} is",
                fix="Choose another one.",
            )
