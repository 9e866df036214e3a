"""What SegAD's final classifier learns from: a row of features for each picture, or for each of its tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from flawscope.data.samples import GOOD
from flawscope.runtime.groups import numbered

SYNTHETIC = "synthetic"  # kind of a good picture that was given a defect
Value = TypeVar("Value", np.float32, np.bool_, np.int64)


@dataclass(frozen=True, slots=True)
class Table:
    """Features of pictures, or of their tiles, that no detector has seen.

    Attributes:
        features: (N, F) float32.
        defective: (N,) truth.
        kinds: N kinds, `good`, or the defect's as its folder names it.
        scores: (N, K) float32, each detector's image score.
        owners: (N,) the number of each row's picture, rising; tiles of one share it.
        parts: N names of what each row's picture shows, its part; empty: each shows another.
        looks: (N, E) float32, what the pictures look like to the detectors' networks; None: not read.
    """

    features: NDArray[np.float32]
    defective: NDArray[np.bool_]
    kinds: tuple[str, ...]
    scores: NDArray[np.float32]
    owners: NDArray[np.int64]
    parts: tuple[str, ...] = ()
    looks: NDArray[np.float32] | None = None

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
            owners=np.concatenate([self.owners, other.owners + self.owners.max(initial=-1) + 1]),
            parts=(*self.parts, *other.parts),
            looks=None
            if self.looks is None or other.looks is None
            else np.concatenate([self.looks, other.looks]),
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
            owners=self.owners[indices],
            parts=tuple(self.parts[index] for index in indices) if self.parts else (),
            looks=None if self.looks is None else self.looks[indices],
        )

    @property
    def units(self) -> NDArray[np.int64]:
        """(N,) the number of what each row must not be parted from, its part or its picture."""
        return np.array(numbered(self.parts), np.int64) if self.parts else self.owners

    def of_pictures(self, values: NDArray[Value]) -> NDArray[Value]:
        """The highest of values (N,) over the rows of each picture, (P,); truth and fold are alike in all."""
        return np.maximum.reduceat(values, self.firsts)

    @property
    def firsts(self) -> NDArray[np.int64]:
        """(P,) the first row of each picture."""
        return np.flatnonzero(np.diff(self.owners, prepend=-1))

    def columns(self, chosen: Sequence[int]) -> Self:
        """The same pictures with those of the features."""
        return replace(self, features=self.features[:, list(chosen)])

    def seen(self) -> NDArray[np.float32]:
        """The looks (N, E)."""
        if self.looks is None:
            raise RuntimeError("looks are asked of a table for which none were read")
        return self.looks

    def with_column(self, values: NDArray[np.float32]) -> Self:
        """One more feature, (N,), at the end."""
        return replace(self, features=np.column_stack([self.features, values]).astype(np.float32))


def folds_by_kind(
    kinds: Sequence[str], folds: int, seed: int, owners: Sequence[int] | NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """A fold (N,) for each picture, so that every kind is spread evenly over all folds; seeded.

    With `owners` (N,), numbers of pictures or parts in their order, all rows of one come into the same fold;
    one with real defective rows is of the first one's kind. Real defective ones never all share a fold, if
    there are several.
    """
    if owners is not None:
        _, firsts, places = np.unique(owners, return_index=True, return_inverse=True)
        of_each = [kinds[first] for first in firsts]
        for place, kind in zip(places, kinds, strict=True):
            if of_each[place] == GOOD and kind != SYNTHETIC:
                of_each[place] = kind
        return folds_by_kind(of_each, folds, seed)[places]
    random = np.random.default_rng(seed)
    labels = np.asarray(kinds)
    found = np.empty(len(labels), np.int64)
    start = 0
    for kind in sorted(set(kinds)):
        places = random.permutation(np.flatnonzero(labels == kind))
        found[places] = (np.arange(len(places)) + start) % folds
        start += len(places)  # rare kinds then do not all begin in the first fold
    flawed = np.flatnonzero(labels != GOOD)
    if len(flawed) > 1 and np.ptp(found[flawed]) == 0:  # such as two kinds of one part each
        found[flawed[-1]] = (found[flawed[-1]] + 1) % folds
    return found
