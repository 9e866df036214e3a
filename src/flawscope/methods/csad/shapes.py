"""Shapes: whether each component has one that good pictures show: bent, broken off or torn ones have not.

Not in the paper, whose histograms add up all components of a class: of three screws a tip that is broken off
is a few per cent, and how far screws hide one another moves as much.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from flawscope.methods.csad.figures import ENTRIES, Describing, Figures
from flawscope.methods.csad.gaussian import Gaussian, GaussianOptions
from flawscope.methods.csad.labelling import require_squares
from flawscope.runtime.frozen import Frozen

FEWEST = 20  # components of a kind
_SMALL = 0.1  # share of a class's area that lies in its small components
_SPECK = 0.1  # of such a small one's area, below which one is no evidence of how components are divided
_STEADY = 0.95  # share of a kind's components that look alike where it is divided well
_FAR, _EDGE, _ROUNDS = 6.0, 1.5, 3  # what is left out of a kind: beyond its median, then beyond most others
_RAMP = 0.2  # of a limit, over which a component comes to count, so that nothing changes by a step

Rows = NDArray[np.float64]


class ShapesOptions(Frozen):
    """Options of `Shapes`."""

    stride: Literal[1, 2, 4, 8] = Field(
        2, description="pixels a side of the squares in which components are looked for and measured"
    )
    parts: Literal["auto", "classes", "joined"] = Field(
        "auto",
        description="components of one class each, or joined ones of any class but the background, which "
        "stay whole where a screw is taken for half a long one and half a short one; auto takes the first "
        "unless one in twenty of a class's components is unlike the others",
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


class Shapes(nn.Module):
    """Distance of each component's shape to the nearest kind that good pictures show; the largest counts.

    A kind is what most good components of one class look like. A component may look like any kind: which
    ones there should be is for the other branches to say.

    Args:
        classes: K, beside the background 0.
        size: height and width H, W of the label maps.
        options: see there.

    Attributes:
        groups: (G, K + 1), and
        hole: (), what components are: see `Describing.forward`.
        usual: (K,) area in squares of most components of a class; 0 where good pictures show too few of it.
        seen: (n, 2, M, 2 + D) what `learn` was given, from which `teach` goes on; in no graph.

    Raises:
        OptionError: a size that is no multiple of the stride.
    """

    groups: Tensor
    hole: Tensor
    usual: Tensor
    seen: Tensor

    def __init__(self, classes: int, size: tuple[int, int], options: ShapesOptions) -> None:
        super().__init__()
        options.check_size(size)
        self.options, self.size = options, size
        self.describing = Describing(classes, size, options.stride)
        self.gaussian = Gaussian(len(ENTRIES), GaussianOptions(), options.floor)
        self.register_buffer("groups", torch.eye(classes + 1))
        self.register_buffer("hole", torch.zeros(()))
        self.register_buffer("usual", torch.zeros(classes))
        self.register_buffer("seen", torch.zeros(0, 2, self.describing.most, 2 + len(ENTRIES)))

    def gather(self, shares: Tensor) -> Tensor:
        """What `learn` needs of shares (N, K + 1, H, W): (N, 2, M, 2 + D).

        Of its largest M components, of one class and joined ones: area in squares, 0 for none, class, vector.
        """
        ways = (self._describe(shares, joined=joined) for joined in (False, True))
        return torch.stack([_rows(figures) for figures in ways], 1)

    @torch.no_grad()
    def learn(self, described: Tensor) -> None:
        """Learn from what `gather` tells of good pictures (n, 2, M, 2 + D) what components look like."""
        rows = described.detach().cpu().double().numpy()
        ways = [self._kinds(way[way[:, :, 0] > 0]) for way in (rows[:, 0], rows[:, 1])]
        steady = [min((kind.usual for kind in way.values()), default=0.0) for way in ways]
        joined = self.options.parts == "joined"
        if self.options.parts == "auto":
            joined = steady[0] < min(_STEADY, steady[1])
        self.groups, self.hole = self._division(joined=joined)
        self._take(ways[int(joined)])
        self.seen = described.to(self.seen)

    @torch.no_grad()
    def teach(self, described: Tensor) -> None:
        """Learn anew from the components of before and those of further good pictures, as of one lot."""
        self.learn(torch.cat([self.seen, described.to(self.seen)]))

    def forward(self, shares: Tensor) -> tuple[Tensor, Tensor]:
        """Score (N,) of shares (N, K + 1, H, W), and each pixel's map of it (N, H, W); exports to ONNX."""
        found = self.describing(shares, self.groups, self.hole)
        flat = self.gaussian(found.vectors.flatten(0, 1)).reshape(found.areas.shape)
        usual = self.usual[found.kinds - 1]
        share = found.areas / usual.clamp_min(1e-6)
        enough = _rising(share / self.options.least_area) if self.options.least_area else share > 0
        distances = flat * enough * _rising(2 - share / self.options.most_area) * (usual > 0)  # (N, M)
        spread = torch.zeros_like(found.numbers, dtype=torch.float32).scatter(1, found.places, distances)
        grid = spread.gather(1, found.numbers).reshape(-1, 1, *self.describing.labelling.size)
        return distances.amax(1), F.interpolate(grid, self.size, mode="nearest").squeeze(1)

    def _describe(self, shares: Tensor, *, joined: bool) -> Figures:
        found: Figures = self.describing(shares, *self._division(joined=joined))
        return found

    def _division(self, *, joined: bool) -> tuple[Tensor, Tensor]:
        """`groups` and `hole`."""
        groups = torch.eye(self.groups.shape[1]).to(self.groups)
        if not joined:
            return groups, torch.zeros_like(self.hole)
        groups = torch.stack([groups[0], groups[1:].sum(0)])
        grid = self.describing.labelling.size
        return groups, torch.full_like(self.hole, self.options.hole * grid[0] * grid[1])

    def _kinds(self, components: Rows) -> dict[int, _Kind]:
        """What most components (m, 2 + D) of each class look like, of those that are no specks."""
        found = {}
        for label in np.unique(components[:, 1]).astype(int):
            own = components[components[:, 1] == label]
            areas = np.sort(own[:, 0])
            small = areas[np.searchsorted(areas.cumsum(), _SMALL * areas.sum())]
            own = own[own[:, 0] >= _SPECK * small]
            if len(own) >= FEWEST:
                found[int(label)] = _Kind(own, self.options.floor)
        return found

    def _take(self, kinds: dict[int, _Kind]) -> None:
        """Fill the buffers from the kinds."""
        self.usual.zero_()
        if not kinds:
            return
        for label, kind in kinds.items():
            self.usual[label - 1] = kind.area
        members = np.repeat(np.arange(len(kinds)), [len(kind.vectors) for kind in kinds.values()])
        vectors = np.concatenate([kind.vectors for kind in kinds.values()])
        self.gaussian.learn(torch.from_numpy(vectors), members)


class _Kind:
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
            kept = distances < _EDGE * np.quantile(distances[kept], 0.98)
        self.vectors, self.usual = vectors[kept], float(kept.mean())
        self.area = float(np.median(components[kept, 0])) if kept.any() else 0.0


def _rising(values: Tensor) -> Tensor:
    """1 from 1 on, 0 up to 0.8, and evenly from one to the other."""
    return ((values - 1) / _RAMP + 1).clamp(0, 1)


def _rows(figures: Figures) -> Tensor:
    """(N, M, 2 + D) area, class and vector of each."""
    areas, kinds = figures.areas.unsqueeze(2), figures.kinds.unsqueeze(2).to(figures.areas)
    return torch.cat([areas, kinds, figures.vectors], 2)
