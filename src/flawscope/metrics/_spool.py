"""Scores of any number of pixels, in bounded memory, counted exactly above any threshold.

Every pixel metric here needs only this: for each pixel of one set, how many pixels of another set score above
it, and how many at least as high. Sets are kept in chunks of fixed size; full chunks go to a temporary file.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flawscope.errors import InputError
from flawscope.files import unwritable

CHUNK = 1 << 24  # values of a set held in memory before they go to the disk: 64 MiB of float32
BINS = 1 << 21  # bins that spare the sorting of values far from any threshold
STRIDE = 1021  # one value in so many is kept aside to guess quantiles

Values = NDArray[np.floating[Any]]
Counts = NDArray[np.int64]


class Spool:
    """An append-only set of numbers of which at most about one chunk is in memory."""

    def __init__(self, chunk: int = CHUNK) -> None:
        self.total = 0
        self._chunk = chunk
        self._pending: list[Values] = []
        self._pending_size = 0
        self._file: Any = None
        self._written: list[tuple[np.dtype[Any], int]] = []
        self._sample: list[Values] = []

    def append(self, values: Values) -> None:
        """Add values (n,); they are copied."""
        self._sample.append(values[-self.total % STRIDE :: STRIDE].copy())
        self.total += values.size
        start = 0
        while values.size - start >= (room := self._chunk - self._pending_size):
            self._pending.append(values[start : start + room])
            self._flush()
            start += room
        if start < values.size:
            self._pending.append(values[start:].copy())
            self._pending_size += values.size - start

    def chunks(self) -> Iterator[Values]:
        """Fresh arrays that the caller may change; spools of equal lengths are cut at equal places."""
        if self._file is not None:
            offset = 0
            for dtype, size in self._written:
                self._file.seek(offset)
                yield np.fromfile(self._file, dtype, size)
                offset += dtype.itemsize * size
        if self._pending:
            yield np.concatenate(self._pending)

    def quantile(self, share: float) -> float:
        """About the value that `share` of the set lies below; a guess from one value in 1021."""
        if share <= 0.0:
            return -np.inf
        return float(np.quantile(np.concatenate(self._sample), share))

    def _flush(self) -> None:
        chunk = np.concatenate(self._pending)
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="flawscope-pixels-")  # noqa: SIM115
                weakref.finalize(self, self._file.close)
            self._file.seek(0, os.SEEK_END)
            chunk.tofile(self._file)
        except OSError as error:
            raise unwritable(Path(tempfile.gettempdir()), error) from error
        self._written.append((chunk.dtype, chunk.size))
        self._pending, self._pending_size = [], 0


def counts(spool: Spool, thresholds: Values, enough: float | None = None) -> tuple[Counts, Counts]:
    """How many values of `spool` lie above, and how many at or above, each threshold.

    Args:
        spool: the values.
        thresholds: (T,) rising.
        enough: counts beyond this need not be exact, only at least this large; spares most of the sorting.

    Returns:
        above (T,) and at_least (T,).
    """
    lowest = float(thresholds[0])
    floor = lowest
    if enough is not None and spool.total:
        floor = max(lowest, spool.quantile(1.0 - 1.05 * enough / spool.total - 0.01))
    above, at_least, kept = _count_from(spool, thresholds, floor)
    if floor > lowest and enough is not None and kept < enough:
        above, at_least, _ = _count_from(spool, thresholds, lowest)
    return above, at_least


def _count_from(spool: Spool, thresholds: Values, floor: float) -> tuple[Counts, Counts, int]:
    """As `counts`, blind to values below `floor`; and how many values were seen."""
    above = np.zeros(thresholds.size, np.int64)
    at_least = np.zeros(thresholds.size, np.int64)
    seen = 0
    for chunk in spool.chunks():
        high = chunk[chunk >= floor]
        seen += high.size
        high, passed = _set_aside(high, thresholds)
        high.sort()
        above += high.size - np.searchsorted(high, thresholds, "right") + passed
        at_least += high.size - np.searchsorted(high, thresholds, "left") + passed
    return above, at_least, seen


def _set_aside(values: Values, thresholds: Values) -> tuple[Values, Counts]:
    """The values that share a narrow bin with a threshold, and how many of the others lie above each.

    The others need no sorting: all of a bin lie on the same side of every threshold. Rounding may shift the
    edge of a bin, never the order, since each step of `_bins` is monotone; so the counts are exact.
    """
    with np.errstate(over="ignore", divide="ignore"):
        scale = values.dtype.type(BINS) / (thresholds[-1] - thresholds[0]).astype(values.dtype)
    if values.size <= BINS or not 0 < scale < np.inf:
        return values, np.zeros(thresholds.size, np.int64)
    own = _bins(thresholds.astype(values.dtype), thresholds[0], scale)
    shared = np.zeros(BINS + 1, bool)
    shared[own] = True
    bins = _bins(values, thresholds[0], scale)
    near = shared[bins]
    far = np.bincount(bins[~near], minlength=BINS + 1)
    return values[near], (far.sum() - np.cumsum(far))[own]


def _bins(values: Values, lowest: Any, scale: Any) -> NDArray[np.int32]:
    """The bin, 0 to BINS, of each value; rising with the value."""
    with np.errstate(over="ignore"):
        shifted = values - values.dtype.type(lowest)
        shifted *= scale
    return np.clip(shifted, 0, BINS, out=shifted).astype(np.int32)


def check_heatmap(heatmap: NDArray[Any], index: int) -> Values:
    """A heatmap (H, W) of finite numbers in a floating type no narrower than it came, or an InputError."""
    values = np.asarray(heatmap)
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        raise InputError(
            f"heatmap {index}",
            expected="an array of numbers of shape (height, width)",
            got=f"{values.dtype} of shape {values.shape}",
            fix="Give one heatmap per picture.",
        )
    values = values.astype(np.result_type(values.dtype, np.float32), copy=False)
    if not np.isfinite(values).all():
        raise InputError(
            f"heatmap {index}",
            expected="finite numbers",
            got="NaN or infinity among them",
            fix="Leave this picture out, or correct the model that made it.",
        )
    return values


def check_mask(mask: NDArray[Any] | None, shape: tuple[int, ...], index: int) -> NDArray[np.bool_]:
    """A mask of `shape` as booleans (None: all normal), or an InputError."""
    if mask is None:
        return np.zeros(shape, bool)
    marks = np.asarray(mask)
    if marks.shape != shape or marks.dtype.kind not in "bui":
        raise InputError(
            f"mask {index}",
            expected=f"whole numbers of shape {shape}, as its heatmap has",
            got=f"{marks.dtype} of shape {marks.shape}",
            fix="Bring mask and heatmap to the size of the picture; 0 is normal, all else defective.",
        )
    return marks.astype(bool)


def pairs(
    masks: Iterable[NDArray[Any] | None], heatmaps: Iterable[NDArray[Any]]
) -> Iterator[tuple[NDArray[Any] | None, NDArray[Any]]]:
    """Mask and heatmap of each picture, or an InputError where one list is longer."""
    end: Any = object()
    for count, (mask, heatmap) in enumerate(itertools.zip_longest(masks, heatmaps, fillvalue=end)):
        if mask is end or heatmap is end:
            raise InputError(
                "masks and heatmaps",
                expected="one mask (or None) per heatmap",
                got=f"{count} pairs and then more {'heatmaps' if mask is end else 'masks'}",
                fix="Give both for the same pictures, in the same order.",
            )
        yield mask, heatmap


def need_both(normal: int, defective: int) -> None:
    """InputError unless there are normal and defective pixels."""
    if not normal or not defective:
        raise InputError(
            "masks",
            expected="normal and defective pixels",
            got="no defective pixel" if normal else "no normal pixel" if defective else "no pictures",
            fix="Add pictures of the missing kind; with one kind there is nothing to separate.",
        )
