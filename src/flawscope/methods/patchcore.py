"""PatchCore: distance to the nearest patch of good pictures.

Roth, Pemula, Zepeda, Schölkopf, Brox, Gehler: Towards Total Recall in Industrial Anomaly Detection.
CVPR 2022.

Where the paper and others' code differ, the paper holds:
- Neighbourhoods are averaged (section 3.1). The authors' code unfolds each one and averages over channels and
  places together, down to 1024 numbers a layer, then 1024 in all.
- The image score is re-weighted (equation 7). The authors' code takes the plain maximum, which is
  `reweighting=0` here. Like anomalib, the nearest member counts as one of its own nearest neighbours.
- The random projection has the authors' 128 dimensions; the paper names none. It serves the selection only.
- The paper resizes to 256 and cuts out the middle 224 pixels. Nothing is cut here: parts reach the border.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from flawscope.data.pictures import Pictures
from flawscope.data.training import TrainingData
from flawscope.errors import OptionError
from flawscope.files import writable_folder
from flawscope.methods.detector import BackboneOptions, Detector, Facts, Learnt, Needs
from flawscope.nn.backbones.build import build_backbone
from flawscope.nn.backbones.weights import load_pretrained
from flawscope.nn.banks.coreset import coreset_size
from flawscope.nn.banks.features import PatchGrid, bytes_to_see, map_batches, patch_rows
from flawscope.nn.banks.patchbank import PatchBank, most_members
from flawscope.nn.banks.placed import PlacedBanks
from flawscope.nn.banks.preflight import Preflight, after_seeing, estimate, seconds_a_picture
from flawscope.nn.banks.store import patch_store
from flawscope.nn.heatmaps import Heatmap, top_mean
from flawscope.nn.run import FEATURE_MEMORY, Run
from flawscope.nn.watch import Watch

Parts = Annotated[int, Field(ge=1)]


class PatchCoreOptions(BackboneOptions):
    """Options of PatchCore; defaults are the paper's."""

    backbone: str = Field(
        "wide_resnet50_2", description="network of the features (section 4.1: WideResNet-50-2)"
    )
    layers: tuple[str, ...] | None = Field(
        None, description="its layers; by default those at strides 8 and 16 (section 3.1: blocks 2 and 3)"
    )
    neighbourhood: Literal[1, 3, 5, 7, 9] = Field(
        3, description="side of the patch over which features are averaged (section 4.4: 3)"
    )
    stride: int | None = Field(
        None, ge=1, description="pixels from patch to patch; by default the finest layer's (section 3.1)"
    )
    balance: bool = Field(
        False,
        description="divide each layer by the root mean square of its centred features (not in the paper)",
    )
    coreset: float = Field(
        0.1, gt=0, le=1, description="share of patches kept (section 4.2: 25 %, 10 % or 1 %)"
    )
    bank_limit: int | None = Field(
        None, ge=1, description="most patches kept, whatever the share (the paper has no limit)"
    )
    positions: tuple[Parts, Parts] | None = Field(
        None,
        description="rows and columns into which pictures are divided, with a bank for each part, for "
        "products that always lie alike; null: one bank, as published",
    )
    projection: int | None = Field(
        128, ge=1, description="dimensions of the random projection for the selection (authors' code: 128)"
    )
    reweighting: int = Field(
        9,
        ge=0,
        description="neighbours b in the image score's weight (equation 7; 9 as in anomalib); 0: none",
    )
    score: Literal["maximum", "top 1 %", "smoothed maximum"] = Field(
        "maximum",
        description="image score: largest distance (equation 6), mean of the top 1 %, or the map's peak",
    )
    smoothing: float = Field(
        4.0, ge=0, le=64, description="σ in pixels of the Gaussian over the heatmap (section 3.3: 4)"
    )

    @model_validator(mode="after")
    def _fitting_together(self) -> Self:
        if self.reweighting == 1:
            raise ValueError("reweighting 0 or at least 2: one member alone has nothing to weigh")
        parts = self.positions and self.positions[0] * self.positions[1]
        if parts and self.reweighting:
            raise ValueError("reweighting 0 with positions: a member's neighbours lie in one bank")
        if parts and self.bank_limit and self.bank_limit < parts:
            raise ValueError(f"a bank_limit of at least {parts}, one patch for each of the positions")
        return self


PRESETS: Mapping[str, Mapping[str, Any]] = {
    # benchmarks/results/preset.md tells what was tried, on which products
    "default": {
        "backbone": "tf_efficientnet_lite0",
        "layers": ["blocks.1", "blocks.2", "blocks.4"],
        "size": [320, 320],
        "stride": 8,
        "balance": True,
        "bank_limit": 6000,
        "projection": 64,
        "score": "smoothed maximum",
        "smoothing": 6.0,
        "reweighting": 0,
    },
    # SegAD, appendix B
    "segad": {"coreset": 0.01, "reweighting": 9},
    # for stations where milliseconds count: a small input, plain layers, a small bank
    "fast": {
        "backbone": "tf_efficientnet_lite0",
        "size": [256, 256],
        "bank_limit": 2000,
        "projection": 64,
        "score": "top 1 %",
        "reweighting": 0,
    },
}


TOP_SHARE = 0.01


def banks(grid: PatchGrid, options: PatchCoreOptions) -> PatchBank | PlacedBanks:
    """One bank, or one for each position.

    Raises:
        OptionError: more positions than the grid has cells.
    """
    if options.positions is None:
        return PatchBank(grid, around=max(1, options.reweighting))
    (height, width), (rows, columns) = grid.shape, options.positions
    if rows > height or columns > width:
        raise OptionError(
            "option 'positions' of patchcore",
            expected=f"at most {height} rows and {width} columns, the grid of patches",
            got=f"{rows} and {columns}",
            fix="Set fewer, or a larger size.",
        )
    return PlacedBanks(grid, options.positions)


class PatchCore(Detector):
    """A bank of patch features from good pictures; the score is the distance to it."""

    name: ClassVar = "patchcore"
    Options = PatchCoreOptions
    options: PatchCoreOptions
    presets: ClassVar = PRESETS
    explains: ClassVar = "distances"

    def __init__(self, options: PatchCoreOptions, facts: Facts | None = None) -> None:
        super().__init__(options, facts)
        self.backbone = build_backbone(options.backbone, options.layers, strides=(8, 16), size=options.size)
        grid = PatchGrid(self.backbone, neighbourhood=options.neighbourhood, stride=options.stride)
        self.bank = banks(grid, options)
        self.heatmap = Heatmap(grid.shape, options.size, options.smoothing)

    def needs(self) -> Needs:
        """See `Detector.needs`; the cost is measured by a short probe."""
        whole = "positions lie in whole pictures" if max(self.options.positions or (1,)) > 1 else ""
        return Needs(normal=1, cost=self._cost_of_all, whole=whole)

    def _cost_of_all(self, pictures: int) -> Preflight:
        seconds = seconds_a_picture(self.backbone, self.options.size)
        return replace(self._cost(pictures), seconds_a_picture=seconds)

    def _cost(self, pictures: int, memory: int = FEATURE_MEMORY) -> Preflight:
        grid = self.bank.grid
        patches = pictures * grid.shape[0] * grid.shape[1]
        stored = 4 * patches * grid.dim <= memory
        cost = self._selection(patches, self._count(patches), stored=stored)
        return after_seeing(cost, bytes_to_see(self.backbone, [grid], self.options.size))

    def _selection(self, patches: int, count: int, *, stored: bool) -> Preflight:
        """Of choosing `count` of so many patches: from all at once, or a copy of one part after the other."""
        bank, projection = self.bank, self.options.projection
        if isinstance(bank, PatchBank):
            return estimate(patches, bank.grid.dim, count, projection=projection, stored=stored)
        share = bank.largest / bank.cells
        part, chosen = math.ceil(patches * share), math.ceil(count * share)
        one = estimate(part, bank.grid.dim, chosen, projection=projection)
        lasting = 4 * bank.grid.dim * ((patches if stored else 0) + 2 * count)
        seconds = one.seconds * len(bank.memories)
        return replace(one, seconds=seconds, bytes=lasting + one.bytes, lasting=lasting)

    def learn(self, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        """Collect the patches of `data.normal` and keep their coreset (algorithm 1).

        Raises:
            OptionError: the bank would not fit into memory.
            Stopped: see `Detector.fit`; the selection resumes where it was.
        """
        self._cost(len(data.normal), run.memory).require()
        if self.options.weights == "pretrained":
            load_pretrained(self.backbone)
        self.bank.grid.scale.fill_(1)
        patches = self._collect(data.normal, run, watch)
        if self.options.balance:
            self.bank.grid.balance(patches)
        count = self._count(len(patches))
        self.bank.keep(
            patches, count, projection=self.options.projection, run=run, watch=watch, name="coreset"
        )
        return Learnt()

    def teach(self, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        """See `Teachable`: the greedy selection goes on from the bank, at the scale that the layers have.

        A bank with a limit may grow to `run.growth` beyond it; one without by so much of its size, or by the
        coreset's share of the new patches, where that is more.

        Raises:
            Stopped: see there.
        """
        patches, size = self._collect(data.normal, run, watch), self.bank.size
        share = coreset_size(len(patches), self.options.coreset)
        most = most_members(size, self.options.bank_limit, share, run.growth)
        self.bank.grow(patches, most, projection=self.options.projection, run=run, watch=watch)
        return self.learnt

    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        """See `Detector.forward`."""
        del scalars
        return self.forward_unsmoothed(pixels)[0]

    def forward_unsmoothed(self, pixels: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """See `SmoothsCells`; the map holds each patch's distance."""
        distances, patches = self.bank(self.backbone(pixels))
        heatmap = self.heatmap(distances)  # (N, H, W)
        if self.options.score == "smoothed maximum":
            score = heatmap.flatten(1).amax(1)
        elif self.options.score == "top 1 %":
            score = top_mean(distances, TOP_SHARE, whole=round)
        elif self.options.reweighting:
            score = self._reweighted(distances.flatten(1), patches)
        else:
            score = distances.flatten(1).amax(1)
        return {"score": score, "heatmap": heatmap}, distances

    def _reweighted(self, distances: Tensor, patches: Tensor) -> Tensor:
        """Equation 7: scores (N,) from the distances (N, P) of the patches (N, P, D)."""
        bank = self.bank
        assert isinstance(bank, PatchBank)  # noqa: S101 - positions are not reweighted
        largest, peak = distances.max(1, keepdim=True)  # (N, 1)
        place = peak.unsqueeze(2).expand(-1, -1, bank.grid.dim)  # (N, 1, D)
        patch = patches.gather(1, place).squeeze(1)  # (N, D): m^test,*
        members = bank.neighbours[bank.memory(patch)[1]]  # (N, b): of m*, itself first
        if members.shape[1] == 1:  # a bank of one member has nothing to weigh
            return largest.squeeze(1)
        weight = 1 - torch.softmax(bank.memory.distance_to(patch, members), 1)[:, 0]
        return weight * largest.squeeze(1)

    def _collect(self, pictures: Pictures, run: Run, watch: Watch) -> Tensor:
        """All patches (P, D), picture by picture."""
        grid = self.bank.grid
        folder = writable_folder(run.checkpoints.folder) if run.checkpoints else None
        rows = len(pictures) * grid.shape[0] * grid.shape[1]
        patches = patch_store(rows, grid.dim, budget_bytes=run.memory, folder=folder)
        filled = 0
        for maps in map_batches(self.backbone, pictures, run, watch):
            block = patch_rows(grid(maps))
            patches[filled : filled + len(block)] = block.cpu()
            filled += len(block)
        return patches

    def _count(self, patches: int) -> int:
        count = coreset_size(patches, self.options.coreset)
        return min(count, self.options.bank_limit or count)
