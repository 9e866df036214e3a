"""Which labelled pictures are held out of a training, to measure it: none that alone shows a class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flawscope.data.segment_maps import MOST_SEGMENTS, Labels


def classes_shown(maps: Labels, count: int = MOST_SEGMENTS) -> NDArray[np.bool_]:
    """Which of label maps (n, H, W) shows which of `count` classes, (n, count)."""
    found = np.zeros((len(maps), count), np.bool_)
    for row, labels in zip(found, maps, strict=True):
        row[np.unique(labels)] = True
    return found


def held_out(
    shown: NDArray[np.bool_], units: NDArray[np.intp], share: float, order: Sequence[int]
) -> NDArray[np.bool_]:
    """Whether each of n pictures is held out, (n,): about `share` of the units, each with all its pictures.

    A unit is held out only where others that are learnt from show all its classes.

    Args:
        shown: (n, C) which picture shows which class.
        units: (n,) what each belongs to, such as the picture of which it is a tile.
        share: of the units.
        order: in which the units are asked.
    """
    left, held = shown.sum(0), list[int]()
    for unit in order:
        own = shown[units == unit].sum(0)
        if len(held) < round(share * len(order)) and (left[own > 0] > own[own > 0]).all():
            held.append(unit)
            left = left - own
    return np.isin(units, held)
