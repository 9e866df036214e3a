"""The main colour of what lies under the components of good pictures: a robust Gaussian in Lab."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]

_COLOURS = 6000  # that a robust fit sees
_TRIED = 499  # of them, among which the determinant's minimum is looked for
_NEAR = 3.06  # distance of 97.5 % of a Gaussian's colours
_SUPPORT = 0.55  # share of the colours that the first fit trusts
_NOISE = np.diag(np.square([1.0, 0.3, 0.3]))  # of L, a and b, that even an ideal ground has
_ROUNDS = (12.0, 6.0, 4.0)  # distances within which a picture's own main colour is looked for
_FEWEST = 50  # pixels that tell a main colour


@dataclass(frozen=True, slots=True)
class Level:
    """The main colour of one level: mean (3,) over the pictures, and the inverse covariance (3, 3)."""

    mean: NDArray[np.float64]
    precision: NDArray[np.float64]

    def distance(self, colours: NDArray[np.floating], mean: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mahalanobis distances (...) of colours (..., 3) from `mean` (3,)."""
        apart = colours - mean
        squares = np.einsum("...i,...i->...", apart @ self.precision, apart)
        return np.asarray(np.sqrt(np.maximum(squares, 0)))

    def own_mean(self, colours: NDArray[np.floating]) -> NDArray[np.float64]:
        """The main colour (3,) of one picture's colours (P, 3), found from `mean` in ever closer rounds."""
        if len(colours) < _FEWEST:
            return self.mean
        mean = self.mean
        for limit in _ROUNDS:
            near = colours[self.distance(colours, mean) < limit]
            if len(near) < max(_FEWEST, len(colours) // 20):
                break
            mean = np.median(near, axis=0).astype(np.float64)
        return mean


@dataclass(frozen=True, slots=True)
class Ground:
    """What is known of one level before anybody says how far its main colour reaches.

    Attributes:
        middle: the main colour, relative to each picture's own one, since light differs more between pictures
            than within one.
        means: each picture's own main colour, (3,).
        near: colours (P, 3) of all pictures, relative to their own main ones.
    """

    middle: Level
    means: list[NDArray[np.float64]]
    near: NDArray[np.float64]

    @classmethod
    def of(cls, colours: list[Floats], inside: list[Mask], random: np.random.Generator) -> Self:
        """Of what lies `inside` (H, W) the pictures' colours (H, W, 3), somewhere at least."""
        first = _robust(_drawn(colours, inside, random))
        means = [first.own_mean(lab[mask]) for lab, mask in zip(colours, inside, strict=True)]
        middle = _robust(_drawn(colours, inside, random, means))
        return cls(middle, means, _drawn(colours, inside, random, means, count=6 * _COLOURS))

    def level(self, reach: float) -> Level:
        """The main colour, its covariance grown along what is continuous with it, such as glints."""
        near = self.near[self.middle.distance(self.near, np.zeros(3)) < reach]
        wider = np.linalg.inv(np.cov(near.T) + _NOISE) if len(near) >= _FEWEST else self.middle.precision
        return Level(np.mean(self.means, axis=0), wider)


def _robust(colours: NDArray[np.float64]) -> Level:
    """The main colour of colours (P, 3): the determinant's minimum among some, then all that lie near it."""
    from sklearn.covariance import MinCovDet  # noqa: PLC0415 - takes a second

    jittered = colours + 1e-3 * np.random.default_rng(0).standard_normal(colours.shape)  # flat drawings
    some = jittered[:: max(1, -(-len(jittered) // _TRIED))]
    fit = MinCovDet(support_fraction=_SUPPORT, random_state=0).fit(some)
    level = Level(fit.location_, np.linalg.inv(fit.covariance_ + _NOISE))
    near = jittered[level.distance(jittered, level.mean) < _NEAR]
    return Level(near.mean(0), np.linalg.inv(np.cov(near.T) + _NOISE)) if len(near) >= _FEWEST else level


def _drawn(
    colours: list[Floats],
    inside: list[Mask],
    random: np.random.Generator,
    means: list[NDArray[np.float64]] | None = None,
    count: int = _COLOURS,
) -> NDArray[np.float64]:
    """Colours (P, 3) drawn evenly from all pictures, relative to their means where those are given."""
    each = max(20, count // len(colours))
    rows = []
    for index, (lab, mask) in enumerate(zip(colours, inside, strict=True)):
        within = lab[mask]  # (p, 3)
        if len(within):
            drawn = within[random.integers(0, len(within), min(each, len(within)))].astype(np.float64)
            rows.append(drawn if means is None else drawn - means[index])
    return np.concatenate(rows)
