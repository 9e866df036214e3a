"""Label maps in a folder that a person can correct; what was corrected is never overwritten."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flawscope.data.label_folder import SHEET, LabelFolder
from flawscope.data.pictures import Pictures
from flawscope.data.samples import spread
from flawscope.data.segment_maps import MOST_SEGMENTS, Labels, picture_size, shares_of, to_frame_size
from flawscope.data.sheets.segments import Cell, segment_sheet
from flawscope.errors import DataError
from flawscope.runtime.images import Frame
from flawscope.runtime.overlay import to_bytes, write_png
from flawscope.segmenters.pseudo_labels.make import PseudoLabels
from flawscope.segmenters.pseudo_labels.naming import added_name

_SHEET_PICTURES = 24
_SAME = 0.25  # IoU from which a class is one that the folder knows already


@dataclass(frozen=True, slots=True)
class Written:
    """What a folder of label maps holds after `write_labels`.

    Attributes:
        maps: (N, H, W) at the pictures' frame, those by hand among them.
        labelled: (N,) which may be learnt from.
        by_hand: (N,) which a person has drawn or corrected.
        names: of the classes, the background first.
    """

    maps: NDArray[np.uint8]
    labelled: NDArray[np.bool_]
    by_hand: NDArray[np.bool_]
    names: tuple[str, ...]

    def shares(self) -> NDArray[np.float64]:
        """Mean share of the pixels that each class takes, (K + 1,)."""
        shares = [shares_of(labels, len(self.names)) for labels in self.maps]
        return np.asarray(np.mean(shares, axis=0))


def maps_by_hand(folder: LabelFolder, pictures: Pictures) -> dict[int, Labels]:
    """Maps (H, W) at the frame that a person has drawn or corrected, by the picture's number.

    Raises:
        InputError: one that cannot be read.
        DataError: one of other proportions than its picture, or with an index without a name.
    """
    return {
        index: to_frame_size(folder.read(sample), pictures.frame)
        for index, sample in enumerate(pictures.samples)
        if folder.by_hand(sample)
    }


def write_labels(folder: LabelFolder, pictures: Pictures, labels: PseudoLabels) -> Written:
    """Write the label map of each picture that has none by hand, the classes' names, and a contact sheet.

    Maps have their pictures' size. Where a person has changed a map or a name, classes keep the numbers and
    names that the folder has: a new class takes the number of the one that it overlaps most; others follow.

    Raises:
        InputError, DataError: as `maps_by_hand`; more than 63 classes, old and new together.
        OutputError: the folder cannot be written.
    """
    maps, names = labels.maps.copy(), labels.names
    drawn = maps_by_hand(folder, pictures)
    known, named = folder.names(), folder.named_by_hand()
    if known is not None and (drawn or named):
        maps, names = _renumbered(labels, known, _known_maps(folder, pictures))
    by_hand = np.zeros(len(pictures), np.bool_)
    try:
        for index, sample in enumerate(pictures.samples):
            if index in drawn:
                maps[index], by_hand[index] = drawn[index], True
                continue
            size = picture_size(sample.path)
            own = to_picture(maps[index], pictures.frame, size)
            folder.write(sample, own, labelled=bool(labels.labelled[index]))
        folder.write_names(names, made=not named)
    finally:
        folder.note()
    written = Written(maps, labels.labelled | by_hand, by_hand, names)
    write_png(folder.folder / SHEET, _sheet(pictures, written))
    return written


def _known_maps(folder: LabelFolder, pictures: Pictures) -> dict[int, Labels]:
    """All maps (H, W) at the frame that the folder has of these pictures, by the picture's number."""
    return {
        index: to_frame_size(folder.read(sample), pictures.frame)
        for index, sample in enumerate(pictures.samples)
        if folder.place(sample).is_file()
    }


def _renumbered(
    labels: PseudoLabels, known: tuple[str, ...], before: dict[int, Labels]
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Maps and names in which classes that the folder knows have the numbers that it gives them."""
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415 - takes a second, and is seldom needed

    common = np.zeros((len(labels.names), len(known)))
    for index, old in before.items():
        np.add.at(common, (labels.maps[index].ravel(), old.ravel()), 1)
    union = common.sum(1)[:, None] + common.sum(0) - common
    ious = (common / np.maximum(union, 1))[1:, 1:]
    numbers, names = np.zeros(len(labels.names), np.intp), list(known)
    for new, old in zip(*linear_sum_assignment(-ious), strict=True):
        if ious[new, old] >= _SAME:
            numbers[new + 1] = old + 1
    for new in np.flatnonzero(numbers[1:] == 0) + 1:
        numbers[new] = len(names)
        names.append(added_name(labels.names[new], names))
    if len(names) > MOST_SEGMENTS:
        raise DataError(
            "classes of the label maps",
            expected=f"at most {MOST_SEGMENTS - 1}, those of the folder and new ones together",
            got=str(len(names) - 1),
            fix="Write into another folder, or lower labels.most.",
        )
    return numbers.astype(np.uint8)[labels.maps], tuple(names)


def to_picture(labels: Labels, frame: Frame, size: tuple[int, int]) -> Labels:
    """Labels (H, W) at the frame, as they lie on a picture of `size` (height, width)."""
    placement = frame.placement(*size)
    (top, left), (height, width) = placement.corner, placement.inner
    inner = np.ascontiguousarray(labels[top : top + height, left : left + width])
    return np.asarray(cv2.resize(inner, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)


def _sheet(pictures: Pictures, written: Written) -> NDArray[np.uint8]:
    """Up to 24 of the pictures with their maps; the caption says whose map it is."""
    cells = []
    for index in spread(range(len(pictures)), _SHEET_PICTURES):
        path = pictures.samples[index].path
        state = "by hand" if written.by_hand[index] else "" if written.labelled[index] else "not learnt from"
        caption = f"{path.parent.name}/{path.name}" + (f", {state}" if state else "")
        cells.append(Cell(caption, to_bytes(pictures[index]), labels=written.maps[index]))
    return segment_sheet(written.maps[0], cells, shares=written.shares())
