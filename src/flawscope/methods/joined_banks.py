"""JoinedBanks: small flaws by a fine bank of patches, misplaced and wrong parts by coarse ones, in one map.

This package's own; `flawscope.nn.joining.banks` tells what the banks are and how their maps become one.
benchmarks/results/joined_choice.md tells what was tried, and presets.md what it gained on which products.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor

from flawscope.data.training import TrainingData
from flawscope.methods.detector import BackboneOptions, Detector, Facts, Learnt, Needs, Side, Stage
from flawscope.nn.backbones.build import build_backbone
from flawscope.nn.backbones.weights import load_pretrained
from flawscope.nn.banks.preflight import Preflight, seconds_a_picture
from flawscope.nn.joining import banks
from flawscope.nn.joining.banks import JoinedPatches, JoinedPatchesOptions
from flawscope.nn.run import FEATURE_MEMORY, Run
from flawscope.nn.watch import Watch
from flawscope.runtime.bundle import GRAPH

FEATURES = "features.onnx"
MOST_TILES = 600  # with 300 of 540 BSData lost 0.7 points of image AUROC and 1.3 of AU-PRO


class JoinedBanksOptions(JoinedPatchesOptions, BackboneOptions):
    """Options of JoinedBanks; no paper has it, so the defaults are those that were measured best."""

    size: tuple[Side, Side] = Field((320, 320), description="input height and width in pixels")
    backbone: str = Field("tf_efficientnet_lite0", description="network of the features")


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
        self.backbone = build_backbone(
            options.backbone, options.layers, strides=options.strides, size=options.size
        )
        self.patches = JoinedPatches(options, self.backbone, options.size)

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
        if self.options.weights == "pretrained":
            load_pretrained(self.backbone)
        return Learnt(history=self.patches.learn(data.normal, self.backbone, run, watch))

    def teach(self, data: TrainingData, run: Run, watch: Watch) -> Learnt:
        """See `Teachable` and `JoinedPatches.teach`.

        Raises:
            Stopped: see there.
        """
        self.patches.teach(data.normal, self.backbone, run, watch)
        return self.learnt

    def forward(self, pixels: Tensor, **scalars: Tensor) -> dict[str, Tensor]:
        """See `Detector.forward`."""
        del scalars
        return self.forward_maps(self.backbone(pixels))

    def forward_maps(self, maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `ReadsMaps`."""
        return self._answer(self.patches(maps))

    def forward_unsmoothed(self, pixels: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """See `SmoothsCells`; the map is the joined one, in deviations of the peaks of good pictures."""
        joined = self.patches(self.backbone(pixels))
        return self._answer(joined), joined

    def stages(self) -> tuple[Stage, ...]:
        """Features in float32, whose rounding would grow with the network's depth; then the search.

        The search may run in half precision: see `JoinedPatches.features`.
        """
        between = banks.FEATURES
        outputs = tuple(output.name for output in self.outputs)
        return (
            Stage(FEATURES, ("pixels",), between, self._features, half=False),
            Stage(GRAPH, between, outputs, lambda **rows: self._answer(self.patches.search(**rows))),
        )

    def _features(self, pixels: Tensor) -> dict[str, Tensor]:
        return self.patches.features(self.backbone(pixels))

    def _answer(self, joined: Tensor) -> dict[str, Tensor]:
        heatmap = self.patches.heatmap(joined)  # (N, H, W)
        return {"score": heatmap.flatten(1).amax(1), "heatmap": heatmap}
