"""Options of the component segmenter; sections, equations and figures are CSAD's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from flawscope.nn.training.stores import steps_of
from flawscope.segmenters.components.augmentation import AugmentationOptions
from flawscope.segmenters.components.losses import LossWeights
from flawscope.segmenters.proposers import AreasOptions, ProposerOptions
from flawscope.segmenters.pseudo_labels.options import PseudoLabelOptions
from flawscope.segmenters.segmenter import SegmenterOptions

Preset = Literal["paper", "released", "cpu"]

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "paper": {},
    # the settings that the authors published with their code
    "released": {
        "losses": {"dice": 1.0, "focal": 10.0},
        "augmentation": {"source": "same", "rotated": True},
    },
    # a decoder and a schedule for minutes on two cores
    "cpu": {
        "labels": PseudoLabelOptions.presets["fast"],
        "width": 64,
        "separable": True,
        "steps": 600,
        "learning_rate": 0.003,
        "decay": "cosine",
        "augmentation": {"rotated": True},
    },
}


class ComponentsOptions(SegmenterOptions):
    """Options of `Components`."""

    kind: Literal["components"] = "components"
    preset: Preset = Field(
        "paper",
        description="values of the options that are not given: the paper's; released, of the authors' code, "
        "whose weights of Dice and focal loss are changed round; cpu, a light decoder and a short schedule",
    )
    proposer: ProposerOptions = Field(
        AreasOptions(),
        description="what proposes masks of components, where no parts are annotated (paper: SAM-HQ and "
        "Grounding DINO, kind grounded)",
    )
    labels: PseudoLabelOptions = Field(
        PseudoLabelOptions(), description="how proposed masks become label maps (section 3.1)"
    )
    backbone: str = Field(
        "tf_efficientnet_lite0", description="frozen network of the features (paper: wide_resnet50_2)"
    )
    layers: tuple[str, ...] | None = Field(
        None, description="its layers; by default those at strides 4 and 16 (section 3.2: layers 1 and 3)"
    )
    weights: Literal["pretrained", "random"] = Field(
        "pretrained",
        description="pretrained, as published; random draws them from a fixed seed, for tests only",
    )
    width: int = Field(256, ge=1, description="channels of the decoder (DeepLabV3+, section 3.1: 256)")
    skip: int = Field(
        48, ge=1, description="channels of a finer map where it joins (DeepLabV3+, section 4.1: 48)"
    )
    rates: tuple[int, ...] = Field(
        (6, 12, 18),
        min_length=1,
        description="dilations of the pyramid in cells of the deepest map (DeepLabV3: 6, 12, 18)",
    )
    separable: bool = Field(
        False, description="depthwise separable 3x3 convolutions (DeepLabV3+, section 3.1; authors' code: no)"
    )
    losses: LossWeights = Field(LossWeights(), description="weights of the losses (equation 3)")
    gamma: float = Field(2.0, ge=0, description="γ of the focal loss (Lin et al.: 2)")
    augmentation: AugmentationOptions = Field(
        AugmentationOptions(), description="how labelled training pictures are changed"
    )
    epochs: int = Field(
        120, ge=1, description="passes over the labelled pictures (authors' code: 120; the paper has none)"
    )
    supervised_epochs: int = Field(
        50, ge=0, description="the first of them, which see labelled pictures alone (authors' code: 50)"
    )
    steps: int | None = Field(
        None,
        ge=1,
        description="training steps in place of the epochs, divided as those are, for shortened training",
    )
    batch: int = Field(
        4, ge=1, description="labelled pictures a step, and as many unlabelled ones (authors' code: 4)"
    )
    learning_rate: float = Field(0.01, gt=0, description="Adam's (authors' code: 0.01; the paper has none)")
    weight_decay: float = Field(1e-5, ge=0, description="Adam's (authors' code: 1e-5)")
    decay: Literal["none", "cosine"] = Field(
        "none",
        description="how the learning rate falls: not at all (authors' code), or to 0 by half a cosine",
    )
    held_out: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the labelled pictures that are not learnt from, none of which alone shows a "
        "component; the weights of the smallest loss on them stay. 0: the last weights stay. (Authors' code: "
        "those best on test labels)",
    )

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, values: Any) -> Any:
        """Values that are not given, as the preset has them."""
        known = PRESETS.get(str(values.get("preset")), {}) if isinstance(values, dict) else {}
        return _over(known, values) if known else values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.supervised_epochs > self.epochs:
            raise ValueError(f"supervised_epochs must be at most the {self.epochs} epochs")
        return self

    def steps_for(self, count: int) -> tuple[int, int]:
        """Training steps over `count` labelled pictures, and how many of them see those alone."""
        steps = self.steps or steps_of(self.epochs, count, self.batch)
        return steps, round(steps * self.supervised_epochs / self.epochs)


def _over(known: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """`known` with what is given in its place, key by key of mappings inside, too."""
    merged = {**known, **given}
    for name, value in known.items():
        if isinstance(value, Mapping) and isinstance(given.get(name), Mapping):
            merged[name] = _over(value, given[name])
    return merged
