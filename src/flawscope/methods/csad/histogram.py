"""The patch histogram branch: how much of each class each cell of a label map shows, against good pictures.

Section 3.3: class histograms of cells, their Mahalanobis distance to those of good pictures (equation 4), one
distance for each cell size, fused as the branches are (section 3.5). Appendix D: the heatmap.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from flawscope.methods.csad.cells import CellShares, Grid, choose_grids, entry_names, grid_of
from flawscope.methods.csad.gaussian import (
    TRIMMED,
    USUAL,
    Gaussian,
    GaussianOptions,
    find_variants,
    learn_levels,
)
from flawscope.methods.csad.histogram_map import HistogramMap
from flawscope.nn.moments import Levels
from flawscope.runtime.frozen import Frozen

CellSize = Annotated[int, Field(ge=16, le=256)]
Side = Annotated[int, Field(ge=1, le=16)]

_BATCH = 16


class PatchHistogramOptions(Frozen):
    """Options of `PatchHistogram`."""

    cells: Literal["auto"] | tuple[CellSize | tuple[Side, Side], ...] = Field(
        (256, 128),
        min_length=1,
        description="cell sizes in pixels of a picture of 256×256 (section 3.3 and table 4: 256 and 128), or "
        "rows and columns of a grid; auto takes the whole picture and the finest grid in whose cells good "
        "pictures stay the same",
    )
    background: bool = Field(
        False, description="let the background count as a class (the authors' code leaves it out)"
    )
    floor: float = Field(
        1e-4,
        gt=0,
        lt=1,
        description="standard deviation that is added to each class's share of a cell; it decides what a "
        "class weighs that good pictures never show there",
    )
    gaussian: GaussianOptions = Field(
        GaussianOptions(), description="how good histograms are described (equation 4)"
    )
    heatmap: Literal["difference", "deviations"] = Field(
        "difference",
        description="what the heatmap shows: the histogram's difference (appendix D), or that in units of "
        "the good pictures' deviation, so that small parts stand out as large ones do",
    )

    def grids(self, labels: Tensor, classes: int) -> tuple[Grid, ...]:
        """The grids that `cells` names, or what `choose_grids` finds.

        Args:
            labels: (n, H, W) label maps of good pictures.
            classes: K, beside the background.
        """
        if self.cells == "auto":
            return choose_grids(labels.cpu().numpy(), self.counted(classes))
        return tuple(grid_of(cell) for cell in self.cells)

    def counted(self, classes: int) -> tuple[int, ...]:
        """The labels that count, of K classes beside the background 0."""
        return tuple(range(0 if self.background else 1, classes + 1))


class PatchHistogram(nn.Module):
    """Distance of a label map's histograms to those of good pictures; `learn` fills buffers only.

    Args:
        classes: K, beside the background 0.
        size: height and width H, W of the label maps.
        grids: rows and columns of each grid, G of them, see `PatchHistogramOptions.grids`; a restored
            branch needs those that it learnt with.
        options: see there.

    Attributes:
        names: what the D entries of a histogram are, see `entry_names`.
        usual: (2, V, D) from where to where 98 % of the good pictures lie, for each of V variants.
    """

    usual: Tensor

    def __init__(
        self, classes: int, size: tuple[int, int], grids: Sequence[Grid], options: PatchHistogramOptions
    ) -> None:
        super().__init__()
        self.options = options
        counted = options.counted(classes)
        self.names = entry_names(grids, counted)
        self.shares = CellShares(counted, size, grids)
        self.gaussians = nn.ModuleList(
            Gaussian(entries, options.gaussian, options.floor) for entries in self.shares.sizes
        )
        self.levels = Levels(len(self.gaussians), "moments", between=TRIMMED)
        self.map = HistogramMap(size, grids, self.shares.sizes, first=counted[0])
        self.register_buffer("usual", torch.zeros(2, 1, len(self.names)))

    @torch.no_grad()
    def learn(self, labels: Tensor, held_out: Tensor | None = None, seed: int = 0) -> Tensor:
        """Estimate the Gaussians and levels from label maps of good pictures.

        Args:
            labels: (n, H, W) of the training pictures.
            held_out: (m, H, W) of good pictures that nothing has learnt from. The levels come from these;
                where there are fewer than 20, also from the training pictures, each against all others.
            seed: of the search for variants.

        Returns:
            The score of each training picture as if it had been held out, (n,).

        Raises:
            DataError: fewer than two label maps.
        """
        found = self._histograms(labels)  # (n, D)
        members = find_variants(found, self.options.gaussian, self.options.floor, seed)
        left_out = torch.stack(
            [
                gaussian.learn(part, seed, members)
                for gaussian, part in zip(self._gaussians(), self._parts(found), strict=True)
            ],
            1,
        )  # (n, G)
        seen = None
        if held_out is not None and len(held_out):
            seen = self.distances(self._histograms(held_out))  # (m, G)
        ends = torch.tensor(USUAL).to(found)
        variants = torch.from_numpy(members).to(found.device)
        ranges = [found[variants == index].quantile(ends, 0) for index in range(int(members.max()) + 1)]
        self.usual = torch.stack(ranges, 1)  # (2, V, D)
        self.map.learn(labels, found)
        return learn_levels(self.levels, left_out, seen)

    def forward(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Score (N,) and histograms (N, D), shares from 0 to 1, of label maps (N, H, W); exports to ONNX."""
        histograms = torch.cat(self.shares(labels), 1)  # (N, D)
        return self.levels(self.distances(histograms)).sum(1), histograms

    def distances(self, histograms: Tensor) -> Tensor:
        """Mahalanobis distances (N, G) of histograms (N, D) in each grid."""
        pairs = zip(self._gaussians(), self._parts(histograms), strict=True)
        return torch.stack([gaussian(part) for gaussian, part in pairs], 1)

    def range(self, histograms: Tensor) -> tuple[Tensor, Tensor]:
        """From where to where good pictures of the variant nearest to histograms (N, D) lie, (N, D) each."""
        nearest = self._gaussians()[0].distances(self._parts(histograms)[0]).argmin(1)  # (N,)
        return self.usual[0].index_select(0, nearest), self.usual[1].index_select(0, nearest)

    def heatmap(self, labels: Tensor, histograms: Tensor) -> Tensor:
        """What is too much or too little, (N, H, W) at least 0, higher is more anomalous (appendix D).

        A class of which a cell shows more than good pictures takes the difference on its pixels there; one of
        which it shows less takes it on that class's pixels in the good picture of the nearest histogram. The
        maps of all cell sizes are added.

        Args:
            labels: (N, H, W).
            histograms: (N, D) of these, as `forward` gives them.
        """
        away = []
        for gaussian, part in zip(self._gaussians(), self._parts(histograms), strict=True):
            apart, deviation = gaussian.deviations(part)
            away.append(apart / deviation if self.options.heatmap == "deviations" else apart)
        spread: Tensor = self.map(labels, histograms, torch.cat(away, 1))
        return spread

    def _gaussians(self) -> list[Gaussian]:
        return [gaussian for gaussian in self.gaussians if isinstance(gaussian, Gaussian)]

    def _parts(self, histograms: Tensor) -> tuple[Tensor, ...]:
        """Histograms (N, D) by grid."""
        return tuple(torch.split(histograms, list(self.shares.sizes), 1))

    def _histograms(self, labels: Tensor) -> Tensor:
        """Histograms (n, D) of label maps (n, H, W), batch by batch."""
        device = self.usual.device
        return torch.cat([torch.cat(self.shares(part.to(device)), 1) for part in torch.split(labels, _BATCH)])
