"""k-means on feature vectors, and how many clusters they fall into."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from flawscope.errors import DataError
from flawscope.nn.run import Run, seed_of_32_bits
from flawscope.nn.watch import UNWATCHED, Watch

Rows = NDArray[np.float32]

CHOICES = range(2, 9)
_STARTS, _COMPONENTS = 4, 4
_JUDGED = 2000  # rows on which the silhouette is computed


def cluster(rows: Rows, count: int | None, run: Run, watch: Watch = UNWATCHED) -> Rows:
    """Centroids (L, D) of `rows` (n, D), those of the largest cluster first; seeded by the run.

    With `count` None, L from 2 to 8 is what has the largest mean silhouette (Rousseeuw 1987): how much nearer
    a vector lies to its own cluster than to the next, seen along the four principal components of the rows,
    for in all their dimensions noise makes few clusters look best.

    Raises:
        DataError: the rows do not differ enough for so many clusters.
    """
    random = np.random.default_rng(run.seed)
    main = _main_components(rows) if count is None else rows
    best, best_silhouette = None, -np.inf
    with watch.stage("clustering", len(CHOICES) if count is None else 1) as stage:
        for clusters in CHOICES if count is None else (count,):
            watch.check_stop(run)
            found = _k_means(rows, clusters, run.seed)
            stage.advance()
            if found is None:
                break
            centroids, labels = found
            silhouette = _silhouette(main, labels, random) if count is None else 0.0
            if silhouette > best_silhouette:
                best, best_silhouette = centroids, silhouette
    if best is None:
        raise DataError(
            "pictures to divide into segments",
            expected=f"features that fall into {count or CHOICES.start} groups or more",
            got="pictures that are too plain",
            fix="Ask for fewer segments, or use one.",
        )
    return best


def _k_means(rows: Rows, count: int, seed: int) -> tuple[Rows, NDArray[np.int32]] | None:
    """Centroids (count, D), largest first, and labels (n,); None where the rows have fewer groups."""
    from sklearn.cluster import KMeans  # noqa: PLC0415 - takes a second, and most segmenters do without
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415

    if len(rows) < count:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # that there are fewer groups: counted below
        fitted = KMeans(count, n_init=_STARTS, random_state=seed_of_32_bits(seed)).fit(rows)
    sizes = np.bincount(fitted.labels_, minlength=count)
    if not sizes.all():
        return None
    order = np.argsort(-sizes, kind="stable")
    rank = np.argsort(order).astype(np.int32)
    return np.asarray(fitted.cluster_centers_[order], np.float32), rank[fitted.labels_]


def _main_components(rows: Rows) -> Rows:
    """Coordinates of the rows along their first principal components, (n, 4) or fewer."""
    centred = (rows - rows.mean(0)).astype(np.float64)
    _, axes = np.linalg.eigh(centred.T @ centred)  # ascending
    return np.asarray(centred @ axes[:, -_COMPONENTS:], np.float32)


def _silhouette(rows: Rows, labels: NDArray[np.int32], random: np.random.Generator) -> float:
    from sklearn.metrics import silhouette_score  # noqa: PLC0415

    judged = np.arange(len(rows))
    if len(rows) > _JUDGED:
        judged = random.choice(len(rows), _JUDGED, replace=False)
    kept = labels[judged]
    if not 2 <= len(np.unique(kept)) < len(kept):
        return -1.0
    return float(silhouette_score(rows[judged], kept))
