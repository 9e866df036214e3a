"""Options of RD4AD: the defaults are the paper's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from flawscope.methods.frozen_backbone import DescentOptions

Depth = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]


class RD4ADOptions(DescentOptions):
    """Options of RD4AD; sections and equations are the paper's."""

    backbone: str = Field("wide_resnet50_2", description="the teacher (section 4.1)")
    layers: tuple[str, ...] | None = Field(
        None,
        description="its layers, each half as fine as the one before; by default at strides 4, 8 and 16 "
        "(section 4.1: layers 1 to 3)",
    )
    block: Literal["basic", "bottleneck"] | None = Field(
        None,
        description="residual blocks of embedding and decoder; by default as ResNets of the teacher's width "
        "have them: bottleneck from 1024 channels in its deepest layer on",
    )
    blocks: tuple[Depth, ...] | None = Field(
        None,
        description="blocks of the embedding and of each decoder stage, deepest first; by default the "
        "teacher's stages mirrored (section 3.1): 3, 6, 4, 3 of bottleneck and 2, 2, 2, 2 of basic blocks; "
        "the authors' code has 3, 3, 4, 6",
    )
    loss: Literal["cells", "maps"] = Field(
        "cells",
        description="cosine distance of each cell's vectors, averaged (equations 1 and 2), or of whole "
        "layers' flattened maps (the authors' code)",
    )
    combine: Literal["add", "multiply"] = Field(
        "add", description="how the layers' distance maps become one (section 3.4: added)"
    )
    smoothing: float = Field(
        4.0, ge=0, le=64, description="σ in pixels of the Gaussian over the heatmap (section 4.1: 4)"
    )
    epochs: int = Field(200, ge=1, description="passes over the training pictures (section 4.1: 200)")
    batch: int = Field(16, ge=2, description="pictures a step (section 4.1: 16)")
    learning_rate: float = Field(0.005, gt=0, description="Adam's (section 4.1: 0.005)")
    betas: tuple[Share, Share] = Field((0.5, 0.999), description="Adam's β (section 4.1: 0.5 and 0.999)")


PRESETS: Mapping[str, Mapping[str, Any]] = {
    # appendix B of SegAD, whose implementation of RD4AD has the loss of the authors' code
    "segad": {"loss": "maps"},
    # the loss and the decoder of the code that the authors published, for WideResNet-50-2
    "authors": {"loss": "maps", "blocks": [3, 3, 4, 6]},
}
