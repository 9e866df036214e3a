"""Areas by colour: what differs from the main colour of the ground, and what differs within that in turn.

No download, no labels. The main colour is a robust Gaussian in Lab (minimum covariance determinant, Rousseeuw
and Van Driessen 1999) of all good pictures, moved in each picture to what its own light made of it. Connected
pixels far from it are masks; where they take a large part of the picture, as a tray does, they have a main
colour of their own, and so on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from flawscope.data.pictures import Pictures
from flawscope.data.samples import Sample
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.runtime.overlay import to_bytes
from flawscope.segmenters.proposers.proposal import Proposal, Proposer, ProposerOptions
from flawscope.segmenters.segmenter import spread

Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]

_DRAWN, _COLOURS = 0xA2EA5, 6000  # colours that a robust fit sees
_TRIED = 499  # of them, among which the determinant's minimum is looked for
_NEAR = 3.06  # distance of 97.5 % of a Gaussian's colours
_SUPPORT = 0.55  # share of the colours that the first fit trusts
_NOISE = np.diag(np.square([1.0, 0.3, 0.3]))  # of L, a and b, that even an ideal ground has
_ROUNDS = (12.0, 6.0, 4.0)  # distances within which a picture's own main colour is looked for
_FEWEST = 50  # pixels that tell a main colour
_SEED = 8.0  # distance that a mask reaches somewhere
_CONTRAST = 0.4  # of a mask's own upper distances: where its border lies
_OFTEN = 0.3  # share of the pictures in which large areas must be found to have a main colour
_LIT, _REACH = 8.0, 1.5  # of the bilateral filter: Lab units and pixels
_DISC = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
_CRACK = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))


class AreasOptions(ProposerOptions):
    """Options of `Areas`; none is of a paper."""

    kind: Literal["areas"] = "areas"
    distance: float = Field(
        5.0, gt=1, le=50, description="deviations from the main colour at which another area begins"
    )
    smallest: float = Field(
        0.0007, gt=0, lt=0.1, description="share of the picture that an area has at least"
    )
    large: float = Field(
        0.04, gt=0, lt=1, description="share of the picture beyond which an area is divided in turn"
    )
    depth: int = Field(4, ge=0, le=8, description="how many times large areas are divided in turn")


@dataclass(frozen=True, slots=True)
class _Level:
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


class Areas(Proposer):
    """Areas that differ from the main colour around them; see the module."""

    Options: ClassVar = AreasOptions
    options: AreasOptions

    def __init__(self, options: AreasOptions) -> None:
        super().__init__(options)
        self.levels: list[_Level] = []

    def prepare(self, pictures: Pictures, run: Run, watch: Watch = UNWATCHED) -> None:
        """See `Proposer.prepare`: main colours of up to 64 of the pictures, level by level."""
        chosen = spread(pictures)
        colours: list[Floats] = []
        with watch.stage("reading colours", len(chosen)) as stage:
            for index in range(len(chosen)):
                watch.check_stop(run)
                colours.append(_lab(to_bytes(chosen[index])))
                stage.advance()
        random = np.random.default_rng(run.generator(_DRAWN).initial_seed() % 2**32)
        inside = [np.ones(each.shape[:2], np.bool_) for each in colours]
        self.levels = []
        while len(self.levels) <= self.options.depth:
            watch.check_stop(run)
            level = _fitted(colours, inside, random, self.options.distance)
            self.levels.append(level)
            inside = [self._divided(level, lab, mask)[1] for lab, mask in zip(colours, inside, strict=True)]
            if sum(mask.any() for mask in inside) < _OFTEN * len(inside):
                break

    def propose(self, picture: NDArray[np.uint8], sample: Sample) -> Proposal:
        """See `Proposer.propose`."""
        del sample
        lab = _lab(picture)
        inside = np.ones(lab.shape[:2], np.bool_)
        found: list[Mask] = []
        for depth, level in enumerate(self.levels):
            areas, larger, rest = self._divided(level, lab, inside)
            found += areas + self._connected(rest, enclosed=depth == 0)
            inside = larger
            if not larger.any():
                break
        found += self._connected(inside, enclosed=False)
        return Proposal(np.stack(found) if found else np.zeros((0, *lab.shape[:2]), np.bool_))

    def _divided(self, level: _Level, lab: Floats, inside: Mask) -> tuple[list[Mask], Mask, Mask]:
        """What differs from the main colour `inside`: small areas, all large ones in one; and the rest."""
        size, options = inside.size, self.options
        larger = np.zeros_like(inside)
        if not inside.any():
            return [], larger, inside
        far = level.distance(lab, level.own_mean(lab[inside]))  # (H, W)
        differing = self._bordered(far, (far > options.distance) & inside)
        found: list[Mask] = []
        rest = inside.copy()
        for area in _areas(differing, options.smallest):
            if area.sum() >= options.large * size:
                larger |= area
            elif far[area].max() >= _SEED:
                found.append(_whole(area))
            else:
                continue
            rest &= ~area
        return found, larger, rest

    def _bordered(self, far: NDArray[np.float64], differing: Mask) -> Mask:
        """The areas, each within 0.4 of its own contrast, so that halos and glints beside it fall away."""
        kept = np.zeros_like(differing)
        for area in _areas(differing, self.options.smallest):
            limit = _CONTRAST * float(np.quantile(far[area], 0.8))
            kept |= area & (far > limit) if area.sum() < self.options.large * area.size else area
        return _opened(kept)

    def _connected(self, mask: Mask, *, enclosed: bool) -> list[Mask]:
        """Connected areas of what has a main colour; where `enclosed`, those alone that reach no border.

        At the first level they are the ground, seen through holes where other parts enclose it.
        """
        seen = _opened(mask)
        if enclosed:
            seen = _whole(_without_border(seen))
        found = _areas(seen, self.options.smallest, connectivity=4)
        return [_whole(area) if area.sum() < self.options.large * area.size else area for area in found]


def _fitted(colours: list[Floats], inside: list[Mask], random: np.random.Generator, reach: float) -> _Level:
    """The main colour of what lies `inside` all pictures.

    The second fit sees colours relative to each picture's own main one, since light differs more between
    pictures than within one. Its covariance then grows along what is continuous with it, such as glints.
    """
    first = _robust(_drawn(colours, inside, random))
    means = [first.own_mean(lab[mask]) for lab, mask in zip(colours, inside, strict=True)]
    second = _robust(_drawn(colours, inside, random, means))
    near = _drawn(colours, inside, random, means, count=6 * _COLOURS)
    near = near[second.distance(near, np.zeros(3)) < reach]
    wider = np.linalg.inv(np.cov(near.T) + _NOISE) if len(near) >= _FEWEST else second.precision
    return _Level(np.mean(means, axis=0), wider)


def _robust(colours: NDArray[np.float64]) -> _Level:
    """The main colour of colours (P, 3): the determinant's minimum among some, then all that lie near it."""
    from sklearn.covariance import MinCovDet  # noqa: PLC0415 - takes a second

    jittered = colours + 1e-3 * np.random.default_rng(0).standard_normal(colours.shape)  # flat drawings
    some = jittered[:: max(1, -(-len(jittered) // _TRIED))]
    fit = MinCovDet(support_fraction=_SUPPORT, random_state=0).fit(some)
    level = _Level(fit.location_, np.linalg.inv(fit.covariance_ + _NOISE))
    near = jittered[level.distance(jittered, level.mean) < _NEAR]
    return _Level(near.mean(0), np.linalg.inv(np.cov(near.T) + _NOISE)) if len(near) >= _FEWEST else level


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


def _areas(mask: Mask, smallest: float, connectivity: int = 8) -> list[Mask]:
    """Connected areas of the mask (H, W) that take at least that share of it, each (H, W)."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=connectivity)
    sizes = stats[:, cv2.CC_STAT_AREA]
    return [labels == label for label in range(1, len(sizes)) if sizes[label] >= smallest * mask.size]


def _opened(mask: Mask) -> Mask:
    """The mask without lines and specks of less than three pixels."""
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, _DISC) > 0


def _without_border(mask: Mask) -> Mask:
    """The connected areas of the mask (H, W) that reach no border of the picture."""
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    sides = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
    return np.asarray(mask & ~np.isin(labels, np.unique(np.concatenate(sides))))


def _whole(area: Mask) -> Mask:
    """The area without cracks, such as a screw's slot."""
    padded = np.pad(area.astype(np.uint8), 3)
    return cv2.morphologyEx(padded, cv2.MORPH_CLOSE, _CRACK)[3:-3, 3:-3] > 0


def _lab(picture: NDArray[np.uint8]) -> Floats:
    """The picture (H, W, 3) in Lab, its texture smoothed and its edges kept."""
    lab = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return np.asarray(cv2.bilateralFilter(lab, 5, _LIT, _REACH), np.float32)
