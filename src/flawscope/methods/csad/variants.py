"""Whether good pictures come in several compositions, such as three juices: which picture shows which."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from flawscope.nn.run import seed_of_32_bits

Search = Literal["one", "density", "mixture"]
Matrix = NDArray[np.float64]

MOST = 8
APART = 0.75  # silhouette from which on clusters are variants and not halves of one cloud
_EMPTY = 1e-9


def variants_of(amounts: Matrix, search: Search, least: int, seed: int = 0) -> NDArray[np.intp]:
    """The variant (n,) of each row (n, d), 0 for the largest; every variant has at least `least` rows.

    Amounts are compared in units of their mean over all rows, so that a class that half of the pictures lack
    tells more than one that always varies a little. Clusters whose mean silhouette (Rousseeuw 1987) is below
    0.75 lie too close together for variants: one even cloud cut in two has 0.6.

    Args:
        amounts: at least 0, such as class histograms of good pictures.
        search: `one` looks for none. `density` takes the clusters of HDBSCAN (Campello et al. 2013).
            `mixture` takes the Gaussian mixture of up to eight parts, with diagonal covariances, of the least
            BIC (Schwarz 1978).
        least: members of a variant; rows of a smaller one, and those that belong to none, join the variant
            with the nearest centre.
        seed: of the mixtures.
    """
    one = np.zeros(len(amounts), np.intp)
    if search == "one" or len(amounts) < 2 * least or np.ptp(amounts, axis=0).max() <= _EMPTY:
        return one
    rows = amounts / np.maximum(amounts.mean(0), _EMPTY)
    found = _density(rows, least) if search == "density" else _mixture(rows, least, seed)
    labels, sizes = np.unique(found[found >= 0], return_counts=True)
    kept = labels[sizes >= least]
    if len(kept) < 2:
        return one
    kept = kept[np.argsort(-sizes[sizes >= least], kind="stable")]
    centres = np.stack([rows[found == label].mean(0) for label in kept])  # (V, d)
    away = np.linalg.norm(rows[:, None] - centres, axis=2)  # (n, V)
    for index, label in enumerate(kept):
        away[found == label] = np.where(np.arange(len(kept)) == index, 0.0, np.inf)
    members = np.asarray(away.argmin(1), np.intp)
    return members if _silhouette(rows, members) >= APART else one


def _silhouette(rows: Matrix, members: NDArray[np.intp]) -> float:
    from sklearn.metrics import silhouette_score  # noqa: PLC0415 - takes a second, and few products need it

    return float(silhouette_score(rows, members))


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
                parts, covariance_type="diag", n_init=3, reg_covar=1e-3, random_state=seed_of_32_bits(seed)
            ).fit(rows)
        bic = mixture.bic(rows)
        if bic < best_bic:
            best, best_bic = np.asarray(mixture.predict(rows), np.intp), bic
    return best
