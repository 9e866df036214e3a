"""Pixel AUROC and pixel average precision over any number of pictures: exact, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flawscope.metrics._spool import CHUNK, Spool, check_heatmap, check_mask, counts, need_both, pairs


class PixelMetrics(NamedTuple):
    """Ranking of defective above normal pixels, each in [0, 1]."""

    auroc: float
    average_precision: float


class PixelRanking:
    """Accumulates pixels of pictures of any sizes; `compute` ranks them without binning.

    Args:
        chunk: pixels held in memory per class; beyond that they wait in a temporary file.

    >>> ranking = PixelRanking()
    >>> ranking.update(np.array([[0, 0], [1, 0]]), np.array([[0.1, 0.2], [0.9, 0.3]]))
    >>> ranking.compute()
    PixelMetrics(auroc=1.0, average_precision=1.0)
    """

    def __init__(self, *, chunk: int = CHUNK) -> None:
        self._normal, self._defective = Spool(chunk), Spool(chunk)
        self._pictures = 0

    def update(self, mask: NDArray[Any] | None, heatmap: NDArray[Any]) -> None:
        """Add one picture.

        Args:
            mask: (H, W) whole numbers or booleans, 0 is normal, all else defective; None: all normal.
            heatmap: (H, W) finite, higher is more anomalous.

        Raises:
            InputError: shapes that differ, or values that are not finite.
            OutputError: the temporary folder is full.
        """
        values = check_heatmap(heatmap, self._pictures)
        marks = check_mask(mask, values.shape, self._pictures)
        self._pictures += 1
        self._normal.append(values[~marks])
        self._defective.append(values[marks])

    def compute(self) -> PixelMetrics:
        """Both metrics over all pixels so far; more pictures may follow.

        Raises:
            InputError: no defective or no normal pixel so far.
        """
        return ranked(self._normal, self._defective)


def ranked(normal: Spool, defective: Spool) -> PixelMetrics:
    """Both metrics of two sets of pixels; InputError where one is empty."""
    need_both(normal.total, defective.total)
    losses, precision = 0.0, 0.0
    for scores in defective.chunks():
        scores.sort()
        above, at_least = counts(normal, scores)
        _, found = counts(defective, scores)
        losses += float(np.sum(above + at_least, dtype=np.float64)) / 2
        precision += float(np.sum(found / (found + at_least)))
    return PixelMetrics(1.0 - losses / (float(normal.total) * defective.total), precision / defective.total)


def pixel_auroc(masks: Iterable[NDArray[Any] | None], heatmaps: Iterable[NDArray[Any]]) -> float:
    """Area under the ROC curve over all pixels of all pictures. Arguments and errors as in `PixelRanking`."""
    return _ranking(masks, heatmaps).auroc


def pixel_average_precision(masks: Iterable[NDArray[Any] | None], heatmaps: Iterable[NDArray[Any]]) -> float:
    """Average precision over all pixels of all pictures. Arguments and errors as in `PixelRanking`."""
    return _ranking(masks, heatmaps).average_precision


def _ranking(masks: Iterable[NDArray[Any] | None], heatmaps: Iterable[NDArray[Any]]) -> PixelMetrics:
    ranking = PixelRanking()
    for mask, heatmap in pairs(masks, heatmaps):
        ranking.update(mask, heatmap)
    return ranking.compute()
