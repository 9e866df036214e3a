"""Three banks of a network's patches in one map: small flaws by a fine one, wrong parts by coarse ones.

This package's own; the parts are PatchCore's (Roth et al., CVPR 2022). Three memory banks are filled from one
pass of one frozen network:
- *fine*: the earliest layers at 8 pixels a cell, for scratches and specks. Its distances are divided by what
  good patches of that kind usually have (`ExpectedDistance`).
- *middle*: the next layer at 16 pixels, added to the fine map, each in its own deviations.
- *coarse*: that layer and the deepest one, for parts that are misplaced, missing or of the wrong kind.
The map is the larger of two: fine and middle together, or coarse. Each is first measured by the peaks that it
has on good pictures. All levels come from distances of good pictures to members of other pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from flawscope.data.pictures import Pictures
from flawscope.data.tiles import units_of
from flawscope.files import writable_folder
from flawscope.nn.backbones.build import Backbone
from flawscope.nn.backbones.strides import layers_at
from flawscope.nn.banks.features import PatchGrid, bytes_to_see, map_batches, patch_rows
from flawscope.nn.banks.patchbank import PatchBank
from flawscope.nn.banks.preflight import Preflight, after_seeing, estimate, seconds_a_search, together
from flawscope.nn.banks.store import patch_store
from flawscope.nn.heatmaps import Heatmap
from flawscope.nn.joining.expected import ExpectedDistance
from flawscope.nn.joining.held import Held, own_groups
from flawscope.nn.joining.joined import Joined
from flawscope.nn.run import Run
from flawscope.nn.training.fingerprint import fingerprint
from flawscope.nn.watch import Watch
from flawscope.runtime.frozen import Frozen

BANKS = ("fine", "middle", "coarse")
FEATURES = (*BANKS, "factors")  # what `JoinedPatches.features` gives and `JoinedPatches.search` takes
Also = Callable[[Tensor], None]  # takes all patches (P, D) of the fine bank, picture by picture
_LEFT_OUT = 0x1EF7
_LEFT_OUT_SEARCHES = 2  # that leaving the own picture's members out takes as long as


class JoinedPatchesOptions(Frozen):
    """Options of the joined banks; no paper has them, so the defaults are those that were measured best."""

    fine_strides: tuple[int, ...] = Field(
        (4, 8), min_length=1, description="strides of the fine bank's layers"
    )
    middle_strides: tuple[int, ...] = Field((16,), min_length=1, description="strides of the middle bank's")
    coarse_strides: tuple[int, ...] = Field(
        (16, 32), min_length=1, description="strides of the coarse bank's"
    )
    cell: int = Field(8, ge=1, description="pixels a cell of the fine bank")
    fine_bank: int = Field(6000, ge=1, description="most patches in the fine bank")
    middle_bank: int = Field(2000, ge=1, description="most patches in the middle bank")
    coarse_bank: int = Field(2000, ge=1, description="most patches in the coarse bank")
    fine_axes: int | None = Field(
        None, ge=1, description="principal axes on which the fine bank finds distances; null: all dimensions"
    )
    middle_axes: int | None = Field(None, ge=1, description="the same of the middle bank")
    coarse_axes: int | None = Field(None, ge=1, description="the same of the coarse bank")
    neighbourhood: Literal[1, 3, 5, 7, 9] = Field(
        3, description="side of the square over which features are averaged"
    )
    projection: int = Field(64, ge=1, description="dimensions of the random projection for the selection")
    evenness: float = Field(
        0.35, ge=0, le=1, description="how much of a patch's usual distance its own is divided by"
    )
    evenness_steps: int = Field(400, ge=1, description="training steps of what tells usual distances")
    middle_weight: float = Field(0.5, ge=0, description="weight of the middle map beside the fine one")
    coarse_shift: float = Field(
        -0.5, description="added to the coarse map, in deviations of its peaks, before the larger one counts"
    )
    left_out: int = Field(
        64, ge=1, description="good pictures whose distances to the others' patches give the levels"
    )
    smoothing: float = Field(
        6.0, ge=0, le=64, description="σ in pixels of the Gaussian over the heatmap, whose peak is the score"
    )

    @property
    def strides(self) -> tuple[int, ...]:
        """Strides of the layers that the banks read, rising."""
        return tuple(sorted({*self.fine_strides, *self.middle_strides, *self.coarse_strides}))


class JoinedPatches(nn.Module):
    """The banks, their levels and the way to one map, of the maps of a backbone that its owner keeps.

    Args:
        options: of the banks.
        backbone: whose maps come in, at `options.strides` and perhaps others; it is not kept.
        size: height and width of the pictures, in pixels.

    Attributes:
        heatmap: enlarges and smooths a map of `forward` to (N, H, W); its peak is a picture's score.

    Raises:
        OptionError: a bank reads layers that the backbone lacks.
    """

    def __init__(self, options: JoinedPatchesOptions, backbone: Backbone, size: tuple[int, int]) -> None:
        super().__init__()
        self.options, self.size = options, size
        self.fine = self._bank("fine", backbone, options.cell)
        self.middle = self._bank("middle", backbone)
        self.coarse = self._bank("coarse", backbone)
        shape = self.fine.grid.shape
        self.expected = ExpectedDistance(self.fine.grid.dim, options.evenness)
        self.enlarge_middle = Heatmap(self.middle.grid.shape, shape, 0.0)
        self.enlarge_coarse = Heatmap(self.coarse.grid.shape, shape, 0.0)
        self.heatmap = Heatmap(shape, size, options.smoothing)
        self.joined = Joined(options.middle_weight, options.coarse_shift)

    def _bank(self, name: str, backbone: Backbone, cell: int | None = None) -> PatchBank:
        strides: tuple[int, ...] = getattr(self.options, f"{name}_strides")
        layers = layers_at(backbone, strides, option=f"{name}_strides", of="the joined banks")
        side, axes = self.options.neighbourhood, getattr(self.options, f"{name}_axes")
        grid = PatchGrid(backbone, neighbourhood=side, stride=cell, layers=layers)
        return PatchBank(grid, levelled=True, axes=axes)

    def banks(self) -> Iterator[tuple[str, PatchBank]]:
        """The three banks by name, the fine one first."""
        yield from ((name, self.get_submodule(name)) for name in BANKS)  # type: ignore[misc]

    def cost(
        self, pictures: int, memory: int, backbone: Backbone, *, seconds_a_picture: float = 0.0
    ) -> Preflight:
        """Expected cost of `learn` on so many pictures, with `memory` bytes for their features."""
        selection = replace(self._selection(pictures, memory, backbone), seconds_a_picture=seconds_a_picture)
        search = sum(
            seconds_a_search(bank.cells, bank.grid.dim, min(pictures * bank.cells, self._limit(name)))
            for name, bank in self.banks()
        )
        held = _LEFT_OUT_SEARCHES * search * min(pictures, self.options.left_out)
        seconds = selection.seconds + held + self.expected.seconds(self.options.evenness_steps)
        return replace(selection, seconds=seconds, seconds_a_search=search)

    def _selection(self, pictures: int, memory: int, backbone: Backbone) -> Preflight:
        """Cost of filling the banks, from the pass of the network on."""
        grids = [bank.grid for _, bank in self.banks()]
        return after_seeing(together(self._costs(pictures, memory)), bytes_to_see(backbone, grids, self.size))

    def _costs(self, pictures: int, memory: int) -> Iterator[Preflight]:
        for name, bank in self.banks():
            patches = pictures * bank.cells
            stored = 4 * patches * bank.grid.dim <= memory // len(BANKS)
            count = min(patches, self._limit(name))
            yield estimate(patches, bank.grid.dim, count, projection=self.options.projection, stored=stored)

    def _limit(self, name: str) -> int:
        limit: int = getattr(self.options, f"{name}_bank")
        return limit

    def learn(
        self, pictures: Pictures, backbone: Backbone, run: Run, watch: Watch, also: Also | None = None
    ) -> list[dict[str, float]]:
        """Fill the banks from good pictures, then take all levels from pictures left out of them in turn.

        Args:
            pictures: good ones.
            backbone: of `__init__`, with its weights.
            run: its checkpoints keep the selections and the training.
            watch: sees how far it is.
            also: learns from the patches of the fine bank, too.

        Returns:
            the loss of what tells usual distances, over its steps.

        Raises:
            OptionError: the banks would not fit into memory.
            DataError: all pictures are alike in every patch, so that nothing tells how much good ones differ.
            Stopped: the stop signal was set; selections and training resume where they were.
        """
        self._selection(len(pictures), run.memory, backbone).require()
        for _, bank in self.banks():
            bank.grid.scale.fill_(1)
        stores, owners = self._collect(pictures, backbone, run, watch), units_of(pictures.samples)
        held = {}
        for name, bank in reversed(tuple(self.banks())):  # the largest store goes first
            patches = stores.pop(name)
            held[name] = self._fill(name, bank, patches, owners, run=run, watch=watch)
        if also is not None:
            also(patches)
        del patches
        fine = held["fine"]
        distances = fine.distances.flatten()  # (n * h * w,)
        history = self.expected.learn(
            fine.patches,
            distances,
            steps=self.options.evenness_steps,
            run=run,
            watch=watch,
            name=f"distances-{fingerprint(self.options, run, (pictures,), backbone)}",
        )
        even = (distances * self.expected(fine.patches)).reshape(fine.distances.shape)  # (n, h, w)
        maps = (
            even,
            self.enlarge_middle(held["middle"].distances),
            self.enlarge_coarse(held["coarse"].distances),
        )
        self.joined.learn(*maps, self.heatmap)
        return history

    def teach(
        self, pictures: Pictures, backbone: Backbone, run: Run, watch: Watch, also: Also | None = None
    ) -> None:
        """Add to the banks what further good pictures show and the banks do not cover.

        Each bank may grow by `run.growth` of its limit. Levels, and what tells usual distances, stay those of
        the first pictures. The new ones were chosen for being rejected and are no sample of good parts:
        levels of theirs would make little of the very map that told them from others. And as members are only
        added, distances of the first pictures hardly change.

        Raises:
            Stopped: the stop signal was set.
        """
        stores = self._collect(pictures, backbone, run, watch)
        for name, bank in reversed(tuple(self.banks())):  # the largest store goes first
            most = round(self._limit(name) * (1 + run.growth))
            patches = stores.pop(name)
            bank.grow(patches, most, projection=self.options.projection, run=run, watch=watch)
        if also is not None:
            also(patches)

    def _fill(
        self, name: str, bank: PatchBank, patches: Tensor, owners: Sequence[int], *, run: Run, watch: Watch
    ) -> Held:
        """Fill one bank from the patches (P, D) of all pictures; distances of pictures left out of it.

        `owners` are those of `own_groups`: what is left out is a part, or a picture, with all its tiles.
        """
        bank.grid.balance(patches)
        count = min(len(patches), self._limit(name))
        chosen = bank.keep(
            patches, count, projection=self.options.projection, run=run, watch=watch, name=f"{name}-bank"
        )
        device = run.torch_device()
        bank.to(device)
        groups = own_groups(owners, bank.grid.shape)  # (pictures, h * w)
        drawn = torch.randperm(len(groups), generator=run.generator(_LEFT_OUT))[: self.options.left_out]
        members = groups.flatten()[chosen].to(device)
        rows, distances = [], []
        for picture in drawn.sort().values.tolist():
            watch.check_stop(run)
            row = patches[picture * bank.cells : (picture + 1) * bank.cells].to(device)  # (h * w, D)
            rows.append(row)
            distances.append(bank.left_out(row, groups[picture].to(device), members))
        held = Held(torch.stack(distances).reshape(-1, *bank.grid.shape), torch.cat(rows))
        held.require_differences(least=min(2, len(groups)), members=bank.memory.bank, name=name)
        return held

    def _collect(self, pictures: Pictures, backbone: Backbone, run: Run, watch: Watch) -> dict[str, Tensor]:
        """All patches (P, D) by bank, picture by picture, from one pass of the network."""
        folder = writable_folder(run.checkpoints.folder) if run.checkpoints else None
        stores: dict[str, Tensor] = {}
        for name, bank in self.banks():
            rows = len(pictures) * bank.cells
            budget = run.memory // len(BANKS)
            stores[name] = patch_store(rows, bank.grid.dim, budget_bytes=budget, folder=folder)
        seen = 0
        for maps in map_batches(backbone, pictures, run, watch):
            for name, bank in self.banks():
                block = patch_rows(bank.grid(maps)).cpu()
                stores[name][seen * bank.cells : seen * bank.cells + len(block)] = block
            seen += len(block) // bank.cells
        return stores

    def forward(self, maps: Mapping[str, Tensor]) -> Tensor:
        """The joined map (N, h, w) of maps {layer: (N, C, h, w)}, in deviations of good pictures' peaks."""
        return self.search(**self.features(maps))

    def features(self, maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The first half of `forward`: extended patches (N, h * w, width) by bank, and `factors` (N, h * w).

        It belongs in float32, as the network before it. `search` may run in half precision: what it takes is
        rounded once (`MemoryBank.extended`).
        """
        patches = {name: patch_rows(bank.grid(maps)) for name, bank in self.banks()}  # (N * h * w, D)
        found = {name: bank.extended(patches[name]) for name, bank in self.banks()}
        found["factors"] = self.expected(patches["fine"]).reshape(-1, self.fine.cells)
        return found

    def search(self, fine: Tensor, middle: Tensor, coarse: Tensor, factors: Tensor) -> Tensor:
        """The second half of `forward`: the joined map (N, h, w) of what `features` gave."""
        distances = self.fine.distances(fine)  # (N, h, w)
        even = distances * factors.reshape(-1, *self.fine.grid.shape)
        large: Tensor = self.joined(
            even,
            self.enlarge_middle(self.middle.distances(middle)),
            self.enlarge_coarse(self.coarse.distances(coarse)),
        )
        return large
