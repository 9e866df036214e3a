"""Options of EfficientAD: the defaults are the thesis's, EfficientAD's own are the preset `efficientad`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from flawscope.methods.detector import DetectorOptions
from flawscope.nn.backbones.pdn import PDN_CHANNELS, PdnSize
from flawscope.runtime.manifest import ScalarSpec


class EfficientADOptions(DetectorOptions):
    """Options of EfficientAD; sections, tables and equations are the thesis's unless EfficientAD is named."""

    knobs: ClassVar = (
        ScalarSpec(
            name="local_weight",
            value=0.5,
            low=0.0,
            high=1.0,
            about="α, share of the local map; the global map has the rest",
        ),
    )

    pdn: PdnSize = Field(
        "small", description="patch description network of teacher and student (tables 5.2 and 5.3)"
    )
    padding: bool = Field(
        True, description="zeros around the networks' maps (tables 5.2 and 5.3; EfficientAD's code: off)"
    )
    teacher: str | None = Field(
        None, description="weights of the teacher by name; by default pdn_s or pdn_m, as `pdn` says"
    )
    channels: int = Field(PDN_CHANNELS, ge=1, description="channels of the teacher's map (section 4.3: 384)")
    weights: Literal["pretrained", "random"] = Field(
        "pretrained", description="the teacher's weights; random draws them from a fixed seed, for tests only"
    )
    steps: int = Field(70_000, ge=1, description="training steps (EfficientAD, appendix A: 70 000)")
    batch: int = Field(1, ge=1, description="pictures a step (EfficientAD, appendix A: 1)")
    learning_rate: float = Field(
        1e-4, gt=0, description="Adam's; a tenth of it over the last 5 % of the steps (EfficientAD: 1e-4)"
    )
    weight_decay: float = Field(1e-5, ge=0, description="Adam's (EfficientAD: 1e-5)")
    early_stop: int = Field(
        0,
        ge=0,
        description="steps without a smaller loss on the tuning pictures after which training ends, mostly "
        "before the learning rate falls; 0: never",
    )
    compile: bool = Field(False, description="compile the networks for training, for CUDA")
    hard_quantile: float = Field(
        0.99,
        ge=0,
        lt=1,
        description="L_Hard is the mean over the differences from this quantile on (section 4.4: 0.99; "
        "EfficientAD: 0.999)",
    )
    penalty: Literal["cdo", "ood", "none"] = Field(
        "cdo",
        description="what keeps the student from imitating the teacher on everything: discrepancies on "
        "synthetic defects (equation 4.9), natural pictures (EfficientAD), or nothing",
    )
    gamma: float = Field(
        2.0, ge=0, description="γ of CDO's weights, with penalty cdo (equations 4.7 and 4.8; CDO: 2)"
    )
    local_map: Literal["squares", "discrepancy"] = Field(
        "squares",
        description="what the local map is: mean squared difference of teacher and student (section 4.4, "
        "EfficientAD), or the squared distance of both after scaling to unit length, which CDO learns "
        "(section 4.6, equation 4.10); the thesis has both",
    )
    hierarchy: tuple[float, ...] = Field(
        (1.0,),
        min_length=1,
        description="weights α_h of the networks' last convolutions, the output last, whose discrepancies "
        "make L_CDO and the local map (equation 4.11); by default the output alone, as EfficientAD",
    )
    hard_weight: float = Field(1.0, ge=0, description="coefficient of L_Hard (equation 5.1: 1)")
    penalty_weight: float = Field(1.0, ge=0, description="coefficient of L_CDO or L_OOD (equation 5.1: 1)")
    autoencoder_weight: float = Field(1.0, ge=0, description="coefficient of L_AE (equation 5.1: 1)")
    stae_weight: float = Field(
        1.0,
        ge=0,
        description="coefficient of L_STAE (equation 5.1: 1); at 0 the global map is teacher − autoencoder",
    )
    appearance: Literal["thesis", "efficientad", "none"] = Field(
        "thesis",
        description="one of colour jitter, sharpness, gamma on every training picture (section 4.1.3), or "
        "one of brightness, contrast, saturation for L_AE and L_STAE alone (EfficientAD)",
    )
    defect_probability: float = Field(
        0.4,
        ge=0,
        le=1,
        description="share of training pictures with synthetic defects, with penalty cdo (4.1.3: 0.4)",
    )
    defect_sides: Literal["thesis", "cdo"] = Field(
        "thesis",
        description="synthetic defects: squares, 1/40 to 1/10 of the picture long (sections 4.1.3, 4.6), or "
        "rectangles, each side 1/20 to 1/5 long (CDO's code, where 1/40 to 1/10 are half sides)",
    )
    skip_background: bool | Literal["auto"] = Field(
        "auto",
        description="keep synthetic defects off the background (section 4.1.3, an option there; CDO's code: "
        "on for products on plain ground); auto: where product and ground are told apart in nine of ten "
        "training pictures",
    )
    quantiles: tuple[float, float] = Field(
        (0.9, 0.995),
        description="q_a and q_b: the maps' quantiles on the tuning pictures that become 0 and 0.1 "
        "(section 4.7; EfficientAD: 0.9 and 0.995)",
    )
    local_weight: float = Field(
        0.5, ge=0, le=1, description="α of the local map (equation 4.12: 0.5); stays open after training"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        weights = (self.hard_weight, self.penalty_weight, self.autoencoder_weight, self.stae_weight)
        if sum(weights) - (self.penalty_weight if self.penalty == "none" else 0) == 0:
            raise ValueError("one of the four losses must have a coefficient above 0")
        if self.stae_weight and not self.autoencoder_weight:
            raise ValueError(
                "stae_weight above 0 needs an autoencoder that learns: autoencoder_weight above 0"
            )
        low, high = self.quantiles
        if not 0 <= low < high <= 1:
            raise ValueError("quantiles must rise, between 0 and 1")
        deepest = 4 if self.pdn == "small" else 6
        if len(self.hierarchy) > deepest:
            raise ValueError(f"hierarchy must hold 1 to {deepest} weights, one a convolution")
        if min(self.hierarchy) < 0 or sum(self.hierarchy) == 0:
            raise ValueError("weights of the hierarchy must be 0 or more, and one above 0")
        if len(self.hierarchy) > 1:
            if not (self.penalty == "cdo" and self.penalty_weight):
                raise ValueError(
                    "hierarchy needs penalty cdo, which alone teaches the layers below the output"
                )
            if self.local_map != "discrepancy":
                raise ValueError("hierarchy is one of discrepancies, so it needs local_map discrepancy")
        return self


PRESETS: Mapping[str, Mapping[str, Any]] = {
    # SegAD, appendix B: the medium network, padded, in a published implementation of EfficientAD
    "segad": {"pdn": "medium", "hard_quantile": 0.999, "penalty": "ood", "appearance": "efficientad"},
    # the thesis's tables 5.5, 5.6 and 5.8: their 92.03 AU-PRO is the medium network's of table 5.7
    "thesis": {"pdn": "medium"},
    # Batzner, Heckler, König, WACV 2024, and the settings of their appendix A
    "efficientad": {"padding": False, "hard_quantile": 0.999, "penalty": "ood", "appearance": "efficientad"},
}
