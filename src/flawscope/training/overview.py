"""Brings what a detector says of shrunken whole pictures to the scale of what it says of their tiles.

Both come from one network and one bank, and yet a whole picture's score is another quantity than the highest
of many tiles'. Good pictures that fit scales on, and learns nothing else from, tell how: both get one mean
and one deviation. Pictures that calibrate are not looked at.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.data.tiles import tiles_of
from flawscope.methods.detector import Detector
from flawscope.methods.running import answers
from flawscope.nn.run import Run
from flawscope.runtime.pipeline import judged_outputs
from flawscope.runtime.tiling import Overview, Tile, Tiling

ENOUGH = 5  # pictures from which on deviations are told apart


def tiling_after(detector: Detector, tuning: Pictures, run: Run, tiling: Tiling | None) -> Tiling | None:
    """The tiling with the overview's scale for a fitted detector, where it has one and there are pictures.

    `tuning` holds all tiles of the good pictures that tell it.
    """
    if tiling is None or tiling.overview is None or not len(tuning):
        return tiling
    return tiling.model_copy(update={"overview": _learnt(detector, tuning, run)})


def levelled(detector: Detector, pictures: Pictures, tuning: Pictures, run: Run) -> Pictures:
    """The same pictures, with tiles that know the overview's scale for a fitted detector."""
    first = next(iter(tiles_of(pictures)), None)
    tiling = first.grid.tiling if first is not None else None
    known = tiling_after(detector, tuning, run, tiling)
    if known is None or known == tiling:
        return pictures
    samples = [
        sample if tile is None else replace(sample, tile=Tile(known.grid(*tile.grid.picture), tile.number))
        for sample, tile in zip(pictures.samples, tiles_of(pictures), strict=True)
    ]
    return PictureFiles(samples, pictures.frame)


def scale(whole: NDArray[np.float64], tiles: NDArray[np.float64]) -> tuple[float, float]:
    """Gain and shift after which `whole` (n,) has the mean and the deviation of `tiles` (n,).

    Below five pictures the deviation stays.

    >>> scale(np.array([0.0, 1, 2, 3, 4]), np.array([10.0, 12, 14, 16, 18]))
    (2.0, 10.0)
    """
    spreads = float(tiles.std()), float(whole.std())
    gain = spreads[0] / spreads[1] if len(whole) >= ENOUGH and min(spreads) > 0 else 1.0
    return gain, float(tiles.mean() - gain * whole.mean())


def _learnt(detector: Detector, tuning: Pictures, run: Run) -> Overview:
    name = judged_outputs(detector.outputs)[0]
    highest, whole = list[float](), list[float]()
    for answer, tile in zip(answers(detector, tuning, run, keep=(name,)), tiles_of(tuning), strict=True):
        score = float(answer[name])
        if tile is None or tile.number == tile.grid.parts:
            whole.append(score)
        elif tile.number:
            highest[-1] = max(highest[-1], score)
        else:
            highest.append(score)
    gain, shift = scale(np.array(whole), np.array(highest))
    return Overview(gain=gain, shift=shift)
