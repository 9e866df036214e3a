"""Kinds: what most good components of a class look like."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FEWEST = 20  # components of a kind
_SMALL = 0.1  # share of a class's area that lies in its small components
_SPECK = 0.1  # of such a small one's area, below which one is no evidence of how components are divided
_FAR, _EDGE, _ROUNDS = 6.0, 1.5, 3  # what is left out of a kind: beyond its median, then beyond most others

Rows = NDArray[np.float64]


class Kind:
    """Those of a class's components (m, 2 + D) that look alike.

    Attributes:
        vectors: (k, D) of these.
        area: their median one.
        usual: which share of the class they are.
    """

    def __init__(self, components: Rows, floor: float) -> None:
        vectors = components[:, 2:]
        middle = np.median(vectors, 0)
        away = np.abs(vectors - middle)
        kept = (away / (1.4826 * np.median(away, 0) + floor)).max(1) < _FAR
        for _ in range(_ROUNDS):
            if kept.sum() < 2:
                break
            covariance = np.cov(vectors[kept].T) + floor**2 * np.eye(vectors.shape[1])
            away = vectors - vectors[kept].mean(0)
            distances = np.sqrt(np.einsum("nd,nd->n", away @ np.linalg.inv(covariance), away))
            kept = distances <= _EDGE * np.quantile(distances[kept], 0.98)
        self.vectors, self.usual = vectors[kept], float(kept.mean())
        self.area = float(np.median(components[kept, 0])) if kept.any() else 0.0


def kinds_of(components: Rows, floor: float) -> dict[int, Kind]:
    """What most components (m, 2 + D) of each class look like, of those that are no specks.

    Args:
        components: area in squares, class and vector of each.
        floor: standard deviation that is added to each entry.
    """
    found = {}
    for label in np.unique(components[:, 1]).astype(int):
        own = components[components[:, 1] == label]
        areas = np.sort(own[:, 0])
        small = areas[np.searchsorted(areas.cumsum(), _SMALL * areas.sum())]
        own = own[own[:, 0] >= _SPECK * small]
        if len(own) >= FEWEST:
            found[int(label)] = Kind(own, floor)
    return found
