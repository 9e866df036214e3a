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

from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flawscope.data.pictures import Pictures
from flawscope.data.training import TrainingData
from flawscope.errors import DataError
from flawscope.files import writable_folder
from flawscope.methods.detector import HEATMAP, SCORE, Detector, Output
from flawscope.methods.patchcore.options import BankOptions, PatchCoreOptions
from flawscope.nn.backbones.build import build_backbone
from flawscope.nn.backbones.weights import load_pretrained
from flawscope.nn.banks.coreset import coreset_size, patch_store
from flawscope.nn.banks.features import PatchGrid, map_batches, patch_rows
from flawscope.nn.banks.patchbank import PatchBank
from flawscope.nn.banks.preflight import Preflight, estimate
from flawscope.nn.heatmaps import Heatmap
from flawscope.nn.run import FEATURE_MEMORY, Run

NEAREST = Output("nearest", "index_map", "index of each patch's nearest member of the memory bank")
TOP_SHARE = 0.01


class PatchCore(Detector):
    """A bank of patch features from good pictures; the score is the distance to it."""

    Options = PatchCoreOptions
    options: PatchCoreOptions
    outputs: ClassVar = (SCORE, HEATMAP, NEAREST)
    fitted: ClassVar = tuple(
        f"banks.*.{name}" for name in ("memory.bank", "memory.half_norms", "neighbours", "origins", "spacing")
    )
    minimum_normals: ClassVar = 1

    levels: Tensor

    def __init__(self, options: PatchCoreOptions) -> None:
        super().__init__(options)
        layers = (
            tuple(dict.fromkeys(layer for bank in options.banks for layer in bank.layers)) or options.layers
        )
        self.backbone = build_backbone(options.backbone, layers, strides=(8, 16), size=options.size)
        single = BankOptions(
            layers=self.backbone.layers,
            stride=options.stride,
            limit=options.bank_limit,
            density=options.density,
            density_power=options.density_power,
        )
        self.settings = options.banks or (single,)
        self.banks = nn.ModuleList(self._bank(bank) for bank in self.settings)
        self.grid = max(bank.grid.shape for bank in self._banks)
        self.heatmap = Heatmap(self.grid, options.size, options.smoothing)
        self.register_buffer(
            "levels", torch.tensor([[0.0, 1.0]] * len(self.banks))
        )  # (B, 2): mean, deviation

    @property
    def uses_tuning(self) -> bool:
        """Several banks are levelled on tuning pictures; one bank needs none."""
        return len(self.banks) > 1

    def preflight(self, pictures: int) -> Preflight:
        """What fitting on so many pictures takes, measured by a short probe."""
        return self._cost(pictures, FEATURE_MEMORY)

    def _cost(self, pictures: int, memory: int) -> Preflight:
        parts = []
        for bank, settings in zip(self._banks, self.settings, strict=True):
            patches = pictures * bank.grid.shape[0] * bank.grid.shape[1]
            count = self._count(patches, settings)
            stored = 4 * patches * bank.grid.dim <= memory // len(self.banks)
            parts.append(
                estimate(patches, bank.grid.dim, count, projection=self.options.projection, stored=stored)
            )
        seconds, taken = sum(part.seconds for part in parts), sum(part.bytes for part in parts)
        return Preflight(seconds, taken, parts[0].available_bytes)

    def fit(self, data: TrainingData, run: Run) -> Self:
        """Collect the patches of `data.normal` and keep the coreset of each bank (algorithm 1).

        `data.tuning` serves only to level several banks.

        Raises:
            DataError: no picture, or several banks and no tuning picture.
            OptionError: the bank would not fit into memory.
            Stopped: see `Detector.fit`; the selection resumes where it was.
        """
        self.check_enough(data)
        if len(self.banks) > 1 and len(data.tuning) == 0:
            raise DataError(
                "tuning pictures",
                expected="at least one, on which several banks are levelled",
                got="0",
                fix="Keep some good pictures for tuning, or use one bank.",
            )
        self._cost(len(data.normal), run.memory).require()
        if self.options.weights == "pretrained":
            load_pretrained(self.backbone)
        self.to(run.torch_device()).eval()
        for bank in self._banks:
            bank.grid.scale.fill_(1)
        stores = self._collect(data.normal, run)
        for index, (bank, settings) in enumerate(zip(self._banks, self.settings, strict=True)):
            if self.options.balance:
                bank.grid.balance(stores[index])
            count = self._count(len(stores[index]), settings)
            bank.keep(
                stores[index], count, projection=self.options.projection, run=run, name=f"coreset{index}"
            )
        self.to(run.torch_device())
        if len(self.banks) > 1:
            self._level(data.tuning, run)
        return self

    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        """See `Detector.forward`; `nearest` is (N, h, w) at the first bank's grid."""
        del scalars
        maps = self.backbone(pixels)
        distances, indices, patches = self._banks[0](maps)
        if len(self.banks) == 1:
            joined = distances
        else:
            others = [bank(maps)[0] for bank in self._banks[1:]]
            joined = self._join([distances, *others])  # (N, h, w)
        heatmap = self.heatmap(joined)  # (N, H, W)
        if self.options.score == "smoothed maximum":
            score = heatmap.flatten(1).amax(1)
        elif self.options.score == "top 1 %":
            score = top_mean(joined.flatten(1))
        elif self.options.reweighting:
            score = self._reweighted(joined.flatten(1), indices.flatten(1), patches)
        else:
            score = joined.flatten(1).amax(1)
        return {"score": score, "heatmap": heatmap, "nearest": indices}

    def _reweighted(self, distances: Tensor, indices: Tensor, patches: Tensor) -> Tensor:
        """Equation 7: scores (N,) from distances and nearest members (N, P) of the patches (N, P, D)."""
        bank = self._banks[0]
        largest, peak = distances.max(1, keepdim=True)  # (N, 1)
        place = peak.unsqueeze(2).expand(-1, -1, bank.grid.dim)  # (N, 1, D)
        patch = patches.gather(1, place).squeeze(1)  # (N, D): m^test,*
        members = bank.neighbours[indices.gather(1, peak).squeeze(1)]  # (N, b): of m*, itself first
        if members.shape[1] == 1:  # a bank of one member has nothing to weigh
            return largest.squeeze(1)
        weight = 1 - torch.softmax(bank.memory.distance_to(patch, members), 1)[:, 0]
        return weight * largest.squeeze(1)

    def _join(self, maps: list[Tensor]) -> Tensor:
        """Sum of the banks' maps, levelled, on the finest grid: (N, h, w)."""
        joined = []
        for distances, level in zip(maps, self.levels, strict=True):
            levelled = ((distances - level[0]) / level[1]).unsqueeze(1)  # (N, 1, h, w)
            if levelled.shape[2:] != self.grid:
                levelled = F.interpolate(levelled, size=self.grid, mode="bilinear", align_corners=False)
            joined.append(levelled.squeeze(1))
        return torch.stack(joined).sum(0)

    def _level(self, tuning: Pictures, run: Run) -> None:
        """Set each bank's mean and standard deviation over the patches of pictures that it has not seen."""
        found: list[list[Tensor]] = [[] for _ in self.banks]
        for maps in map_batches(self.backbone, tuning, run):
            with torch.no_grad():
                for distances, bank in zip(found, self._banks, strict=True):
                    distances.append(bank(maps)[0].flatten().double())
        values = [torch.cat(distances) for distances in found]
        self.levels = torch.stack(
            [torch.stack([value.mean(), value.std().clamp_min(1e-12)]) for value in values]
        ).float()

    def _collect(self, pictures: Pictures, run: Run) -> list[Tensor]:
        """All patches of each bank, (P, D), picture by picture."""
        stores = []
        folder = run.checkpoints.folder if run.checkpoints else None
        if folder:
            writable_folder(folder)
        for bank in self._banks:
            rows = len(pictures) * bank.grid.shape[0] * bank.grid.shape[1]
            stores.append(
                patch_store(rows, bank.grid.dim, budget_bytes=run.memory // len(self.banks), folder=folder)
            )
        filled = [0] * len(stores)
        for maps in map_batches(self.backbone, pictures, run):
            for index, bank in enumerate(self._banks):
                block = patch_rows(bank.grid(maps))
                stores[index][filled[index] : filled[index] + len(block)] = block.cpu()
                filled[index] += len(block)
        return stores

    def _count(self, patches: int, settings: BankOptions) -> int:
        count = coreset_size(patches, self.options.coreset)
        return min(count, settings.limit or count)

    def _bank(self, settings: BankOptions) -> PatchBank:
        grid = PatchGrid(
            self.backbone, settings.layers, neighbourhood=self.options.neighbourhood, stride=settings.stride
        )
        return PatchBank(
            grid,
            around=max(1, self.options.reweighting),
            density=settings.density,
            density_power=settings.density_power,
        )

    @property
    def _banks(self) -> list[PatchBank]:
        return [bank for bank in self.banks if isinstance(bank, PatchBank)]


def top_mean(values: Tensor) -> Tensor:
    """Mean of the largest hundredth of each row: (N,) of (N, P)."""
    count = max(1, round(TOP_SHARE * values.shape[1]))
    return values.topk(count, dim=1).values.mean(1)
