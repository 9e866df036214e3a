"""Brings what a model says of shrunken whole pictures to the scale of what it says of their tiles.

Both come from one network and one bank, and yet a whole picture's score is another quantity than the highest
of many tiles'. Good pictures tell how, none of which calibrates: both get one mean and one deviation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flawscope.runtime.tiling import Overview, Tile

ENOUGH = 5  # pictures from which on deviations are told apart


def learnt(
    answers: Iterable[Mapping[str, NDArray[Any]]], tiles: Iterable[Tile | None], score: str
) -> Overview:
    """What scales the overviews of some good pictures.

    Args:
        answers: for each tile, the overviews among them, all of a picture one after the other.
        tiles: which each is.
        score: name of the score in an answer.
    """
    highest, whole = list[float](), list[float]()
    for answer, tile in zip(answers, tiles, strict=True):
        value = float(answer[score])
        if tile is None or tile.number == tile.grid.parts:
            whole.append(value)
        elif tile.number:
            highest[-1] = max(highest[-1], value)
        else:
            highest.append(value)
    gain, shift = scale(np.array(whole), np.array(highest))
    return Overview(gain=gain, shift=shift)


def scale(whole: NDArray[np.float64], tiles: NDArray[np.float64]) -> tuple[float, float]:
    """Gain and shift after which `whole` (n,) has the mean and the deviation of `tiles` (n,).

    Below five pictures the deviation stays.

    >>> scale(np.array([0.0, 1, 2, 3, 4]), np.array([10.0, 12, 14, 16, 18]))
    (2.0, 10.0)
    """
    spreads = float(tiles.std()), float(whole.std())
    gain = spreads[0] / spreads[1] if len(whole) >= ENOUGH and min(spreads) > 0 else 1.0
    return gain, float(tiles.mean() - gain * whole.mean())
