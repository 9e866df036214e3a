"""The overview's scale (`flawscope.runtime.overview`) of a fitted detector.

Pictures that fit scales on, and learns nothing else from, tell it. Those that calibrate are not looked at.
"""

from __future__ import annotations

from dataclasses import replace

from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.data.tiles import tiles_of
from flawscope.methods.detector import Detector
from flawscope.methods.running import answers
from flawscope.nn.run import Run
from flawscope.runtime.overview import learnt
from flawscope.runtime.pipeline import judged_outputs
from flawscope.runtime.tiling import Overview, Tile, Tiling


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


def _learnt(detector: Detector, tuning: Pictures, run: Run) -> Overview:
    name = judged_outputs(detector.outputs)[0]
    return learnt(answers(detector, tuning, run, keep=(name,)), tiles_of(tuning), name)
