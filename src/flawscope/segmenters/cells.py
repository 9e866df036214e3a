"""Features of a picture's cells, to its very border."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flawscope.data.pictures import Pictures
from flawscope.nn.backbones.build import build_backbone
from flawscope.nn.backbones.weights import load_pretrained
from flawscope.nn.banks.features import PatchGrid
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED, Watch, batches

_BATCH = 4


class Cells(nn.Module):
    """One vector of joined backbone features for each cell of the finest layer.

    The picture is mirrored beyond its border: a network that sees zeros there tells border cells from all
    others, and clusters would be rings.

    Args:
        name: the backbone, see `build_backbone`.
        layers: its layers; None takes those at `strides`.
        strides: for `layers=None`.
        size: height and width of the pictures.
        weights: pretrained ones are read by `load`; random ones are drawn from a fixed seed.
        margin: cells of the coarsest layer by which the picture is mirrored on each side; fewer where the
            picture has no more.

    Attributes:
        margin: the same in pixels.
        dim: length D of a vector.
        shape: height and width of the grid of cells.
    """

    def __init__(
        self,
        name: str,
        layers: Sequence[str] | None,
        strides: Sequence[int],
        size: tuple[int, int],
        *,
        weights: Literal["pretrained", "random"] = "pretrained",
        margin: int = 2,
    ) -> None:
        super().__init__()
        self.weights = weights
        probe = build_backbone(name, layers, strides=strides, size=size)
        coarse, fine = max(probe.strides.values()), min(probe.strides.values())
        self.margin = coarse * min(margin, (min(size) - 1) // coarse)
        height, width = (side + 2 * self.margin for side in size)
        self.backbone = build_backbone(name, layers, strides=strides, size=(height, width))
        self.grid = PatchGrid(self.backbone)
        self.cut = self.margin // fine
        self.shape = (self.grid.shape[0] - 2 * self.cut, self.grid.shape[1] - 2 * self.cut)
        self.dim = self.grid.dim

    def load(self) -> None:
        """Read pretrained weights, unless random ones were asked for.

        Raises:
            WeightsError: they are not to be had.
        """
        if self.weights == "pretrained":
            load_pretrained(self.backbone)

    def mirrored(self, pixels: Tensor) -> Tensor:
        """`pixels` (N, 3, H, W) as the backbone sees them: (N, 3, H + 2 margin, W + 2 margin)."""
        return F.pad(pixels, (self.margin,) * 4, mode="reflect") if self.margin else pixels

    def forward(self, pixels: Tensor, maps: Mapping[str, Tensor] | None = None) -> Tensor:
        """Map `pixels` (N, 3, H, W) in [0, 1] to features (N, D, h, w).

        Args:
            pixels: the pictures.
            maps: {layer: (N, C, h, w)} of the backbone on `mirrored(pixels)`, where they are there already.

        Raises:
            ValueError: maps on another grid than the backbone's of such pictures.
        """
        maps = self.backbone(self.mirrored(pixels)) if maps is None else maps
        for layer, grid in self.backbone.grids.items():
            if maps[layer].shape[2:] != grid:
                raise ValueError(f"maps at {layer} of {tuple(maps[layer].shape[2:])} cells, not {grid}")
        features: Tensor = self.grid(maps)
        height, width = self.shape
        return features[:, :, self.cut : self.cut + height, self.cut : self.cut + width]

    def batches(self, pictures: Pictures, run: Run, watch: Watch = UNWATCHED) -> Iterator[Tensor]:
        """Features (n, D, h, w) of all pictures in batches, on the run's device."""
        self.to(run.torch_device())
        for pixels in batches(pictures, run, watch, "reading features", _BATCH):
            with torch.no_grad():
                features = self(pixels)
            yield features
