"""JoinedBanks: small flaws by a fine bank of patches, misplaced and wrong parts by coarse ones, in one map.

This package's own; the parts are PatchCore's (Roth et al., CVPR 2022). Three memory banks are filled from one
pass of one frozen network:
- *fine*: the earliest layers at 8 pixels a cell, for scratches and specks. Its distances are divided by what
  good patches of that kind usually have (`ExpectedDistance`).
- *middle*: the next layer at 16 pixels, added to the fine map, each in its own deviations.
- *coarse*: that layer and the deepest one, for parts that are misplaced, missing or of the wrong kind.
The map is the larger of two: fine and middle together, or coarse. Each is first measured by the peaks that it
has on good pictures. All levels come from distances of good pictures to members of other pictures.

benchmarks/results/joined_choice.md tells what was tried, and presets.md what it gained on which products.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from flawscope.data.pictures import Pictures
from flawscope.data.training import TrainingData
from flawscope.errors import OptionError
from flawscope.files import writable_folder
from flawscope.methods.detector import BackboneOptions, Detector, Facts, Learnt, Needs, Side, Stage
from flawscope.methods.fingerprint import fingerprint
from flawscope.nn.backbones.build import build_backbone
from flawscope.nn.backbones.weights import load_pretrained
from flawscope.nn.banks.coreset import patch_store
from flawscope.nn.banks.features import PatchGrid, map_batches, patch_rows
from flawscope.nn.banks.patchbank import PatchBank
from flawscope.nn.banks.preflight import Preflight, estimate, seconds_a_picture, together
from flawscope.nn.heatmaps import Heatmap
from flawscope.nn.joining.expected import ExpectedDistance
from flawscope.nn.joining.held import Held, own_groups
from flawscope.nn.joining.joined import Joined
from flawscope.nn.run import FEATURE_MEMORY, Run
from flawscope.nn.watch import Watch
from flawscope.runtime.bundle import GRAPH

BANKS = ("fine", "middle", "coarse")
FEATURES = "features.onnx"
_LEFT_OUT = 0x1EF7


class JoinedBanksOptions(BackboneOptions):
    """Options of JoinedBanks; no paper has it, so the defaults are those that were measured best."""

    size: tuple[Side, Side] = Field((320, 320), description="input height and width in pixels")
    backbone: str = Field("tf_efficientnet_lite0", description="network of the features")
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


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    # for stations where milliseconds count
    "fast": {"size": [256, 256], "fine_bank": 3000, "middle_bank": 1000, "coarse_bank": 1000},
}


class JoinedBanks(Detector):
    """Fine and coarse banks of good patches, joined: small flaws, and parts missing or misplaced."""

    name: ClassVar = "joined_banks"
    Options = JoinedBanksOptions
    options: JoinedBanksOptions
    presets: ClassVar = PRESETS
    explains: ClassVar = "levels"

    def __init__(self, options: JoinedBanksOptions, facts: Facts | None = None) -> None:
        super().__init__(options, facts)
        strides = {*options.fine_strides, *options.middle_strides, *options.coarse_strides}
        self.backbone = build_backbone(
            options.backbone, options.layers, strides=sorted(strides), size=options.size
        )
        self.fine = self._bank("fine", options.cell)
        self.middle = self._bank("middle")
        self.coarse = self._bank("coarse")
        shape = self.fine.grid.shape
        self.expected = ExpectedDistance(self.fine.grid.dim, options.evenness)
        self.enlarge_middle = Heatmap(self.middle.grid.shape, shape, 0.0)
        self.enlarge_coarse = Heatmap(self.coarse.grid.shape, shape, 0.0)
        self.heatmap = Heatmap(shape, options.size, options.smoothing)
        self.joined = Joined(options.middle_weight, options.coarse_shift)

    def _bank(self, name: str, cell: int | None = None) -> PatchBank:
        strides: tuple[int, ...] = getattr(self.options, f"{name}_strides")
        there = self.backbone.strides
        if missing := sorted(set(strides) - set(there.values())):
            raise OptionError(
                f"option '{name}_strides' of joined_banks",
                expected=f"strides of the backbone's layers ({', '.join(map(str, sorted(there.values())))})",
                got=", ".join(map(str, missing)),
                fix="Choose among them, or name a layer at each of these strides.",
            )
        layers = [layer for layer in self.backbone.layers if there[layer] in strides]
        side = self.options.neighbourhood
        return PatchBank(
            PatchGrid(self.backbone, neighbourhood=side, stride=cell, layers=layers), levelled=True
        )

    def needs(self) -> Needs:
        """See `Detector.needs`; the cost is measured by a short probe."""
        return Needs(normal=1, cost=self._cost_of_all)

    def _cost_of_all(self, pictures: int) -> Preflight:
        seconds = seconds_a_picture(self.backbone, self.options.size)
        return together(self._costs(pictures, FEATURE_MEMORY), seconds_a_picture=seconds)

    def _costs(self, pictures: int, memory: int) -> Iterator[Preflight]:
        for name, bank in self._banks():
            patches = pictures * bank.cells
            stored = 4 * patches * bank.grid.dim <= memory // len(BANKS)
            count = min(patches, self._limit(name))
            yield estimate(patches, bank.grid.dim, count, projection=self.options.projection, stored=stored)

    def _banks(self) -> Iterator[tuple[str, PatchBank]]:
        yield from ((name, self.get_submodule(name)) for name in BANKS)  # type: ignore[misc]

    def _limit(self, name: str) -> int:
        limit: int = getattr(self.options, f"{name}_bank")
        return limit

    def learn(self, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        """Fill the banks from `data.normal`, then take all levels from pictures left out of them in turn.

        Raises:
            OptionError: the banks would not fit into memory.
            DataError: all pictures are alike in every patch, so that nothing tells how much good ones differ.
            Stopped: see `Detector.fit`; selections and training resume where they were.
        """
        together(self._costs(len(data.normal), run.memory)).require()
        if self.options.weights == "pretrained":
            load_pretrained(self.backbone)
        stores = self._collect(data.normal, run, watch)
        held = {}
        for name, bank in reversed(tuple(self._banks())):  # the largest store goes first
            held[name] = self._fill(name, bank, stores.pop(name), run, watch)
        fine = held["fine"]
        distances = fine.distances.flatten()  # (n * h * w,)
        history = self.expected.learn(
            fine.patches,
            distances,
            steps=self.options.evenness_steps,
            run=run,
            watch=watch,
            name=f"distances-{fingerprint(self.options, run, (data.normal,), self.backbone)}",
        )
        even = (distances * self.expected(fine.patches)).reshape(fine.distances.shape)  # (n, h, w)
        maps = (
            even,
            self.enlarge_middle(held["middle"].distances),
            self.enlarge_coarse(held["coarse"].distances),
        )
        self.joined.learn(*maps, self.heatmap)
        return Learnt(history=history)

    def _fill(self, name: str, bank: PatchBank, patches: Tensor, run: Run, watch: Watch) -> Held:
        """Fill one bank from the patches (P, D) of all pictures; distances of pictures left out of it."""
        bank.grid.balance(patches)
        count = min(len(patches), self._limit(name))
        chosen = bank.keep(
            patches, count, projection=self.options.projection, run=run, watch=watch, name=f"{name}-bank"
        )
        device = run.torch_device()
        bank.to(device)
        groups = own_groups(len(patches) // bank.cells, bank.grid.shape)  # (pictures, h * w)
        drawn = torch.randperm(len(groups), generator=run.generator(_LEFT_OUT))[: self.options.left_out]
        owners = groups.flatten()[chosen].to(device)
        rows, distances = [], []
        for picture in drawn.sort().values.tolist():
            watch.check_stop(run)
            row = patches[picture * bank.cells : (picture + 1) * bank.cells].to(device)  # (h * w, D)
            rows.append(row)
            distances.append(bank.left_out(row, groups[picture].to(device), owners))
        held = Held(torch.stack(distances).reshape(-1, *bank.grid.shape), torch.cat(rows))
        held.require_differences(least=min(2, len(groups)), members=bank.memory.bank, name=name)
        return held

    def _collect(self, pictures: Pictures, run: Run, watch: Watch) -> dict[str, Tensor]:
        """All patches (P, D) by bank, picture by picture, from one pass of the network."""
        folder = writable_folder(run.checkpoints.folder) if run.checkpoints else None
        stores: dict[str, Tensor] = {}
        for name, bank in self._banks():
            bank.grid.scale.fill_(1)
            rows = len(pictures) * bank.cells
            budget = run.memory // len(BANKS)
            stores[name] = patch_store(rows, bank.grid.dim, budget_bytes=budget, folder=folder)
        seen = 0
        for maps in map_batches(self.backbone, pictures, run, watch):
            for name, bank in self._banks():
                block = patch_rows(bank.grid(maps)).cpu()
                stores[name][seen * bank.cells : seen * bank.cells + len(block)] = block
            seen += len(block) // bank.cells
        return stores

    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        """See `Detector.forward`."""
        del scalars
        return self.forward_unsmoothed(pixels)[0]

    def forward_unsmoothed(self, pixels: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """See `SmoothsCells`; the map is the joined one, in deviations of the peaks of good pictures."""
        joined = self._map(**self._features(pixels))
        return self._answer(joined), joined

    def stages(self) -> tuple[Stage, ...]:
        """Features in float32, whose rounding would grow with the network's depth; then the search.

        The search may run in half precision: its inputs are rounded once (`MemoryBank.extended`).
        """
        between = (*BANKS, "factors")
        outputs = tuple(output.name for output in self.outputs)
        return (
            Stage(FEATURES, ("pixels",), between, self._features, half=False),
            Stage(GRAPH, between, outputs, lambda **rows: self._answer(self._map(**rows))),
        )

    def _features(self, pixels: Tensor) -> dict[str, Tensor]:
        """Extended patches (N, h * w, D + 4) by bank, and the fine ones' factors (N, h * w)."""
        maps = self.backbone(pixels)
        patches = {name: patch_rows(bank.grid(maps)) for name, bank in self._banks()}  # (N * h * w, D)
        found = {name: bank.extended(patches[name]) for name, bank in self._banks()}
        found["factors"] = self.expected(patches["fine"]).reshape(-1, self.fine.cells)
        return found

    def _map(self, fine: Tensor, middle: Tensor, coarse: Tensor, factors: Tensor) -> Tensor:
        """The joined map (N, h, w), in deviations of the peaks of good pictures."""
        distances = self.fine.distances(fine)  # (N, h, w)
        even = distances * factors.reshape(-1, *self.fine.grid.shape)
        large: Tensor = self.joined(
            even,
            self.enlarge_middle(self.middle.distances(middle)),
            self.enlarge_coarse(self.coarse.distances(coarse)),
        )
        return large

    def _answer(self, joined: Tensor) -> dict[str, Tensor]:
        heatmap = self.heatmap(joined)  # (N, H, W)
        return {"score": heatmap.flatten(1).amax(1), "heatmap": heatmap}
