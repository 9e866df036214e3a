"""Options of the instance segmenter; sections are SADSeM's where no other paper is named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from flawscope.segmenters.segmenter import SegmenterOptions

Preset = Literal["paper", "cpu"]
COCO_BACKBONE, COCO_WIDTH, COCO_HEAD, COCO_CONVOLUTIONS = "resnet50", 256, 1024, 4

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "paper": {},
    # light heads and a short schedule at the size that is inspected, for minutes on two cores
    "cpu": {
        "width": 64,
        "head": 256,
        "convolutions": 2,
        "frozen": 4,
        "anchor": 4,
        "canonical": 896,
        "sizes": None,
        "crop": None,
        "batch": 2,
        "steps": 400,
        "learning_rate": 0.002,
        "optimiser": "adamw",
        "candidates": 200,
        "proposals": 100,
        "sampled": 96,
        "near": 6,
        "margin": 0.05,
        "slots": 48,
    },
}


class InstancesOptions(SegmenterOptions):
    """Options of `Instances`."""

    kind: Literal["instances"] = "instances"
    preset: Preset = Field(
        "paper",
        description="values of the options that are not given: the paper's; cpu, light heads and a short "
        "schedule at the size that is inspected",
    )
    backbone: str = Field(
        "tf_efficientnet_lite0", description="network below the feature pyramid (section 3.1: resnet50)"
    )
    weights: Literal["pretrained", "coco", "random"] = Field(
        "pretrained",
        description="pretrained, the backbone's as published; coco, those of the whole network, learnt on "
        "COCO, for resnet50 (section 3.1); random draws them from a fixed seed, for tests only",
    )
    width: int = Field(COCO_WIDTH, ge=1, description="channels of the pyramid and the mask head (FPN: 256)")
    head: int = Field(COCO_HEAD, ge=1, description="width of the box head's two layers (FPN: 1024)")
    convolutions: int = Field(
        COCO_CONVOLUTIONS, ge=1, description="3x3 convolutions of the mask head (Mask R-CNN, figure 4: 4)"
    )
    frozen: int = Field(
        0,
        ge=0,
        le=4,
        description="lowest of the backbone's four levels, at strides 4 to 32, whose weights do not learn "
        "(section 3.1: 0); batch norms keep their statistics at all levels",
    )
    anchor: int = Field(
        8, ge=1, description="cells of its level that the side of an anchor has (FPN, section 4.1: 8)"
    )
    canonical: int = Field(
        224,
        ge=1,
        description="side of the boxes that are read from the map at stride 16; more reads large parts from "
        "finer maps (FPN, equation 1: 224)",
    )
    sizes: tuple[int, ...] | None = Field(
        (256, 512, 768, 1024),
        min_length=1,
        description="longest sides, one of which is drawn for each step (section 3.1); none: the size at "
        "which pictures are inspected",
    )
    crop: int | None = Field(
        256, ge=32, description="side of the square that is cut out of them (section 3.1: 256); none: all"
    )
    mirrored: tuple[Literal["left_right", "up_down"], ...] = Field(
        (), description="ways in which every other picture is mirrored (not in the paper)"
    )
    batch: int = Field(10, ge=1, description="pictures a step (section 3.1: 10)")
    steps: int = Field(3000, ge=1, description="training steps (the paper has no number)")
    optimiser: Literal["sgd", "adamw"] = Field(
        "sgd", description="what follows the gradient (section 3.1: sgd)"
    )
    learning_rate: float = Field(1e-3, gt=0, description="the highest (section 3.1: 0.001)")
    final_rate: float = Field(
        1e-6, ge=0, description="the learning rate to which half a cosine falls (section 3.1: 0.000001)"
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd (section 3.1: 0.9)")
    weight_decay: float = Field(1e-4, ge=0, description="of the weights (section 3.1: 0.0001)")
    candidates: int = Field(
        1000, ge=1, description="most likely boxes of each level that become proposals (torchvision: 1000)"
    )
    proposals: int = Field(1000, ge=1, description="proposals that are classified (torchvision: 1000)")
    sampled: int = Field(
        512, ge=4, description="proposals a picture that are learnt from, a quarter on parts (FPN: 512)"
    )
    near: int = Field(
        0,
        ge=0,
        description="boxes drawn around each annotated instance, moved and stretched a little, that are "
        "learnt from beside the network's own proposals, so that a large part has as many as a small one "
        "(not in the paper)",
    )
    margin: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of its sides by which a box is widened before its mask is found, so that its "
        "border need not be exact (not in the paper)",
    )
    slots: int = Field(100, ge=1, description="most instances in a picture (torchvision: 100)")
    score: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="least score of an instance (the paper has none; torchvision lists from 0.05)",
    )
    mask: float = Field(0.5, gt=0, lt=1, description="least probability of a mask's pixel (Mask R-CNN: 0.5)")
    smallest: int = Field(
        16, ge=1, description="pixels below which a connected area is no instance to learn (not in the paper)"
    )
    held_out: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="share of the annotated pictures that are not learnt from, on which the agreement is "
        "measured (section 3.1 measures on good test pictures)",
    )

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, values: Any) -> Any:
        """Values that are not given, as the preset has them."""
        known = PRESETS.get(str(values.get("preset")), {}) if isinstance(values, dict) else {}
        return {**known, **values} if known else values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.sizes is not None and min(self.sizes) < 32:
            raise ValueError("sizes must be at least 32")
        shape = (self.backbone, self.width, self.head, self.convolutions)
        coco = (COCO_BACKBONE, COCO_WIDTH, COCO_HEAD, COCO_CONVOLUTIONS)
        if self.weights == "coco" and shape != coco:
            raise ValueError(
                "weights coco go with backbone={}, width={}, head={} and convolutions={}".format(*coco)
            )
        return self
