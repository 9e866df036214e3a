"""Areas by colour: what differs from the main colour of the ground, and what differs within that in turn.

No download, no labels. The main colour is a robust Gaussian in Lab (minimum covariance determinant, Rousseeuw
and Van Driessen 1999) of all good pictures, moved in each picture to what its own light made of it. Connected
pixels far from it are masks; where they take a large part of the picture, as a tray does, they have a main
colour of their own, and so on. How far is far follows from the pictures, see `contrast`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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
from flawscope.segmenters.proposers.contrast import USUAL, Reach, clearest, kinds, tried
from flawscope.segmenters.proposers.ground import Floats, Ground, Level, Mask
from flawscope.segmenters.proposers.proposal import Proposal, Proposer, ProposerOptions
from flawscope.segmenters.segmenter import spread

_DRAWN = 0xA2EA5
_CONTRAST = 0.4  # of a mask's own upper distances: where its border lies
_OFTEN = 0.3  # share of the pictures in which large areas must be found to have a main colour
_LOOKED, _TOO_FEW = 24, 12  # pictures that tell how far is far, and from how many on they can
_LIT, _REACH = 8.0, 1.5  # of the bilateral filter: Lab units and pixels
_DISC = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
_CRACK = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))


class AreasOptions(ProposerOptions):
    """Options of `Areas`; none is of a paper."""

    kind: Literal["areas"] = "areas"
    distance: float | None = Field(
        None,
        gt=1,
        le=50,
        description="deviations from the main colour at which another area begins; by default 5, or "
        "another at which at least one kind of area more has the same number in every picture",
    )
    grown: float | None = Field(
        None,
        gt=0,
        le=1,
        description="share of that distance down to which areas reach around what lies beyond it, for parts "
        "that are in places as pale as the ground; by default 1, or 0.6 where at least half a kind of area "
        "more then has the same number in every picture",
    )
    smallest: float = Field(
        0.0007, gt=0, lt=0.1, description="share of the picture that an area has at least"
    )
    large: float = Field(
        0.04, gt=0, lt=1, description="share of the picture beyond which an area is divided in turn"
    )
    depth: int = Field(4, ge=0, le=8, description="how many times large areas are divided in turn")


@dataclass(frozen=True, slots=True)
class _Division:
    """How pictures are divided: at which distances, from the main colours of which levels."""

    options: AreasOptions
    reach: Reach
    levels: list[Level] = field(default_factory=list)

    def areas(self, lab: Floats) -> list[Mask]:
        """Areas (H, W) of a picture's colours (H, W, 3), level by level."""
        inside = np.ones(lab.shape[:2], np.bool_)
        found: list[Mask] = []
        for depth, level in enumerate(self.levels):
            areas, larger, rest = self.divided(level, lab, inside)
            found += areas + self._connected(rest, enclosed=depth == 0)
            inside = larger
            if not larger.any():
                break
        return found + self._connected(inside, enclosed=False)

    def divided(self, level: Level, lab: Floats, inside: Mask) -> tuple[list[Mask], Mask, Mask]:
        """What differs from the main colour `inside`: small areas, all large ones in one; and the rest."""
        size = inside.size
        larger = np.zeros_like(inside)
        if not inside.any():
            return [], larger, inside
        far = level.distance(lab, level.own_mean(lab[inside]))  # (H, W)
        differing = self._bordered(far, self._differing(far, inside))
        found: list[Mask] = []
        rest = inside.copy()
        for area in _areas(differing, self.options.smallest):
            if area.sum() >= self.options.large * size:
                larger |= area
            else:
                found.append(_whole(area))
            rest &= ~area
        return found, larger, rest

    def _differing(self, far: NDArray[np.float64], inside: Mask) -> Mask:
        """Pixels (H, W) beyond the distance, and around enough of them those beyond the share of it."""
        beyond = (far > self.reach.distance) & inside
        if self.reach.grown == 1:
            return beyond
        _, labels = cv2.connectedComponents(((far > self.reach.least) & inside).astype(np.uint8))
        held = np.bincount(labels[beyond], minlength=int(labels.max()) + 1)
        return np.asarray((held >= self.options.smallest * inside.size)[labels] & (labels > 0))

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


class Areas(Proposer):
    """Areas that differ from the main colour around them; see the module.

    Attributes:
        reach: how far from the main colour areas lie; `prepare` sets it.
    """

    Options: ClassVar = AreasOptions
    options: AreasOptions

    def __init__(self, options: AreasOptions) -> None:
        super().__init__(options)
        self.reach = Reach(options.distance or USUAL, options.grown or 1.0)
        self.division = _Division(options, self.reach)

    def prepare(self, pictures: Pictures, run: Run, watch: Watch = UNWATCHED) -> None:
        """See `Proposer.prepare`: main colours of up to 64 of the pictures, level by level."""
        chosen = spread(pictures)
        colours: list[Floats] = []
        with watch.stage("reading colours", len(chosen)) as stage:
            for index in range(len(chosen)):
                watch.check_stop(run)
                colours.append(_lab(to_bytes(chosen[index])))
                stage.advance()
        if self.options.distance is None and len(colours) >= _TOO_FEW:
            self.reach = self._clearest(colours[:: -(-len(colours) // _LOOKED)], run, watch)
            watch.say(f"Areas begin {self.reach} from the main colour around them.")
        self.division = self._learnt(colours, self.reach, run, watch)

    def propose(self, picture: NDArray[np.uint8], sample: Sample) -> Proposal:
        """See `Proposer.propose`."""
        del sample
        found = self.division.areas(_lab(picture))
        return Proposal(np.stack(found) if found else np.zeros((0, *picture.shape[:2]), np.bool_))

    def _clearest(self, colours: list[Floats], run: Run, watch: Watch) -> Reach:
        """Where most kinds of these pictures' areas are constant in number."""
        ground, scores = Ground.of(colours, _everywhere(colours), _random(run)), dict[Reach, float]()
        candidates = tried(self.options.grown)
        with watch.stage("choosing a distance", len(candidates)) as stage:
            for reach in candidates:
                division = self._learnt(colours, reach, run, watch, ground)
                scores[reach] = kinds([division.areas(lab) for lab in colours], colours, ground.means)
                stage.advance()
        return clearest(scores)

    def _learnt(
        self, colours: list[Floats], reach: Reach, run: Run, watch: Watch, ground: Ground | None = None
    ) -> _Division:
        """Main colours of all levels; `ground` is the first one's, where it is known."""
        random, inside = _random(run), _everywhere(colours)
        division = _Division(self.options, reach)
        while len(division.levels) <= self.options.depth:
            watch.check_stop(run)
            level = (ground or Ground.of(colours, inside, random)).level(reach.distance)
            division.levels.append(level)
            inside = [division.divided(level, *both)[1] for both in zip(colours, inside, strict=True)]
            if sum(mask.any() for mask in inside) < _OFTEN * len(inside):
                break
            ground = None
        return division


def _random(run: Run) -> np.random.Generator:
    return np.random.default_rng(run.generator(_DRAWN).initial_seed() % 2**32)


def _everywhere(colours: list[Floats]) -> list[Mask]:
    return [np.ones(lab.shape[:2], np.bool_) for lab in colours]


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
