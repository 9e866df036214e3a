"""Options of PNI; values are those that the authors' code says are the paper's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from flawscope.methods.detector import Side
from flawscope.methods.frozen_backbone import DescentOptions


class PNIOptions(DescentOptions):
    """Options of PNI; defaults are the paper's, as its authors' code has them."""

    size: tuple[Side, Side] = Field(
        (480, 480), description="input height and width in pixels (authors: 512, of which 480 are cut out)"
    )
    backbone: str = Field(
        "wide_resnet101_2", description="network of the features (authors: WideResNet-101-2)"
    )
    layers: tuple[str, ...] | None = Field(
        None, description="its layers; by default those at strides 8 and 16 (authors: layers 2 and 3)"
    )
    neighbourhood: Literal[1, 3, 5, 7, 9] = Field(
        5, description="side of the patch over which features are averaged (authors: 5)"
    )
    coreset: float = Field(0.01, gt=0, le=1, description="share of features kept (authors: 1 %)")
    bank_limit: int | None = Field(None, ge=2, description="most features kept (authors: no limit)")
    projection: int | None = Field(
        128, ge=1, description="dimensions of the random projection for the selection (PatchCore's code: 128)"
    )
    classes: int = Field(
        2048,
        ge=2,
        description="features that stand for a kind each, among which the surroundings tell (authors: 2048)",
    )
    reach: int = Field(
        4, ge=1, le=8, description="cells around one that tell of it, to each side (authors: 4)"
    )
    width: int = Field(
        2048, ge=1, description="width of the network that reads the surroundings (authors: 2048)"
    )
    depth: int = Field(10, ge=2, description="its layers (authors: 10)")
    dropout: float = Field(
        0.5, ge=0, lt=1, description="share of its values left out in training (authors: 0.5)"
    )
    epochs: int = Field(15, ge=1, description="passes over all cells of the training pictures (authors: 15)")
    batch: int = Field(2048, ge=2, description="cells a step (authors: 2048)")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's, to begin with (authors: 1e-3)")
    falls: int = Field(
        2,
        ge=0,
        description="times that the learning rate falls to a tenth, evenly (authors: 2, every 5 epochs)",
    )
    temperature: float = Field(
        2.0,
        gt=0,
        description="by which the network's logits are divided, so that it is less sure (authors: 2)",
    )
    threshold: float = Field(
        0.5,
        gt=0,
        description="probability, as a share of that of an even distribution over the features kept, above "
        "which a kind of feature is usual (authors: 0.5)",
    )
    decay: float = Field(
        0.99, gt=0, description="λ of the likelihood λ exp(−λ d) of a feature at distance d (authors: 0.99)"
    )
    information: Literal["both", "position", "neighbourhood"] = Field(
        "both", description="what tells which features are usual; both: the mean of the two (authors)"
    )
    smoothing: float = Field(
        8.0, ge=0, le=64, description="σ in pixels of the Gaussian over the heatmap (authors: 8)"
    )


PRESETS: Mapping[str, Mapping[str, Any]] = {
    # for two cores, at the size of SADSeM's comparison; not measured against others
    "default": {
        "size": [256, 256],
        "backbone": "tf_efficientnet_lite0",
        "bank_limit": 4000,
        "projection": 64,
        "classes": 256,
        "width": 256,
        "depth": 3,
        "steps": 1500,
        "batch": 256,
        "smoothing": 4.0,
    },
}
