"""Defective pictures to learn from: a folder of them, or a seeded draw from a data set's own."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from flawscope.data.layouts.reader import annotated, kind_folders, mask_folders
from flawscope.data.samples import Dataset, Sample, ordered
from flawscope.data.truth import says_good
from flawscope.errors import DataError, OptionError, unknown
from flawscope.files import remembered_sha256

Samples = tuple[Sample, ...]


def read_defects(folder: Path) -> Samples:
    """Pictures directly in `folder`, whose name is their kind, and in sub-folders that are named by kind.

    They have their masks where there are any, as `flawscope.data.layouts.reader.annotated` finds them.

    Raises:
        DataError: no such folder, no picture in it, or one that is called as good ones are, or holds such.
    """
    folder = Path(folder)
    kinds = kind_folders(folder)
    good, own = [f"a sub-folder {path.name}" for path in kinds if says_good(path.name)], folder.resolve().name
    found, roots = list[Sample](), mask_folders(folder)
    if folder.is_dir():
        direct = annotated(folder, "train", *roots, name=own, deep=False)
        found = [replace(sample, defective=True, kind=own, named="") for sample in direct]
        good += [f"pictures in a folder {own}"] if direct and says_good(own) else []
    found += [sample for kind in kinds for sample in annotated(kind, "train", *roots)]
    if good or not found:
        raise DataError(
            f"folder of defective pictures {folder}",
            expected="defective pictures, directly or in a sub-folder for each kind",
            got=good[0] if good else "none" if folder.is_dir() else "no such folder",
            fix="Point at the folder that holds nothing but defective pictures.",
        )
    return tuple(found)


def withhold(dataset: Dataset, kinds: Sequence[str]) -> Dataset:
    """The data set with these defect kinds marked as not to be learnt from.

    Raises:
        OptionError: a kind that the data set lacks.
    """
    for kind in kinds:
        if kind not in dataset.kinds():
            raise unknown("withheld kind of defect", kind, dataset.kinds())
    samples = (replace(sample, seen=sample.seen and sample.kind not in kinds) for sample in dataset)
    return replace(dataset, samples=tuple(samples))


def draw_defects(dataset: Dataset, count: int | None, seed: int) -> Samples:
    """Defective pictures of the data set to learn from; kinds that it withholds are never among them.

    They come from its training pictures where those hold defects, and else from its test pictures, which are
    then no longer for testing. A smaller draw of the same seed lies within a larger one.

    Args:
        count: how many; None takes all defective training pictures.

    Raises:
        OptionError: more than there are, or no number where only test pictures are defective.
    """
    training = [sample for sample in dataset.select(split="train", defective=True) if sample.seen]
    pool = training or [sample for sample in dataset.select(split="test", defective=True) if sample.seen]
    if count is None and not training:
        raise OptionError(
            "split.defective",
            expected="how many defective pictures to learn from, for none are training pictures",
            got="nothing",
            fix="Name a folder of defective pictures with --defects FOLDER, or set split.defective=20, say.",
        )
    wanted = len(pool) if count is None else count
    if wanted > len(pool):
        raise OptionError(
            "split.defective",
            expected=f"at most the {len(pool)} defective pictures that may be learnt from",
            got=str(wanted),
            fix="Ask for fewer, or add defective pictures.",
        )
    drawn = list(ordered(pool))
    random.Random(seed).shuffle(drawn)
    return ordered(drawn[:wanted])


def without(dataset: Dataset, drawn: Collection[Sample]) -> Dataset:
    """The data set less the pictures that were drawn from it."""
    taken = {sample.path for sample in drawn}
    return replace(dataset, samples=tuple(sample for sample in dataset if sample.path not in taken))


def refuse_repeated(good: Iterable[Sample], defective: Iterable[Sample]) -> None:
    """Refuse a defective picture whose content is that of a good one.

    Raises:
        DataError: both are named.
    """
    doubtful = tuple(defective)
    if not doubtful:
        return
    known = {remembered_sha256(sample.path): sample.path for sample in good}
    for sample in doubtful:
        other = known.get(remembered_sha256(sample.path))
        if other is not None:
            raise DataError(
                f"defective picture {sample.path}",
                expected="a picture that is not among the good ones",
                got=f"the content of {other}",
                fix="Remove it from one of the two folders.",
            )
