"""Visual words: which kinds of patches a picture shows, and how many, against good pictures; no segmenter.

Not in the paper. The patch histogram branch with the words of a code book in the place of components: patch
features of good pictures are clustered, and each picture is the histogram of its patches' clusters (Sivic and
Zisserman 2003).
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from flawscope.errors import OptionError, suggest
from flawscope.methods.csad.cells import QUARTERS, WHOLE, CellShares
from flawscope.methods.csad.fused import FusedGaussians
from flawscope.methods.csad.gaussian import GaussianOptions
from flawscope.nn.backbones.build import Backbone
from flawscope.nn.banks.features import PatchGrid, patch_rows
from flawscope.nn.codebook import code_book
from flawscope.runtime.frozen import Frozen

_ROWS = 20000  # patches that are clustered
_BATCH = 16
_STARTS = 3  # draws of the code book's first words
_LEAST = 1e-6  # temperature where all patches are words themselves


class VisualWordsOptions(Frozen):
    """Options of `VisualWords`."""

    words: int = Field(128, ge=2, le=512, description="entries of the code book")
    stride: Literal[8, 16] = Field(16, description="pixels from patch to patch")
    layers: tuple[str, ...] | None = Field(
        None, description="the backbone's layers that make a patch's features; by default all that it gives"
    )
    assignment: Literal["soft", "hard"] = Field(
        "soft", description="let each patch count for all words by its nearness, or for the nearest alone"
    )
    quarters: bool = Field(True, description="compare the picture's quarters too, beside the whole")
    floor: float = Field(
        1e-3, gt=0, lt=1, description="standard deviation that is added to each word's share of the patches"
    )
    gaussian: GaussianOptions = Field(GaussianOptions(), description="how good histograms are described")


class VisualWords(nn.Module):
    """Distance of a picture's word histograms to those of good pictures; `learn` fills buffers only.

    Args:
        backbone: whose maps come in.
        options: see there.

    Attributes:
        grid: joins the maps into patch features.
        centroids: (L, D) the words, L at most as many as the options say.
        temperature: () squared distance over which a word's say falls to 1 / e of the nearest one's.

    Raises:
        OptionError: a layer that the backbone does not give, or a stride that is no multiple of the layers'.
    """

    centroids: Tensor
    temperature: Tensor

    def __init__(self, backbone: Backbone, options: VisualWordsOptions, least: float = 0.0) -> None:
        super().__init__()
        self.options = options
        for layer in options.layers or ():
            if layer not in backbone.layers:
                raise OptionError(
                    f"layer {layer!r} of the words",
                    expected="one of the layers that the method reads",
                    got="another",
                    fix=suggest(layer, backbone.layers),
                )
        self.grid = PatchGrid(backbone, stride=options.stride, layers=options.layers)
        grids = (WHOLE, QUARTERS) if options.quarters else (WHOLE,)
        self.shares = CellShares(tuple(range(options.words)), self.grid.shape, grids)
        self.fused = FusedGaussians(self.shares.sizes, options.gaussian, options.floor, least)
        self.register_buffer("centroids", torch.zeros(options.words, self.grid.dim))
        self.register_buffer("temperature", torch.ones(()))

    @torch.no_grad()
    def learn(self, features: Tensor, held_out: Tensor | None = None, seed: int = 0) -> Tensor:
        """Make the code book and estimate the Gaussians from patch features of good pictures.

        Args:
            features: (n, D, h, w) of the training pictures, as `grid` gives them before this is called; they
                are scaled in place, so that the layers have equal say.
            held_out: (m, D, h, w) of good pictures that nothing has learnt from, for the levels; see
                `FusedGaussians.learn`. They are scaled likewise.
            seed: of the clustering.

        Returns:
            The score of each training picture as if it had been held out, (n,).

        Raises:
            DataError: fewer than two pictures.
        """
        random = torch.Generator().manual_seed(seed)
        rows = patch_rows(features)  # (n * h * w, D)
        drawn = rows[torch.randperm(len(rows), generator=random)[:_ROWS].to(rows.device)].cpu()
        self.grid.balance(drawn)
        for part in (features, held_out):
            if part is not None:
                part.mul_(self.grid.scale.to(part).view(-1, 1, 1))
        centroids, distance = code_book(drawn.numpy(), self.options.words, seed=seed, starts=_STARTS)
        self.centroids = torch.from_numpy(centroids).to(self.centroids)
        self.temperature = torch.tensor(max(distance / 2, _LEAST)).to(self.temperature)
        seen = None if held_out is None else self._histograms(held_out)
        return self.fused.learn(self._histograms(features), seen, seed)

    @torch.no_grad()
    def teach(self, features: Tensor, held_out: Tensor | None, seed: int) -> None:
        """Take in patch features (k, D, h, w) of further good pictures, scaled; the code book stays.

        `held_out`, scaled too, is as in `learn`; see `FusedGaussians.teach`.
        """
        seen = None if held_out is None else self._histograms(held_out)
        self.fused.teach(self._histograms(features), seen, seed)

    def forward(self, maps: dict[str, Tensor]) -> Tensor:
        """Score (N,) of the backbone's maps {layer: (N, C, h, w)}; exports to ONNX."""
        return torch.as_tensor(self.fused(self._counted(self.grid(maps))))

    def _counted(self, features: Tensor) -> Tensor:
        """Histograms (N, D') over the words, grid by grid, of scaled features (N, D, h, w)."""
        weights = (2 * self.centroids)[:, :, None, None]  # (L, D, 1, 1)
        near = F.conv2d(features, weights, -self.centroids.square().sum(1))  # (N, L, h, w)
        if self.options.assignment == "hard":
            return torch.cat(self.shares(near.argmax(1)), 1)
        return torch.cat(self.shares.of(torch.softmax(near / self.temperature, 1)), 1)

    def _histograms(self, features: Tensor) -> Tensor:
        """Histograms (n, D') of scaled features (n, D, h, w), batch by batch."""
        device = self.centroids.device
        return torch.cat([self._counted(part.to(device)) for part in torch.split(features, _BATCH)])
