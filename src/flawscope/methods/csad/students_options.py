"""Options of CSAD's local and global students; sections and tables are CSAD's unless another paper is named.

EfficientAD: Batzner, Heckler, König, WACV 2024, section 3 and appendix A.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from flawscope.runtime.frozen import Frozen

Design = Literal["heads", "doubled", "shared"]


class StudentsOptions(Frozen):
    """Options of the students and their training.

    Attributes:
        natural, tuning: the fewest natural and tuning pictures that training needs.
    """

    kind: Literal["students"] = "students"

    strides: tuple[int, ...] = Field(
        (8,),
        min_length=1,
        description="strides of the backbone's layers that make the teacher's map (the authors' code: layer "
        "2 of WideResNet-50, at stride 8, with 512 channels)",
    )
    teacher_channels: int | None = Field(
        None, ge=1, description="channels of the teacher's map: that many principal components; null: all"
    )
    local_student: Design = Field(
        "heads",
        description="how the local student gives two maps: a 1×1 convolution for each, one output of twice "
        "the channels (EfficientAD), or one output for both (table 5: 90.38, 90.40, 68.06 mean image AUROC)",
    )
    width: int = Field(
        128,
        ge=4,
        description="channels of the local student's first layer, half of the next two (EfficientAD: 128)",
    )
    rebuilt: int = Field(
        127,
        ge=3,
        description="side of the largest maps in the global student's decoder (EfficientAD: 127); 63 saves "
        "most of its operations",
    )
    padding: bool = Field(
        False, description="zeros around the local student's maps (section 4.1: 56×56 of 256×256, so none)"
    )
    steps: int = Field(
        70_000, ge=1, description="training steps (EfficientAD: 70 000; the authors' code: 60 000)"
    )
    batch: int = Field(1, ge=1, description="pictures a step (EfficientAD: 1; the authors' code: 2)")
    learning_rate: float = Field(
        1e-4, gt=0, description="Adam's; a tenth of it over the last 5 % of the steps (EfficientAD: 1e-4)"
    )
    weight_decay: float = Field(1e-5, ge=0, description="Adam's (EfficientAD: 1e-5)")
    hard_quantile: float = Field(
        0.999,
        ge=0,
        lt=1,
        description="L_Hard is the mean over the differences from this quantile on (EfficientAD: 0.999)",
    )
    penalty: Literal["ood", "none"] = Field(
        "ood",
        description="what keeps the local student from imitating the teacher on everything: natural pictures "
        "(EfficientAD), or nothing",
    )
    appearance: Literal["efficientad", "none"] = Field(
        "efficientad",
        description="one of brightness, contrast, saturation for the global student and the head that "
        "imitates it (EfficientAD), or the pictures as they are",
    )
    quantiles: tuple[float, float] = Field(
        (0.9, 0.995),
        description="the maps' quantiles on the tuning pictures that become 0 and 0.1 (EfficientAD: 0.9 and "
        "0.995)",
    )

    @property
    def natural(self) -> int:
        return int(self.penalty == "ood")

    @property
    def tuning(self) -> int:
        return 1

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        low, high = self.quantiles
        if not 0 <= low < high <= 1:
            raise ValueError("quantiles must rise, between 0 and 1")
        return self


PRESETS: Mapping[str, Mapping[str, Any]] = {
    # the authors' code
    "released": {"steps": 60_000, "batch": 2},
    # minutes on two cores, and no natural pictures; on few steps L_Hard learns from more than the worst
    "cpu": {
        "strides": (4, 8),
        "width": 32,
        "rebuilt": 63,
        "hard_quantile": 0.9,
        "penalty": "none",
        "appearance": "none",
        "steps": 3000,
        "learning_rate": 1e-3,
    },
}
