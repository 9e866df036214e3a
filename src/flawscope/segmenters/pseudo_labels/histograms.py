"""Which label maps can be trusted: those whose class histograms are alike (section 3.1 of the CSAD paper)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from flawscope.nn.watch import UNWATCHED, Watch

_LEAST_SPREAD = 1e-5  # of a class, in shares of the picture
_FARTHER = 2.0  # times the median distance, beyond which a picture stands apart


def class_histograms(maps: NDArray[np.uint8], count: int) -> NDArray[np.float64]:
    """Share of the pixels of each picture that shows each class from 1 on (equation 1): (N, K).

    Args:
        maps: (N, H, W) labels from 0, the background, to K.
        count: K.
    """
    counted = [np.bincount(labels.ravel(), minlength=count + 1) for labels in maps]
    shares = np.reshape(counted, (len(maps), count + 1))[:, 1:] / (maps.shape[1] * maps.shape[2])
    return np.asarray(shares)


def trusted(
    histograms: NDArray[np.float64],
    watch: Watch = UNWATCHED,
    *,
    by: Literal["hdbscan", "neighbours"] = "hdbscan",
    keep: Literal["largest", "all"] = "largest",
    cluster: int = 5,
) -> NDArray[np.bool_]:
    """Pictures (N,) whose histograms are like those of enough others.

    Where there are fewer pictures than make a cluster, or HDBSCAN finds noise alone, all are trusted, and the
    watch is told. A picture without any component is never trusted, unless no picture has any.

    Args:
        histograms: (N, K).
        watch: takes the remark.
        by: hdbscan trusts its clusters; neighbours trusts pictures with `cluster` others near them, see
            `_with_neighbours`.
        keep: of HDBSCAN's clusters the largest, or all, for products with several normal compositions.
        cluster: pictures that make a cluster.
    """
    some = np.asarray(histograms.any(1) | ~histograms.any())
    inner, kept = histograms[some], np.ones(int(some.sum()), np.bool_)
    if len(inner) > cluster:
        kept = _with_neighbours(inner, cluster) if by == "neighbours" else _clustered(inner, keep, cluster)
    if len(inner) <= cluster or not kept.any():
        watch.say(
            f"The label maps of {len(inner)} pictures form no cluster of {cluster} or more: "
            "all of them count as labelled."
        )
        kept[:] = True
    some[some] = kept
    return some


def _clustered(
    histograms: NDArray[np.float64], keep: Literal["largest", "all"], cluster: int
) -> NDArray[np.bool_]:
    """Whether each histogram (n, K) lies in HDBSCAN's largest cluster, or in any."""
    from sklearn.cluster import HDBSCAN  # noqa: PLC0415 - takes a second, and other segmenters do without

    if (histograms == histograms[0]).all():  # in which it would find noise
        return np.ones(len(histograms), np.bool_)
    ids = HDBSCAN(min_cluster_size=cluster, copy=True).fit_predict(histograms)
    sizes = np.bincount(ids[ids >= 0], minlength=1)
    return np.asarray(ids >= 0 if keep == "all" else (ids == sizes.argmax()))


def _with_neighbours(histograms: NDArray[np.float64], cluster: int) -> NDArray[np.bool_]:
    """Whether the `cluster`-th nearest of the others lies within twice the median of these distances.

    Each class is measured in its median absolute deviation. Several normal compositions are all trusted where
    each has more than `cluster` pictures.
    """
    middle = np.median(histograms, axis=0)
    spread = np.median(np.abs(histograms - middle), axis=0)
    scaled = (histograms - middle) / np.maximum(spread, _LEAST_SPREAD)
    reach = np.array([np.partition(np.linalg.norm(scaled - one, axis=1), cluster)[cluster] for one in scaled])
    return np.asarray(reach <= _FARTHER * np.median(reach))
