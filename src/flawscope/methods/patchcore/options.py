"""Options of PatchCore, each with its source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from flawscope.methods.detector import BackboneOptions


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
