"""Kinds of patches, by clustering."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from flawscope.nn.run import seed_of_32_bits

_BATCH = 4096


def code_book(
    rows: NDArray[np.float32], words: int, *, seed: int, starts: int
) -> tuple[NDArray[np.float32], float]:
    """Centroids (words, D) of rows (n, D), and the mean squared distance of a row to the nearest.

    Where there are fewer rows than words, the last ones repeat the first.

    Args:
        rows: finite.
        words: how many.
        seed: of the draws.
        starts: draws of first centroids, the best of which is gone on with.
    """
    from sklearn.cluster import MiniBatchKMeans  # noqa: PLC0415 - takes a second; learning alone
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # that rows repeat: words then do
        count = min(words, len(rows))
        fitted = MiniBatchKMeans(
            count, random_state=seed_of_32_bits(seed), n_init=starts, batch_size=_BATCH
        ).fit(rows)
    centroids = np.asarray(fitted.cluster_centers_, np.float32)
    return np.resize(centroids, (words, rows.shape[1])), float(fitted.inertia_) / len(rows)
