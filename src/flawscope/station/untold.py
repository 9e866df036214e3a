"""Figures that an evaluation cannot give, or that leave doubt, each with the reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flawscope.data.samples import Dataset, Sample
from flawscope.runtime.record import Record

DETECTION = "AUROC, average precision, F1 and FPR at 95 % TPR"
PLACE = "Pixel AUROC, pixel AP and AU-PRO"


def doubt_masks(inverted: Sequence[str], on_good: Sequence[str]) -> list[str]:
    """What is said of pictures, by name, whose masks mark the ground or a defect on a good picture."""
    doubts = []
    if inverted:
        doubts.append(
            f"{PLACE} leave doubt: masks that mark most of a picture, nearly all of its border included: "
            f"{len(inverted)} ({_first(inverted)}). Are they inverted? Bright pixels mean the defect."
        )
    if on_good:
        doubts.append(
            f"Pictures that count as good, though their masks mark a defect: {len(on_good)} "
            f"({_first(on_good)}). Are they defective? "
            "Move them to a folder of their kind, or empty the masks."
        )
    return doubts


def untold_masks(unmasked: int) -> str:
    """What is said of defective pictures without a marked area where others have one."""
    return f"Defective pictures without a marked area, which count in no figure of place: {unmasked}."


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")


def untold_detection(records: Sequence[Record], known: Sequence[Sample]) -> Iterator[str]:
    """Why pictures cannot be ranked: `records` are those that were read, `known` those left out before."""
    truths = [record.truth.defective for record in records if record.truth is not None]
    if not truths:
        yield f"{DETECTION} are not told: no picture could be read."
    elif not any(truths):
        yield (
            f"{DETECTION} are not told: they need defective pictures, and all {len(truths)} are good. "
            "The share of good pictures that is rejected is told."
        )
    elif all(truths):
        seen = sum(not sample.defective for sample in known)
        why = f"; {seen} good ones are left out, because the model has seen them" if seen else ""
        yield (
            f"{DETECTION} are not told: they need good pictures, and all {len(truths)} are defective{why}. "
            "The share of defective pictures that is found is told."
        )


def untold_place(
    dataset: Dataset, records: Sequence[Record], *, heatmaps: bool, unmasked: int, misfits: int
) -> Iterator[str]:
    """Why there are no figures of place, where there are none.

    Args:
        heatmaps: whether the model gives any.
        unmasked: defective pictures without a marked area.
        misfits: pictures whose masks cannot be used.
    """
    defective = sum(record.truth is not None and record.truth.defective for record in records)
    if not dataset.masked:
        missing = "they need masks of the defects, and the data set has none"
    elif not heatmaps:
        missing = "the model gives no heatmap"
    elif not defective:
        missing = "they need defective pictures, and none was read"
    else:
        missing = (
            f"of {defective} defective pictures {unmasked} have no marked area and of all pictures "
            f"{misfits} have masks that cannot be used"
        )
    yield f"{PLACE} are not told: {missing}."
