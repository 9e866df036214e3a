"""Surfaces of components: how far each cell lies from good cells of its component (section 2.5)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flawscope.nn.banks.features import balancing, joined, patch_rows
from flawscope.nn.banks.neighbours import MemoryBank, resolution
from flawscope.nn.banks.patchbank import BLOCK_BYTES, further_members, select_patches
from flawscope.nn.moments import Levels
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch

_LEAST_RANGE = 0.1  # of the range of all components' distances, below which no component's own is taken

Maps = Mapping[int, Tensor]


class SurfaceBank(nn.Module):
    """Good features of one component, from one layer or from several that are joined.

    Args:
        channels: of each layer, D in all.
        cells: of the finest layer's map, for which blocks are planned.

    Attributes:
        least: () distance that float32 can still tell; what lies below counts as that.
        scale: (D,) factors by which joined layers have equal say; None of one layer.
    """

    least: Tensor
    scale: Tensor | None

    def __init__(self, channels: Sequence[int], cells: int) -> None:
        super().__init__()
        self.channels, self.cells = tuple(channels), cells
        dim = sum(channels)
        self.memory = self._memory(torch.zeros(1, dim))
        self.register_buffer("least", torch.zeros(()))
        self.register_buffer("scale", torch.ones(dim) if len(self.channels) > 1 else None)

    def keep(self, rows: Tensor, count: int, *, projection: int, run: Run, watch: Watch, name: str) -> None:
        """Store the coreset of `count` of the features (n, D), joined ones as `balance` has left them.

        The selection is kept under `name`.
        """
        chosen = select_patches(rows, count, projection=projection, run=run, watch=watch, name=name)
        self.memory = self._memory(rows[chosen])
        self.least = resolution(self.memory.bank)

    def grow(self, rows: Tensor, most: int, *, projection: int, run: Run, watch: Watch) -> None:
        """Add those of further features (n, D) that the bank does not cover, up to `most` in all."""
        rows = rows if self.scale is None else rows * self.scale.to(rows)
        chosen = further_members(self.memory.members, rows, most, projection=projection, run=run, watch=watch)
        self.memory.grow(rows[chosen])
        self.least = torch.maximum(self.least, resolution(self.memory.bank))

    def forward(self, maps: Tensor) -> Tensor:
        """L2 distance (N, h, w) of each cell of maps (N, D, h, w) to the nearest stored feature."""
        rows = patch_rows(maps)  # (N * h * w, D)
        rows = rows if self.scale is None else rows * self.scale
        distances = self.memory.distances(self.memory.extended(rows))  # (N * h * w,)
        return torch.maximum(distances, self.least).reshape(-1, *maps.shape[2:])  # (N, h, w)

    def _memory(self, members: Tensor) -> MemoryBank:
        return MemoryBank(members, budget_bytes=BLOCK_BYTES, queries=self.cells, rounded=True)


Joined = tuple[int, ...]  # layers, the finest first


class Surfaces(nn.Module):
    """A bank for each component and each of its layers, alone or joined, and their distances on one scale.

    Args:
        plan: label and layers of each bank, B of them.
        judged: J labels whose peaks come out.
        channels: of each layer.
        grids: height and width of each layer's map.
        neighbourhood: side of the square over which features are averaged.
        shared: weight of the nearest stored feature of any component with the same layers, beside that of
            the cell's own.

    Attributes:
        levels: of each bank: its smallest distance in tuning pictures becomes 0, the largest 1.
    """

    def __init__(
        self,
        plan: Sequence[tuple[int, Joined]],
        judged: Sequence[int],
        channels: Mapping[int, int],
        grids: Mapping[int, tuple[int, int]],
        *,
        neighbourhood: int,
        shared: float = 0.0,
    ) -> None:
        super().__init__()
        self.plan, self.judged = tuple(plan), tuple(judged)
        self.neighbourhood, self.shared = neighbourhood, shared
        self.sets, self.grids = tuple(sorted({layers for _, layers in plan})), dict(grids)
        self.banks = nn.ModuleList(
            SurfaceBank([channels[layer] for layer in layers], math.prod(grids[layers[0]]))
            for _, layers in plan
        )
        self.levels = Levels(len(self.plan), "quantiles")

    def each(self) -> list[SurfaceBank]:
        """The banks, in the order of the plan."""
        return [bank for bank in self.banks if isinstance(bank, SurfaceBank)]

    def balance(self, rows: Sequence[Tensor]) -> None:
        """Give joined layers equal say, the same in all components; each bank's rows are scaled in place.

        Were each component scaled by its own features, those that have few would have units of their own.
        """
        for layers in (layers for layers in self.sets if len(layers) > 1):
            own = [index for index, (_, others) in enumerate(self.plan) if others == layers]
            scale = balancing([rows[index] for index in own], self.each()[own[0]].channels)
            for index in own:
                self.each()[index].scale = scale.clone()  # files of tensors hold each once

    def pooled(self, maps: Maps) -> dict[Joined, Tensor]:
        """The maps (N, C, h, w) that there are banks for, averaged over neighbourhoods and joined."""
        side = self.neighbourhood
        pooled = {
            layer: F.avg_pool2d(maps[layer], side, 1, side // 2) if side > 1 else maps[layer]
            for layer in sorted({layer for layers in self.sets for layer in layers})
        }
        return {
            layers: joined([pooled[layer] for layer in layers], self.grids[layers[0]]) for layers in self.sets
        }

    def distances(self, maps: Maps, cells: Maps) -> Iterator[tuple[Tensor, Tensor]]:
        """For each bank the distances (N, h, w) of all cells, and which of them are its component's."""
        pooled = self.pooled(maps)
        if not self.shared:
            for (label, layers), bank in zip(self.plan, self.each(), strict=True):
                yield bank(pooled[layers]), cells[layers[0]] == label
            return
        found = [bank(pooled[layers]) for (_, layers), bank in zip(self.plan, self.each(), strict=True)]
        nearest = dict[Joined, Tensor]()  # (N, h, w) each
        for own, (_, layers) in zip(found, self.plan, strict=True):
            nearest[layers] = torch.minimum(nearest.get(layers, own), own)
        for own, (label, layers) in zip(found, self.plan, strict=True):
            weighed = (1 - self.shared) * own + self.shared * nearest[layers]
            yield weighed, cells[layers[0]] == label

    def extremes(self, maps: Maps, cells: Maps) -> Tensor:
        """Smallest and largest distance (N, B, 2) of each bank's own cells; infinite where there is none."""
        found = [
            torch.stack(
                [
                    torch.where(inside, distances, torch.inf).flatten(1).amin(1),
                    torch.where(inside, distances, -torch.inf).flatten(1).amax(1),
                ],
                1,
            )
            for distances, inside in self.distances(maps, cells)
        ]
        return torch.stack(found, 1)

    def scale(self, extremes: Tensor) -> None:
        """Take the levels from the `extremes` (m, B, 2) of all tuning pictures.

        A component that none of them shows gets the bounds of all others together; one of which they show so
        few cells that its own hardly differ gets a tenth of that range.
        """
        low, high = extremes[..., 0].amin(0), extremes[..., 1].amax(0)  # (B,)
        shown = high >= low
        if shown.any():
            low = torch.where(shown, low, low[shown].amin())
            high = torch.where(shown, high, high[shown].amax())
            high = torch.maximum(high, low + _LEAST_RANGE * (high.amax() - low.amin()))
            self.levels.learn(torch.stack([low, high], 1).unbind(0))

    def peaks(self, extremes: Tensor) -> Tensor:
        """What `forward` gives for the peaks (m, J) of pictures of such extremes (m, B, 2)."""
        largest = extremes[..., 1].clamp_min(0).to(self.levels.zero)  # (m, B)
        scaled = ((largest - self.levels.zero) * self.levels.gain).clamp_min(0)
        own = [[index for index, (label, _) in enumerate(self.plan) if label == one] for one in self.judged]
        return torch.stack([F.pad(scaled[:, index], (1, 0)).amax(1) for index in own], 1)

    def forward(self, maps: Maps, cells: Maps) -> tuple[dict[Joined, Tensor], Tensor]:
        """Maps (N, h, w) by layers, 0 outside of components, and the peak (N, J) of each judged component.

        Both are raw in the paper's words: neither enlarged nor smoothed. 1 is the largest of tuning pictures.
        """
        levelled = {layers: cells[layers[0]] * 0.0 for layers in self.sets}
        nothing = next(iter(cells.values())).flatten(1).amax(1) * 0.0  # (N,)
        peaks = dict.fromkeys(self.judged, nothing)
        for index, (distances, inside) in enumerate(self.distances(maps, cells)):
            label, layers = self.plan[index]
            scaled = (distances - self.levels.zero[index]) * self.levels.gain[index]
            levelled[layers] = torch.where(inside, scaled.clamp_min(0), levelled[layers])
            own = torch.where(inside, scaled, 0.0).flatten(1).amax(1)  # (N,)
            peaks[label] = torch.maximum(peaks[label], own)
        return levelled, torch.stack([peaks[label] for label in self.judged], 1)
