"""JoinedBanks: small flaws by a fine bank of patches, misplaced and wrong parts by coarse ones, in one map.

This package's own; `flawscope.nn.joining.banks` tells what the banks are and how their maps become one.
benchmarks/results/joined_choice.md tells what was tried, and presets.md what it gained on which products.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field, JsonValue
from torch import Tensor

from flawscope.data.pictures import Pictures
from flawscope.data.tiles import units_of
from flawscope.data.training import TrainingData
from flawscope.methods.detector import (
    HEATMAP,
    SCORE,
    BackboneOptions,
    Detector,
    Facts,
    Learnt,
    Needs,
    Side,
    Stage,
)
from flawscope.methods.turning import POSES
from flawscope.nn.backbones.build import Backbone, build_backbone
from flawscope.nn.backbones.weights import load_pretrained
from flawscope.nn.banks.preflight import Preflight, seconds_a_picture
from flawscope.nn.joining import banks
from flawscope.nn.joining.absent import SHOWN, AbsentPatches
from flawscope.nn.joining.banks import JoinedPatches, JoinedPatchesOptions
from flawscope.nn.run import FEATURE_MEMORY, Run
from flawscope.nn.upright import learning as upright
from flawscope.nn.upright.pose import EARLIER, SLOPE, Upright
from flawscope.nn.upright.turned import Turned
from flawscope.nn.watch import UNWATCHED, Watch, batches
from flawscope.runtime.bundle import GRAPH
from flawscope.runtime.explain.absence import ABSENT, POSE, READER, UPRIGHT
from flawscope.runtime.images import size_of
from flawscope.runtime.manifest import OutputSpec
from flawscope.runtime.turned_placement import TurnedPlacement

FEATURES = "features.onnx"
_BATCH = 8
MOST_TILES = 600  # with 300 of 540 BSData lost 0.7 points of image AUROC and 1.3 of AU-PRO


class JoinedBanksOptions(JoinedPatchesOptions, BackboneOptions):
    """Options of JoinedBanks; no paper has it, so the defaults are those that were measured best."""

    size: tuple[Side, Side] = Field((320, 320), description="input height and width in pixels")
    backbone: str = Field("tf_efficientnet_lite0", description="network of the features")
    absent: int = Field(
        0,
        ge=0,
        le=4096,
        description="kinds of good patches that a picture is searched for, so that what is missing counts "
        "even where nothing unusual is in its place; 0: none",
    )
    upright: bool = Field(
        False,
        description="turn parts that lie at any angle to how one of them lies, where good pictures show such "
        "parts",
    )


_KINDS = OutputSpec(
    name=ABSENT,
    kind="vector",
    about="how far out the distance from each kind of good patch to the nearest patch lies, 1: as in no good "
    "picture that was learnt from",
)
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {"middle_axes": 64, "coarse_axes": 128, "absent": 256, "upright": True},
    # for stations where milliseconds count
    "fast": {
        "size": [256, 256],
        "fine_bank": 3000,
        "middle_bank": 1000,
        "coarse_bank": 1000,
        "absent": 256,
        "upright": True,
    },
}


class JoinedBanks(Detector):
    """Fine and coarse banks of good patches, joined: small flaws, and parts missing or misplaced."""

    name: ClassVar = "joined_banks"
    Options = JoinedBanksOptions
    options: JoinedBanksOptions
    presets: ClassVar = PRESETS
    explains: ClassVar = READER

    def __init__(self, options: JoinedBanksOptions, facts: Facts | None = None) -> None:
        super().__init__(options, facts)
        self.backbone = self._network()
        if facts and (turning := facts.get(UPRIGHT)):
            slope = EARLIER if turning is True else SLOPE  # before, the size was not told
            self.backbone = Turned(self.backbone, Upright(options.size, slope))
        self.patches = JoinedPatches(options, self.backbone, options.size)
        self.absent = self._kinds()
        self.outputs = self._outputs()

    def _kinds(self) -> AbsentPatches | None:
        kinds = self.options.absent
        return AbsentPatches(self.patches.fine.grid.dim, kinds) if kinds else None

    def _network(self) -> Backbone:
        options = self.options
        return build_backbone(options.backbone, options.layers, strides=options.strides, size=options.size)

    def _outputs(self) -> tuple[OutputSpec, ...]:
        absent = () if self.absent is None else (_KINDS,)
        return (SCORE, HEATMAP, *absent, *((POSES,) if isinstance(self.backbone, Turned) else ()))

    @property
    def upright(self) -> Upright | None:
        """See `TurnsParts`."""
        return self.backbone.upright if isinstance(self.backbone, Turned) else None

    def needs(self) -> Needs:
        """See `Detector.needs`; the cost is measured by a short probe."""
        return Needs(normal=1, cost=self._cost, most_tiles=MOST_TILES)

    def _cost(self, pictures: int) -> Preflight:
        seconds = seconds_a_picture(self.backbone, self.options.size)
        return self.patches.cost(pictures, FEATURE_MEMORY, self.backbone, seconds_a_picture=seconds)

    def learn(self, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        """Fill the banks from `data.normal` and take their levels: see `JoinedPatches.learn`.

        Raises:
            WeightsError: no weights for the backbone.
            OptionError, DataError, Stopped: see there.
        """
        if isinstance(self.backbone, Turned):
            self.backbone = self._network()
        self.absent = self._kinds()
        if self.options.weights == "pretrained":
            load_pretrained(self.backbone)
        whole = all(sample.tile is None for sample in data.normal.samples)
        owners = units_of(data.normal.samples)
        if whole and self.options.upright and run.enough(len(set(owners)), upright.FEWEST):
            self._turn(data.normal, run, watch)
        self.to(run.torch_device())
        self.outputs = self._outputs()
        turning = isinstance(self.backbone, Turned)
        facts: dict[str, JsonValue] = {UPRIGHT: list(self.options.size)} if turning else {}

        def also(patches: Tensor) -> None:
            if self.absent is not None and whole:
                facts.update(self.absent.learn(patches, self.patches.fine, owners, run, watch))

        history = self.patches.learn(data.normal, self.backbone, run, watch, also)
        if SHOWN in facts:
            facts[SHOWN] = self._in_pictures(facts[SHOWN], data.normal, run)
        return Learnt(facts, history)

    def _turn(self, good: Pictures, run: Run, watch: Watch) -> None:
        """Have the network see parts turned, where good pictures show them at any angle."""
        made = Upright(self.options.size)
        if upright.learn_upright(made, good, run, watch).tells:
            self.backbone = Turned(self.backbone, made)
            watch.say("Parts lie at any angle in good pictures: each is turned to how one of them lies.")

    def _in_pictures(self, shown: Any, good: Pictures, run: Run) -> list[JsonValue]:
        """Each good picture of `shown` with the place as it lies there, in shares of its height and width."""
        found: list[JsonValue] = []
        poses = self._poses(good.subset(numbers := sorted({int(picture) for picture, *_ in shown})), run)
        for picture, *place in shown:
            sample, size = good.samples[picture], self.options.size
            placement = good.frame.placement(*size_of(sample.path))
            if len(poses):
                placement = TurnedPlacement.of(placement, poses[numbers.index(picture)].tolist(), size)
            shares = placement.share(place[0] * size[0], place[1] * size[1])
            found.append([picture, *(round(min(max(share, 0.0), 1.0), 4) for share in shares)])
        return found

    @torch.no_grad()
    def _poses(self, pictures: Pictures, run: Run) -> Tensor:
        """(n, 4), or (0, 4) where pictures are seen as they lie."""
        if not isinstance(self.backbone, Turned):
            return torch.zeros(0, 4)
        seen = batches(pictures, run, UNWATCHED, "", _BATCH)
        return torch.cat([self.backbone.upright(pixels).cpu() for pixels in seen])

    def teach(self, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        """See `Teachable`, `JoinedPatches.teach` and `AbsentPatches.teach`.

        Raises:
            Stopped: see there.
        """
        absent, count = self.absent, len(data.normal)

        def also(patches: Tensor) -> None:
            if absent is not None:
                absent.teach(patches, self.patches.fine, count)

        self.patches.teach(data.normal, self.backbone, run, watch, also)
        return self.learnt

    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        """See `Detector.forward`."""
        del scalars
        return self.forward_maps(self.backbone(pixels))

    def forward_maps(self, maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `ReadsMaps`."""
        return self._joined(maps)[0]

    def forward_unsmoothed(self, pixels: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """See `SmoothsCells`; the map is the joined one, in deviations of the peaks of good pictures."""
        return self._joined(self.backbone(pixels))

    def stages(self) -> tuple[Stage, ...]:
        """Features in float32, whose rounding would grow with the network's depth; then the search.

        The search may run in half precision: see `JoinedPatches.features`.
        """
        further = tuple(output.name for output in self.outputs[2:])
        between = (*banks.FEATURES, *further)
        return (
            Stage(
                FEATURES, ("pixels",), between, lambda pixels: self._rows(self.backbone(pixels)), half=False
            ),
            Stage(GRAPH, between, (SCORE.name, HEATMAP.name), lambda **rows: self._found(rows)[0]),
        )

    def _joined(self, maps: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        """What `forward` returns, and the joined map (N, h, w)."""
        rows = self._rows(maps)
        answer, joined = self._found(rows)
        return {**answer, **{output.name: rows[output.name] for output in self.outputs[2:]}}, joined

    def _rows(self, maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the search takes, what is absent, and the pose, of maps {layer: (N, C, h, w)}."""
        rows = self.patches.features(maps)
        if self.absent is not None:
            rows[ABSENT] = self.absent(rows["fine"], self.patches.fine)
        if isinstance(self.backbone, Turned):
            rows[POSE] = maps[POSE].flatten(1)
        return rows

    def _found(self, rows: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        joined = self.patches.search(**{name: rows[name] for name in banks.FEATURES})
        heatmap = self.patches.heatmap(joined)  # (N, H, W)
        if isinstance(self.backbone, Turned):
            joined, heatmap = (self.backbone.upright.back(one, rows[POSE]) for one in (joined, heatmap))
        score = heatmap.flatten(1).amax(1)
        if self.absent is not None:
            score = torch.maximum(score, AbsentPatches.level(rows[ABSENT]))
        return {SCORE.name: score, HEATMAP.name: heatmap}, joined
