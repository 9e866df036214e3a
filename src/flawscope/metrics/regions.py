"""Localisation, exact and in bounded memory: pixel AUROC and AP, and AU-PRO and AU-sPRO for each defect.

PRO (Bergmann et al., IJCV 2021, section 5.2): the share of a connected defect region that a threshold finds,
averaged over regions. sPRO (Bergmann et al., "Beyond Dents and Scratches", IJCV 2022, equation 1): the same
per annotated defect, where a part of its area, the saturation, already counts as all of it. Both are drawn
over the false positive rate of all normal pixels and integrated by the trapezoid rule up to a limit.

A defective pixel adds its weight (1 / area, for sPRO 1 / saturation until that is reached) to the curve
where its score stands among the normal pixels. The area is therefore a sum over defective pixels, and of the
normal pixels only those below the limit's false positive rate are ever sorted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from flawscope.errors import InputError, OptionError
from flawscope.metrics._spool import CHUNK, Spool, check_heatmap, check_mask, counts, need_both, pairs

Floats = NDArray[np.float64]


class PixelMetrics(NamedTuple):
    """Ranking of defective above normal pixels, each in [0, 1]."""

    auroc: float
    average_precision: float


class ProCurve(NamedTuple):
    """Corners of the curve from (0, 0) to (1, 1): false positive rate and mean region overlap, each (K,)."""

    fpr: Floats
    pro: Floats


class Saturation(NamedTuple):
    """How much of a defect must be found to count as all of it: pixels, or a share of its area.

    As in MVTec LOCO's evaluation it is rounded down to whole pixels and never more than the area.
    """

    threshold: float
    relative: bool = False

    def pixels(self, area: int) -> int:
        """Saturation in pixels for a defect of `area` pixels, from 1 to `area`."""
        wanted = self.threshold * area if self.relative else self.threshold
        return max(1, math.floor(min(wanted, area)))


class RegionOverlap:
    """Accumulates pictures of any sizes; `compute` gives AU-PRO or AU-sPRO, `ranking` the rest, unbinned.

    Args:
        chunk: pixels held in memory per class; beyond that they wait in a temporary file.

    >>> overlap = RegionOverlap()
    >>> overlap.update(np.array([[0, 0, 1, 1]]), np.array([[0.1, 0.6, 0.9, 0.4]]))
    >>> overlap.compute(limit=0.5), overlap.ranking()
    (0.5, PixelMetrics(auroc=0.75, average_precision=0.8333333333333333))
    """

    def __init__(self, *, chunk: int = CHUNK) -> None:
        self._normal, self._defective, self._weights = Spool(chunk), Spool(chunk), Spool(chunk)
        self._regions = 0
        self._pictures = 0

    def update(
        self,
        mask: NDArray[Any] | None,
        heatmap: NDArray[Any],
        left_out: NDArray[np.bool_] | None = None,
    ) -> None:
        """Add one picture for AU-PRO; its regions are the mask's 8-connected components, as MVTec AD counts.

        Args:
            mask: (H, W) whole numbers or booleans, 0 is normal, all else defective; None: all normal.
            heatmap: (H, W) finite, higher is more anomalous.
            left_out: (H, W) pixels that count neither as normal nor as defective; None: all count.

        Raises:
            InputError: shapes that differ, or values that are not finite.
            OutputError: the temporary folder is full.
        """
        values = check_heatmap(heatmap, self._pictures)
        marks = check_mask(mask, values.shape, self._pictures)
        normal = ~marks
        if left_out is not None:
            outside = check_mask(left_out, values.shape, self._pictures)
            marks, normal = marks & ~outside, normal & ~outside
        self._pictures += 1
        if not marks.any():
            self._normal.append(values[normal])
            return
        count, labels = cv2.connectedComponents(marks.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S)
        inside = labels[marks]
        self._normal.append(values[normal])
        self._defective.append(values[marks])
        self._weights.append((1.0 / np.bincount(inside, minlength=count).clip(1))[inside])
        self._regions += count - 1

    def update_defects(
        self,
        masks: NDArray[Any] | None,
        heatmap: NDArray[Any],
        saturations: Sequence[Saturation] | None = None,
        *,
        left_out: NDArray[np.bool_] | None = None,
    ) -> None:
        """Add one picture for AU-sPRO; each channel of `masks` is one defect, connected or not.

        Pixels outside all channels are normal.

        Args:
            masks: (C, H, W) whole numbers or booleans, no channel empty; None or C = 0: all normal.
            heatmap: (H, W) finite, higher is more anomalous.
            saturations: one per channel; None: each saturates at its full area.
            left_out: (H, W) pixels outside all channels that do not count as normal; None: all do.

        Raises:
            InputError: as in `update`; an empty channel; saturations that do not match or are not positive.
        """
        values = check_heatmap(heatmap, self._pictures)
        channels = [
            check_mask(mask, values.shape, self._pictures) for mask in (() if masks is None else masks)
        ]
        wanted = [Saturation(1.0, relative=True)] * len(channels) if saturations is None else saturations
        _check_defects(channels, wanted, self._pictures)
        self._pictures += 1
        union = np.logical_or.reduce(channels) if channels else np.zeros(values.shape, bool)
        if left_out is not None:
            union |= check_mask(left_out, values.shape, self._pictures)
        self._normal.append(values[~union])
        for mask, saturation in zip(channels, wanted, strict=True):
            size = saturation.pixels(int(mask.sum()))
            self._defective.append(-np.sort(-values[mask])[:size])
            self._weights.append(np.full(size, 1.0 / size))
        self._regions += len(channels)

    @property
    def usable(self) -> bool:
        """Whether there are normal and defective pixels."""
        return self._normal.total > 0 and self._defective.total > 0

    def compute(self, limit: float = 0.3) -> float:
        """Area under the curve up to false positive rate `limit`, divided by `limit`, in [0, 1].

        Raises:
            InputError: no defective or no normal pixel so far.
            OptionError: `limit` outside (0, 1].
        """
        if not 0.0 < limit <= 1.0:
            raise OptionError("limit", expected="a rate in (0, 1]", got=f"{limit}", fix="Use 0.3 or 0.05.")
        need_both(self._normal.total, self._defective.total)
        end = limit * self._normal.total
        area = 0.0
        for scores, weights in zip(self._defective.chunks(), self._weights.chunks(), strict=True):
            order = np.argsort(scores)
            above, at_least = counts(self._normal, scores[order], enough=end)
            area += float(np.sum(weights[order] * _width(above, at_least, end)))
        return min(area / (end * self._regions), 1.0)

    def ranking(self) -> PixelMetrics:
        """Pixel AUROC and pixel average precision of all pictures of `update` so far; more may follow.

        Raises:
            InputError: no defective or no normal pixel so far.
        """
        normal, defective = self._normal.total, self._defective.total
        need_both(normal, defective)
        losses, precision = 0.0, 0.0
        for scores in self._defective.chunks():
            scores.sort()
            above, at_least = counts(self._normal, scores)
            _, found = counts(self._defective, scores)
            losses += float(np.sum(above + at_least, dtype=np.float64)) / 2
            precision += float(np.sum(found / (found + at_least)))
        return PixelMetrics(1.0 - losses / (float(normal) * defective), precision / defective)

    def curve(self) -> ProCurve:
        """The whole curve; unlike `compute` it holds all defective pixels in memory.

        Raises:
            InputError: no defective or no normal pixel so far.
        """
        need_both(self._normal.total, self._defective.total)
        scores = np.concatenate(list(self._defective.chunks()))
        weights = np.concatenate(list(self._weights.chunks()))
        thresholds, place = np.unique(scores, return_inverse=True)
        above, at_least = (count[::-1] for count in counts(self._normal, thresholds))
        gained = np.minimum(np.cumsum(np.bincount(place, weights)[::-1]) / self._regions, 1.0)
        before = np.concatenate(([0.0], gained[:-1]))
        fpr = np.stack((above, at_least), axis=1).ravel() / self._normal.total  # (2K,)
        pro = np.stack((before, gained), axis=1).ravel()  # (2K,)
        fpr, pro = np.concatenate(([0.0], fpr, [1.0])), np.concatenate(([0.0], pro, [1.0]))
        fresh = np.append(True, (np.diff(fpr) > 0) | (np.diff(pro) > 0))
        return ProCurve(fpr[fresh], pro[fresh])


def pixel_auroc(masks: Iterable[NDArray[Any] | None], heatmaps: Iterable[NDArray[Any]]) -> float:
    """Area under the ROC curve over all pixels of all pictures. Arguments and errors are those of `aupro`."""
    return _overlap(masks, heatmaps).ranking().auroc


def pixel_average_precision(masks: Iterable[NDArray[Any] | None], heatmaps: Iterable[NDArray[Any]]) -> float:
    """Average precision over all pixels of all pictures. Arguments and errors are those of `aupro`."""
    return _overlap(masks, heatmaps).ranking().average_precision


def aupro(
    masks: Iterable[NDArray[Any] | None], heatmaps: Iterable[NDArray[Any]], limit: float = 0.3
) -> float:
    """Normalised area under the PRO curve up to false positive rate `limit`, in [0, 1].

    Arguments and errors are those of `RegionOverlap.update` and `RegionOverlap.compute`, for each picture;
    sizes may differ from picture to picture.
    """
    return _overlap(masks, heatmaps).compute(limit)


def pro_curve(masks: Iterable[NDArray[Any] | None], heatmaps: Iterable[NDArray[Any]]) -> ProCurve:
    """The PRO curve at every distinct threshold. Arguments and errors are those of `aupro`."""
    return _overlap(masks, heatmaps).curve()


def au_spro(
    masks: Iterable[NDArray[Any] | None],
    heatmaps: Iterable[NDArray[Any]],
    saturations: Iterable[Sequence[Saturation] | None],
    limit: float = 0.05,
) -> float:
    """Normalised area under the sPRO curve up to false positive rate `limit`, in [0, 1].

    Arguments and errors are those of `RegionOverlap.update_defects`, for each picture. MVTec LOCO reports
    logical and structural defects apart, each together with the good pictures: call it once for each.
    """
    overlap = RegionOverlap()
    wanted = list(saturations)
    for index, (mask, heatmap) in enumerate(pairs(masks, heatmaps)):
        overlap.update_defects(mask, heatmap, wanted[index] if index < len(wanted) else ())
    return overlap.compute(limit)


def _overlap(masks: Iterable[NDArray[Any] | None], heatmaps: Iterable[NDArray[Any]]) -> RegionOverlap:
    overlap = RegionOverlap()
    for mask, heatmap in pairs(masks, heatmaps):
        overlap.update(mask, heatmap)
    return overlap


def _width(above: NDArray[np.int64], at_least: NDArray[np.int64], end: float) -> Floats:
    """Area under each pixel's own step up to `end`: 0, then rising over its tied normal pixels, then 1."""
    tied = np.maximum(at_least - above, 1)
    rising: Floats = np.clip(end - above, 0.0, at_least - above)
    full: Floats = np.clip(end - at_least, 0.0, None)
    width: Floats = rising * rising / (2 * tied) + full
    return width


def _check_defects(channels: list[NDArray[np.bool_]], saturations: Sequence[Saturation], index: int) -> None:
    if len(channels) != len(saturations):
        raise InputError(
            f"saturations of picture {index}",
            expected=f"one for each of its {len(channels)} masks",
            got=f"{len(saturations)}",
            fix="Give a saturation per mask channel, or None for the full area.",
        )
    if any(not saturation.threshold > 0 for saturation in saturations):
        raise InputError(
            f"saturations of picture {index}",
            expected="numbers above 0",
            got=", ".join(f"{saturation.threshold}" for saturation in saturations),
            fix="Correct the saturation thresholds of this data set.",
        )
    if any(not channel.any() for channel in channels):
        raise InputError(
            f"masks of picture {index}",
            expected="at least one pixel in every mask",
            got="an empty one",
            fix="Leave empty masks out.",
        )
