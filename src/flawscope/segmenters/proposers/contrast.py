"""From which distance to the ground on something is an area, told from good pictures alone.

Parts stand out from each ground by another distance, and so do the glints of a film upon them: zinc on
cardboard by seven deviations, on black by four. A distance too small makes areas of what comes and goes, one
too large misses parts in some pictures; in between most kinds of areas have the same number in every picture.
Where a part is in places as pale as its ground, as grey metal in a grey bag, no distance does: areas then
begin far out and reach further in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flawscope.segmenters.grouping import constant_classes

USUAL = 5.0
DISTANCES = (2.5, 3.0, 3.5, 4.0, USUAL, 6.5, 8.0)
GROWN = 0.6
_BANDWIDTHS = np.geomspace(0.3, 2.4, 10)
_FURTHER, _ELSEWHERE = 0.5, 1.0  # kinds by which another choice must be better
_TOLERATED = 0.2  # variance of a kind's number over its mean, at which it counts 1 / e
_WEIGHTS = np.array([1.0, 0.5, 0.5, 0.025, 0.05, 0.05])  # of area, length and width by octaves, L, a and b


@dataclass(frozen=True, slots=True)
class Reach:
    """How far from the main colour areas lie, in deviations.

    Attributes:
        distance: beyond which there is one.
        grown: share of the distance down to which it reaches from there.
    """

    distance: float = USUAL
    grown: float = 1.0

    @property
    def least(self) -> float:
        """Deviations of an area's pixels, at least."""
        return self.distance * self.grown

    def __str__(self) -> str:
        further = f", and reach down to {self.least:g}," if self.grown < 1 else ""
        return f"{self.distance:g} deviations{further}"


def tried(grown: float | None) -> list[Reach]:
    """What `clearest` may choose from; `grown` where that is given."""
    usual = [Reach(distance, 1.0 if grown is None else grown) for distance in DISTANCES]
    return usual if grown is not None else [*usual, Reach(USUAL, GROWN)]


def clearest(scores: Mapping[Reach, float]) -> Reach:
    """Of `tried` the one with the best score, where that tells more kinds than the usual distance does.

    Half a kind where areas begin there and reach further in, which makes none of what was none; one kind
    where they begin elsewhere. So 5 stays on surfaces without parts, where a smaller one would make areas of
    texture, and for a single part that lies in its own shade.
    """
    first, *others = (reach for reach in scores if reach.distance == USUAL)
    for further in others:
        first = further if scores[further] >= scores[first] + _FURTHER else first
    best = max(scores, key=lambda reach: scores[reach])
    return best if scores[best] >= scores[first] + _ELSEWHERE else first


def kinds(
    areas: Sequence[Sequence[NDArray[np.bool_]]],
    colours: Sequence[NDArray[np.float32]],
    grounds: Sequence[NDArray[np.float64]],
) -> float:
    """How many kinds of areas have the same number in every picture.

    Each counts exp(-F / 0.2), F being the variance of its number over the mean: of two dozen pictures that
    tells more than the share of those that show the usual number.

    Args:
        areas: of each picture, (H, W) each.
        colours: Lab (H, W, 3) of each picture.
        grounds: the main colour (3,) of each picture.
    """
    rows = [
        _described(area, lab, ground)
        for found, lab, ground in zip(areas, colours, grounds, strict=True)
        for area in found
    ]
    if not rows:
        return 0.0
    owners = np.repeat(np.arange(len(areas)), [len(found) for found in areas])
    weighted = np.stack(rows) * _WEIGHTS
    return max(
        constant_classes(weighted, owners, len(areas), bandwidth, counted=_constancy)
        for bandwidth in _BANDWIDTHS
    )


def _constancy(members: NDArray[np.intp]) -> float:
    """See `kinds`; of members (N, K)."""
    return float(np.exp(-members.var(0) / members.mean(0) / _TOLERATED).sum())


def _described(
    area: NDArray[np.bool_], lab: NDArray[np.float32], ground: NDArray[np.float64]
) -> NDArray[np.float64]:
    """log2 of area, length and width in pixels, and how the colour differs from the ground's: (6,)."""
    _, sides, _ = cv2.minAreaRect(cv2.findNonZero(area.astype(np.uint8)))
    sizes = np.log2(np.array([np.count_nonzero(area), max(sides) + 1, min(sides) + 1]))
    return np.concatenate([sizes, np.median(lab[area], axis=0) - ground])
