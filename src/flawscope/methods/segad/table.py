"""What SegAD's forest learns from: one row of features a picture, and its truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from flawscope.metrics import auroc

FAR_APART = 0.8  # share by which one group's maps must lie above or below the other's to be called far apart


@dataclass(frozen=True, slots=True)
class Table:
    """Features of pictures that no detector has seen.

    Attributes:
        features: (N, F) float32.
        defective: (N,) truth.
        kinds: N kinds, `good`, or the defect's as its folder names it.
        scores: (N, K) float32, each detector's image score.
    """

    features: NDArray[np.float32]
    defective: NDArray[np.bool_]
    kinds: tuple[str, ...]
    scores: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.features)

    def joined(self, other: Table) -> Self:
        """These rows and then the other's."""
        return replace(
            self,
            features=np.concatenate([self.features, other.features]),
            defective=np.concatenate([self.defective, other.defective]),
            kinds=(*self.kinds, *other.kinds),
            scores=np.concatenate([self.scores, other.scores]),
        )

    def rows(self, chosen: NDArray[np.bool_] | Sequence[int]) -> Self:
        """Those of the rows."""
        indices = np.arange(len(self))[np.asarray(chosen)]
        return replace(
            self,
            features=self.features[indices],
            defective=self.defective[indices],
            kinds=tuple(self.kinds[index] for index in indices),
            scores=self.scores[indices],
        )

    def with_column(self, values: NDArray[np.float32]) -> Self:
        """One more feature, (N,), at the end."""
        return replace(self, features=np.column_stack([self.features, values]).astype(np.float32))


def folds_by_kind(kinds: Sequence[str], folds: int, seed: int) -> NDArray[np.int64]:
    """A fold (N,) for each picture, so that every kind is spread evenly over all folds; seeded."""
    random = np.random.default_rng(seed)
    labels = np.asarray(kinds)
    found = np.empty(len(labels), np.int64)
    start = 0
    for kind in sorted(set(kinds)):
        places = random.permutation(np.flatnonzero(labels == kind))
        found[places] = (np.arange(len(places)) + start) % folds
        start += len(places)  # rare kinds then do not all begin in the first fold
    return found


def far_apart(synthetic: NDArray[np.float32], real: NDArray[np.float32]) -> float:
    """How far two samples lie apart, from 0 (mixed) to 1 (no value of one within the other's)."""
    labels = np.concatenate([np.zeros(len(synthetic), int), np.ones(len(real), int)])
    return abs(2 * auroc(labels, np.concatenate([synthetic, real])) - 1)
