"""Shapes: whether each component has one that good pictures show: bent, broken off or torn ones have not.

Not in the paper, whose histograms add up all components of a class: of three screws a tip that is broken off
is a few per cent, and how far screws hide one another moves as much.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from flawscope.methods.csad.figures import ENTRIES, SIZES, Describing, Figures
from flawscope.methods.csad.fused import ENOUGH, USUAL
from flawscope.methods.csad.gaussian import Gaussian, GaussianOptions
from flawscope.methods.csad.kinds import Kind, kinds_of
from flawscope.methods.csad.labelling import require_squares
from flawscope.runtime.frozen import Frozen

TOLD = 3  # components of a picture, of which findings can speak
_SAID = ("distance", "area", "length", "width", "along", "across", "threefold along", "threefold across")
NAMES = tuple(f"{index}/{name}" for index in range(TOLD) for name in _SAID)
_STEADY = 0.95  # share of a kind's components that look alike where it is divided well
_TAIL = 2.5  # times its median, from where on the largest distance in a picture comes of how it is divided
_APART = 1 / 3  # of as many components as there are of one class each: rings with a hole are two each
_RAMP = 0.2  # of a limit, over which a component comes to count, so that nothing changes by a step


class ShapesOptions(Frozen):
    """Options of `Shapes`."""

    stride: Literal[1, 2, 4, 8] = Field(
        2, description="pixels a side of the squares in which components are looked for and measured"
    )
    parts: Literal["auto", "classes", "joined"] = Field(
        "auto",
        description="components of one class each, or joined ones of any class but the background, which "
        "stay whole where a screw is taken for half a long one and half a short one; auto takes the first "
        "unless one in twenty of a class's components is unlike the others, or in one good picture of twenty "
        "one is far more unusual than in most",
    )
    least_area: float = Field(
        0.5,
        ge=0,
        le=1,
        description="share of the usual area of its class below which a component is not judged, for it may "
        "be a piece that a glint has cut off",
    )
    most_area: float = Field(
        1.5,
        gt=1,
        description="how many times the usual area of its class a component may have and still be judged: "
        "larger ones are several that touch, which good pictures need not show in every way",
    )
    whole: bool = Field(
        False,
        description="let a joined component that is shaped as good ones of one class alone be of that class "
        "as a whole, for histograms, counts, places and colours, too",
    )
    hole: float = Field(
        0.003,
        ge=0,
        lt=1,
        description="share of the picture up to which ground that a joined component surrounds is part of "
        "it: a washer's hole is now a class of its own and now ground",
    )
    floor: float = Field(
        0.02,
        gt=0,
        description="standard deviation that is added to each entry of a shape, which are logarithms and "
        "moments in units of the component's size: 0.02 is 2 %",
    )

    def check_size(self, size: tuple[int, int]) -> None:
        """Raise an OptionError for a height and width that are no multiples of the stride."""
        require_squares(size, self.stride, "shapes")


@dataclass(frozen=True, slots=True)
class JudgedShapes:
    """What `Shapes` says of N pictures.

    Attributes:
        scores: (N,) the largest distance.
        maps: (N, H, W) by how much the distance of each pixel's component exceeds what good pictures reach.
        odd: (N, h, w) uint8 from 1 on for squares of the most unusual components, 0 elsewhere.
        told: (N, T) `NAMES` of these: the distance, sizes in units of the kind's usual ones, and moments; 0
            where there are fewer.
        low: (N, T) from where, and
        high: (N, T) to where these lie in good pictures; of the distance, the largest of each.
    """

    scores: Tensor
    maps: Tensor
    odd: Tensor
    told: Tensor
    low: Tensor
    high: Tensor


class Shapes(nn.Module):
    """Distance of each component's shape to the nearest kind that good pictures show; the largest counts.

    A kind is what most good components of one class look like. A component may look like any kind: which
    ones there should be is for the other branches to say.

    Args:
        classes: K, beside the background 0.
        size: height and width H, W of the label maps.
        options: see there.

    Attributes:
        hole: see `Describing.forward`, (1,) where components are joined ones and (0,) where not.
        usual: (K,) area in squares of most components of a class; 0 where good pictures show too few of it.
        labels: (V,) int64 the class of each kind.
        ranges: (2, V, D) from where to where 90 % of a kind's vectors lie.
        reach: (2,) from where to where the scores of 90 % of the good pictures do.
        seen, held_out: (n, 2, M, 2 + D) and (m, …) what `learn` was given; `teach` goes on from there.

    Raises:
        OptionError: a size that is no multiple of the stride.
    """

    hole: Tensor
    usual: Tensor
    labels: Tensor
    ranges: Tensor
    reach: Tensor
    seen: Tensor
    held_out: Tensor

    def __init__(self, classes: int, size: tuple[int, int], options: ShapesOptions) -> None:
        super().__init__()
        options.check_size(size)
        self.options, self.size = options, size
        self.describing = Describing(classes, size, options.stride)
        self.gaussian = Gaussian(len(ENTRIES), GaussianOptions(), options.floor)
        self.register_buffer("hole", torch.zeros(0))
        self.register_buffer("usual", torch.zeros(classes))
        self.register_buffer("labels", torch.ones(1, dtype=torch.int64))
        self.register_buffer("ranges", torch.zeros(2, 1, len(ENTRIES)))
        self.register_buffer("reach", torch.zeros(2))
        for name in ("seen", "held_out"):
            self.register_buffer(name, torch.zeros(0, 2, self.describing.most, 2 + len(ENTRIES)))

    def ways(self, shares: Tensor) -> tuple[Figures, Figures]:
        """The components of shares (N, K + 1, H, W), of one class each and joined ones, for `gather`."""
        return self.describing(shares, None), self.describing(shares, self._hole())

    def gather(self, ways: Sequence[Figures]) -> Tensor:
        """What `learn` needs of N pictures: (N, 2, M, 2 + D).

        Of their largest M components, of one class each and joined ones: area in squares, class, vector.
        """
        return torch.stack([_rows(figures) for figures in ways], 1)

    @torch.no_grad()
    def learn(self, described: Tensor, held_out: Tensor | None = None, joined: bool | None = None) -> None:
        """Learn what components look like.

        Args:
            described: (n, 2, M, 2 + D) what `gather` tells of good pictures.
            held_out: (m, …) of pictures that nothing has learnt from, for `reach`; of all, if below 20.
            joined: whether joined components are judged; None: as `parts` says.
        """
        rows = described.detach().cpu().double().numpy()
        ways = [kinds_of(way[way[:, :, 0] > 0], self.options.floor) for way in (rows[:, 0], rows[:, 1])]
        self.seen = described.to(self.seen)
        self.held_out = self.seen[:0] if held_out is None else held_out.to(self.seen)
        if joined is None:
            joined = self.options.parts == "joined" or (self.options.parts == "auto" and self._unsteady(ways))
        self.hole = self._hole().reshape(1) if joined else self._hole().reshape(1)[:0]
        self._take(ways[int(joined)])
        shown = self.held_out if len(self.held_out) >= ENOUGH else torch.cat([self.seen, self.held_out])
        largest = self._largest(shown[:, int(joined)])
        self.reach = largest.quantile(torch.tensor(USUAL).to(largest))

    def _unsteady(self, ways: Sequence[Mapping[int, Kind]]) -> bool:
        """Whether good components of one class each are not always divided alike, and joined ones are.

        Pieces of half a component are unlike whole ones and too small to be judged; what else is divided
        otherwise is far away. Joined ones that are several components each would hide what one of them lacks.
        """
        members = [sum(len(kind.vectors) for kind in way.values()) for way in ways]
        if members[1] < _APART * members[0]:
            return False
        steady = [min((kind.usual for kind in way.values()), default=0.0) for way in ways]
        tails = [self._tail(kinds, way) for way, kinds in enumerate(ways)]
        return steady[0] < min(_STEADY, steady[1]) or tails[0] > _TAIL >= tails[1]

    def _tail(self, kinds: Mapping[int, Kind], way: int) -> float:
        """How many times its median the largest distance is in one good picture of twenty."""
        self._take(kinds)
        largest = self._largest(torch.cat([self.seen, self.held_out])[:, way])
        middle, far = largest.quantile(torch.tensor((0.5, USUAL[1])).to(largest)).tolist()
        return far / middle if middle > 0 else math.inf

    def _largest(self, own: Tensor) -> Tensor:
        """The largest distance (k,) in pictures of components (k, M, 2 + D)."""
        return self._distances(own[..., 0], own[..., 1].long().clamp_min(1), own[..., 2:])[0].amax(1)

    @torch.no_grad()
    def teach(self, described: Tensor, held_out: Tensor | None = None) -> None:
        """Learn anew from the components of before and those of further good pictures, as of one lot.

        For `held_out` see `learn`; None: those of before. What counts as a component stays, for colours too.
        """
        known = self.held_out if held_out is None else held_out
        self.learn(torch.cat([self.seen, described.to(self.seen)]), known, len(self.hole) > 0)

    @property
    def divides(self) -> bool:
        """Whether it is joined components, once they are learnt, that tell of which class they are."""
        return self.options.whole and len(self.hole) > 0

    def figures(self, shares: Tensor) -> Figures:
        """The components of shares (N, K + 1, H, W) that are judged, of one class each or joined ones."""
        found: Figures = self.describing(shares, self.hole[0] if len(self.hole) else None)
        return found

    def forward(self, found: Figures) -> JudgedShapes:
        """Judge pictures by their `figures`; exports to ONNX."""
        distances, nearest = self._distances(found.areas, found.kinds, found.vectors)  # (N, M) each
        told, order = distances.topk(TOLD, 1)  # (N, T) each
        ranks = torch.arange(1, TOLD + 1, device=told.device) * (told > 0)
        beyond = found.spread(found.places, (distances - self.reach[1]).clamp_min(0))
        return JudgedShapes(
            distances.amax(1),
            F.interpolate(beyond, self.size, mode="nearest").squeeze(1),
            found.spread(found.places.gather(1, order), ranks.float()).squeeze(1).to(torch.uint8),
            *self._told(found.vectors, nearest, told, order),
        )

    def judged(self, areas: Tensor, kinds: Tensor) -> Tensor:
        """How far components (N, M) of so many squares and those classes can be judged, from 0 to 1."""
        usual = self.usual[kinds - 1]
        share = areas / usual.clamp_min(1e-6)
        enough = rising(share / self.options.least_area) if self.options.least_area else share > 0
        return enough * rising(2 - share / self.options.most_area) * (usual > 0)

    def _distances(self, areas: Tensor, kinds: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Of components with areas and classes (N, M) and vectors (N, M, D): distance, and nearest kind."""
        to_kinds = self.gaussian.distances(vectors.flatten(0, 1))  # (N * M, V)
        nearest = to_kinds.amin(1).reshape(areas.shape)
        return nearest * self.judged(areas, kinds), to_kinds.argmin(1).reshape(areas.shape)

    def _told(self, vectors: Tensor, nearest: Tensor, told: Tensor, order: Tensor) -> list[Tensor]:
        """`told`, `low`, `high` of `JudgedShapes` for the components `order` (N, T), so far away each."""
        there = order.unsqueeze(2)
        own = vectors.gather(1, there.expand(-1, -1, vectors.shape[2]))  # (N, T, D)
        kinds = nearest.gather(1, order)
        middle = self.gaussian.mean[kinds][..., :SIZES]  # (N, T, 3)
        rows = []
        ends = self.reach.reshape(2, 1, 1).expand(2, *told.shape)
        for first, rest in ((told, own), *zip(ends, self.ranges[:, kinds], strict=True)):
            sizes = torch.exp(rest[..., :SIZES] - middle)
            row = torch.cat([first.unsqueeze(2), sizes, rest[..., SIZES:]], 2)  # (N, T, 1 + D)
            rows.append((row * (told > 0).unsqueeze(2)).flatten(1))
        return rows

    def _hole(self) -> Tensor:
        """The option `hole` in squares, ()."""
        height, width = self.describing.labelling.size
        return torch.tensor(self.options.hole * height * width).to(self.hole)

    def _take(self, kinds: Mapping[int, Kind]) -> None:
        """Fill the buffers from the kinds."""
        self.usual.zero_()
        if not kinds:
            return
        for label, kind in kinds.items():
            self.usual[label - 1] = kind.area
        self.labels = torch.tensor(list(kinds)).to(self.labels)
        members = np.repeat(np.arange(len(kinds)), [len(kind.vectors) for kind in kinds.values()])
        vectors = np.concatenate([kind.vectors for kind in kinds.values()])
        self.gaussian.learn(torch.from_numpy(vectors), members)
        ends = [np.quantile(kind.vectors, USUAL, axis=0) for kind in kinds.values()]  # (2, D) each
        self.ranges = torch.from_numpy(np.stack(ends, 1)).to(self.ranges)


def rising(values: Tensor) -> Tensor:
    """1 from 1 on, 0 up to 0.8, and evenly from one to the other."""
    return ((values - 1) / _RAMP + 1).clamp(0, 1)


def _rows(figures: Figures) -> Tensor:
    """(N, M, 2 + D) area, class and vector of each."""
    areas, kinds = figures.areas.unsqueeze(2), figures.kinds.unsqueeze(2).to(figures.areas)
    return torch.cat([areas, kinds, figures.vectors], 2)
