"""Options of a distillation."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from flawscope.distill.features import Features
from flawscope.errors import OptionError
from flawscope.runtime.frozen import Frozen


class DistillOptions(Frozen):
    """Options of a distillation; defaults are Algorithm 1's."""

    teacher: tuple[str, ...] = Field(("wide_resnet101_2",), min_length=1, description="networks to imitate")
    layers: tuple[tuple[str, ...], ...] | None = Field(
        None, description="layers of each teacher; by default those at strides 8 and 16"
    )
    features: Features = Field("patchcore", description="how layers are joined: patchcore or layers")
    channels: int | None = Field(
        None, ge=1, description="features of a patch; 384, or the layers' sum for features layers"
    )
    student: str = Field("pdn_s", description="pdn_s, pdn_m or any backbone")
    student_layer: str | None = Field(None, description="a backbone student's output layer")
    steps: int = Field(60_000, ge=1, description="training steps")
    batch: int = Field(16, ge=1, description="pictures a step")
    learning_rate: float = Field(1e-4, gt=0, description="Adam's")
    weight_decay: float = Field(1e-5, ge=0, description="Adam's")
    schedule: Literal["constant", "cosine"] = Field("constant", description="of the learning rate")
    grey: float = Field(0.1, ge=0, le=1, description="probability that a picture is shown in grey")
    crop: float = Field(1.0, gt=0, le=1, description="smallest side of random crops; 1: whole pictures")
    flips: bool = Field(False, description="mirror half of the pictures")
    student_size: int = Field(256, ge=16, le=4096, description="side of the student's picture in pixels")
    teacher_size: tuple[Annotated[int, Field(ge=16, le=4096)], ...] = Field(
        (512,), min_length=1, description="side of the teachers' picture, or one for each teacher"
    )
    enlarge: bool = Field(
        False, description="show the teachers the student's pixels enlarged, no finer ones of the file"
    )
    statistics: int = Field(10_000, ge=1, description="pictures for channel mean and deviation")
    held_out: float = Field(0.05, ge=0, lt=1, description="share of pictures kept for measuring")
    compile: bool = Field(False, description="compile both networks, for CUDA")
    weights: Literal["pretrained", "random"] = Field(
        "pretrained", description="the teachers' weights; random ones are for tests"
    )

    @field_validator("teacher", "teacher_size", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """One value, or text such as `resnet18,resnet34`, stands for a list."""
        if isinstance(value, int):
            return (value,)
        return value.split(",") if isinstance(value, str) else value

    @field_validator("layers", mode="before")
    @classmethod
    def _split_layers(cls, value: Any) -> Any:
        """Text such as `layer2,layer3/blocks.2` stands for a list of lists."""
        return [names.split(",") for names in value.split("/")] if isinstance(value, str) else value

    @property
    def cached_sizes(self) -> tuple[int, ...]:
        """Sides at which pictures are kept; random crops are cut from the largest."""
        if self.enlarge:
            return (self.student_size,)
        sizes = {self.student_size, *self.sizes}
        return tuple(sorted(sizes)) if self.crop == 1 else (max(sizes),)

    @property
    def unchanged(self) -> DistillOptions:
        """The same with pictures shown whole and in colour, for measuring."""
        return self.model_copy(update={"crop": 1.0, "flips": False, "grey": 0.0})

    @property
    def sizes(self) -> tuple[int, ...]:
        """The picture's side for each teacher.

        Raises:
            OptionError: neither one size nor one for each.
        """
        if len(self.teacher_size) not in (1, len(self.teacher)):
            raise OptionError(
                "teacher sizes",
                expected=f"one, or one for each of {len(self.teacher)} teachers",
                got=", ".join(map(str, self.teacher_size)),
                fix="Give 512, say.",
            )
        return self.teacher_size * (len(self.teacher) // len(self.teacher_size))
