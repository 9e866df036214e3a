"""Whether good pictures come in several compositions, such as three juices: which picture shows which."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Search = Literal["one", "density", "mixture"]
Matrix = NDArray[np.float64]

MOST = 8
_AXES = 8  # principal components in which variants are looked for
_SEEN = 1e-6


def variants_of(rows: Matrix, search: Search, least: int, seed: int = 0) -> NDArray[np.intp]:
    """The variant (n,) of each row (n, d), 0 for the largest; every variant has at least `least` rows.

    Args:
        rows: vectors of good pictures, each entry in units of its deviation.
        search: `one` looks for none. `density` takes the clusters of HDBSCAN (Campello et al. 2013).
            `mixture` takes the Gaussian mixture of up to eight parts, with diagonal covariances, of the least
            BIC (Schwarz 1978). Both look along the first eight principal components.
        least: members of a variant; rows of a smaller one, and those that belong to none, join the variant
            with the nearest centre.
        seed: of the mixtures.
    """
    one = np.zeros(len(rows), np.intp)
    if search == "one" or len(rows) < 2 * least or np.ptp(rows, axis=0).max() < _SEEN:
        return one
    main = _main(rows)
    found = _density(main, least) if search == "density" else _mixture(main, least, seed)
    labels, sizes = np.unique(found[found >= 0], return_counts=True)
    kept = labels[sizes >= least]
    if len(kept) < 2:
        return one
    kept = kept[np.argsort(-sizes[sizes >= least], kind="stable")]
    centres = np.stack([main[found == label].mean(0) for label in kept])  # (V, a)
    away = np.linalg.norm(main[:, None] - centres, axis=2)  # (n, V)
    for index, label in enumerate(kept):
        away[found == label] = np.where(np.arange(len(kept)) == index, 0.0, np.inf)
    return np.asarray(away.argmin(1), np.intp)


def _main(rows: Matrix) -> Matrix:
    """Coordinates of the rows along their first principal components, (n, 8) or fewer."""
    _, _, axes = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    return np.asarray((rows - rows.mean(0)) @ axes[:_AXES].T)


def _density(rows: Matrix, least: int) -> NDArray[np.intp]:
    from sklearn.cluster import HDBSCAN  # noqa: PLC0415 - takes a second, and one Gaussian does without

    return np.asarray(HDBSCAN(min_cluster_size=least, copy=True).fit_predict(rows), np.intp)


def _mixture(rows: Matrix, least: int, seed: int) -> NDArray[np.intp]:
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415
    from sklearn.mixture import GaussianMixture  # noqa: PLC0415

    best, best_bic = np.zeros(len(rows), np.intp), np.inf
    for parts in range(1, min(MOST, len(rows) // least) + 1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # that rows repeat: the BIC then decides
            mixture = GaussianMixture(
                parts, covariance_type="diag", n_init=3, reg_covar=1e-2, random_state=seed
            ).fit(rows)
        bic = mixture.bic(rows)
        if bic < best_bic:
            best, best_bic = np.asarray(mixture.predict(rows), np.intp), bic
    return best
