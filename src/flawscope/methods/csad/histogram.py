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
from flawscope.methods.csad.fused import FusedGaussians
from flawscope.methods.csad.gaussian import GaussianOptions, find_variants
from flawscope.methods.csad.histogram_map import HistogramMap
from flawscope.runtime.frozen import Frozen

CellSize = Annotated[int, Field(ge=16, le=256)]
Side = Annotated[int, Field(ge=1, le=16)]


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
            counted = self.counted(classes)
            shares = [(labels == label).flatten(1).float().mean(1) for label in counted]
            members = find_variants(torch.stack(shares, 1), self.gaussian, seed=0)
            return choose_grids(labels.cpu().numpy(), counted, members)
        return tuple(grid_of(cell) for cell in self.cells)

    def counted(self, classes: int) -> tuple[int, ...]:
        """The labels that count, of K classes beside the background 0."""
        return tuple(range(0 if self.background else 1, classes + 1))


class PatchHistogram(nn.Module):
    """Distance of a label map's histograms to those of good pictures; `learn` fills buffers only.

    Args:
        classes: K, beside the background 0.
        size: height and width H, W of the label maps.
        grids: rows and columns of each grid, see `PatchHistogramOptions.grids`; a restored branch needs
            those that it learnt with.
        options: see there.
        least: see `FusedGaussians`.

    Attributes:
        names: what the D entries of a histogram are, see `entry_names`.
    """

    def __init__(
        self,
        classes: int,
        size: tuple[int, int],
        grids: Sequence[Grid],
        options: PatchHistogramOptions,
        least: float = 0.0,
    ) -> None:
        super().__init__()
        self.options = options
        counted = options.counted(classes)
        self.names = entry_names(grids, counted)
        self.shares = CellShares(counted, size, grids)
        self.fused = FusedGaussians(self.shares.sizes, options.gaussian, options.floor, least)
        self.map = HistogramMap(size, grids, self.shares.sizes, first=counted[0])

    @torch.no_grad()
    def learn(
        self, labels: Tensor, histograms: Tensor, held_out: Tensor | None = None, seed: int = 0
    ) -> Tensor:
        """Estimate the Gaussians and levels from histograms of good pictures.

        Args:
            labels: (n, H, W) of the training pictures, which the heatmap looks missing parts up in.
            histograms: (n, D) of them, as `count` gives them.
            held_out: (m, D) of good pictures that nothing has learnt from, for the levels; see
                `FusedGaussians.learn`.
            seed: of the search for variants.

        Returns:
            The score of each training picture as if it had been held out, (n,).

        Raises:
            DataError: fewer than two pictures.
        """
        self.map.learn(labels, histograms)
        return self.fused.learn(histograms, held_out, seed)

    @torch.no_grad()
    def teach(self, labels: Tensor, histograms: Tensor, held_out: Tensor | None, seed: int) -> None:
        """Take in further good pictures; see `learn`, and `FusedGaussians.teach`."""
        self.map.teach(labels, histograms)
        self.fused.teach(histograms, held_out, seed)

    def masks(self, labels: Tensor) -> Tensor:
        """What `count` takes, (N, K', H, W), of label maps (N, H, W): 1 where a class that counts shows."""
        return self.shares.masks(labels)

    def count(self, masks: Tensor) -> Tensor:
        """Histograms (N, D), shares from 0 to 1, of masks (N, K', H, W); a pixel may count in part."""
        return torch.cat(self.shares.of(masks), 1)

    def forward(self, histograms: Tensor) -> Tensor:
        """Score (N,) of histograms (N, D); exports to ONNX."""
        return torch.as_tensor(self.fused(histograms))

    def range(self, histograms: Tensor) -> tuple[Tensor, Tensor]:
        """From where to where good pictures like each histogram (N, D) lie, (N, D) each."""
        return self.fused.range(histograms)

    def heatmap(self, masks: Tensor, histograms: Tensor) -> Tensor:
        """What is too much or too little, (N, H, W) at least 0, higher is more anomalous (appendix D).

        A class of which a cell shows more than good pictures takes the difference on its pixels there; one of
        which it shows less takes it on that class's pixels in the good picture of the nearest histogram. The
        maps of all cell sizes are added.

        Args:
            masks: (N, K', H, W), see `count`.
            histograms: (N, D) of these.
        """
        away, deviation = self.fused.deviations(histograms)  # (N, D) each
        if self.options.heatmap == "deviations":
            away = away / deviation
        return torch.as_tensor(self.map(masks, histograms, away))
