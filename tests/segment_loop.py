"""Statistics of maps over segments, one segment after the other, with numpy and scipy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from flawscope.methods.segad.statistics import Statistic

NAMES: tuple[Statistic, ...] = ("quantile", "skewness", "kurtosis", "mean", "maximum")


def by_loop(maps: NDArray[np.float32], labels: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """(K, L, S), one segment after the other."""
    found = np.zeros((len(maps), count, len(NAMES)))
    for detector, values in enumerate(maps.astype(np.float64)):
        for segment in range(count):
            pixels = values[labels == segment]
            if pixels.size == 0:
                continue
            varied = np.ptp(pixels) > 0
            found[detector, segment] = (
                np.quantile(pixels, 0.995),
                stats.skew(pixels) if varied else 0,
                stats.kurtosis(pixels) if varied else 0,
                pixels.mean(),
                pixels.max(),
            )
    return found
