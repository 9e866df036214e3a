"""Recipes: one YAML file says what to run, and every model folder keeps the resolved one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    Field,
    FiniteFloat,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from flawscope.data.groups import GroupChoice
from flawscope.errors import OptionError
from flawscope.runtime.engines import EngineWish, Pair, PrecisionWish, candidates
from flawscope.runtime.frozen import Frozen, option_error, refuse_truths
from flawscope.runtime.groups import Judge
from flawscope.training.settings import yaml_package
from flawscope.training.tiling import TilingChoice

_KEY, _CORRECT = "recipe key {!r}", "Correct the recipe or the --set option."


class Document(Frozen):
    """A whole recipe: read from plain values, written as YAML."""

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Validate nested plain values.

        Raises:
            OptionError: the first wrong key or value, by its dotted name.
        """
        try:
            made = cls.model_validate(values)
        except ValidationError as error:
            raise recipe_error(cls, error) from error
        refuse_truths(made, values, _KEY, otherwise=_CORRECT)
        return made

    def to_yaml(self) -> str:
        """The recipe as YAML, every default written out."""
        text: str = yaml_package().safe_dump(
            self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, default_flow_style=False
        )
        return text


class DataChoice(Frozen):
    """Which pictures: `folder`, and how to read it."""

    folder: Path
    layout: str | None = Field(None, description="layout name; recognised by looking where it is not given")
    product: str | None = Field(None, description="product, where the folder holds several")
    defects: Path | None = Field(
        None, description="folder of defective pictures, for methods that learn from known defects"
    )
    annotations: Path | None = Field(
        None,
        description="COCO file, or folder of LabelMe files or label maps, which says what components good "
        "pictures show",
    )
    natural: Path | None = Field(
        None, description="folder of natural pictures, for methods that learn what is none of the product"
    )
    taught: tuple[str, ...] = Field(
        (),
        description="good pictures that are always learnt from beside those of the folder, and never "
        "calibrate: folders, files or patterns, as `flawscope update` takes them",
    )
    intensities: tuple[FiniteFloat, FiniteFloat] | None = Field(
        None,
        description="values in the pictures' own units that are black and white, for sensors of fewer bits "
        "than their files and for numbers, to which they are fitted where nobody says; else the full scale",
    )
    reduced: bool = Field(
        False,
        description="decode JPEG at a half, a quarter or an eighth of its size where that leaves twice the "
        "input's pixels along each side: faster, and scores differ a little from those of full decoding",
    )

    groups: GroupChoice | None = Field(
        None,
        description="which pictures show one part, batch or camera position: pattern (a regular expression "
        "over file names), or table and column; {} for none; the layout's own where nobody says",
    )

    @model_serializer(mode="wrap")
    def _without_what_is_not_said(self, values: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = values(self)
        for name in ("intensities", "annotations", "groups", "taught"):
            if not written[name]:
                del written[name]
        return written


class SplitChoice(Frozen):
    """How many good pictures fit does not learn from. None lets the number of pictures decide."""

    training: int | None = Field(
        default=None,
        ge=1,
        description="learn from only so many pictures, drawn by seed from what is left, "
        "beside the annotated ones",
    )
    defective: int | None = Field(
        default=None,
        ge=0,
        description="learn from so many defective pictures, drawn by seed from the data set's own; 0: none",
    )
    draw: int | None = Field(
        default=None,
        ge=0,
        lt=2**63,
        description="seed of that draw, where it is not the recipe's: for runs that differ in nothing else",
    )
    withheld: tuple[str, ...] = Field(
        default=(), description="defect kinds of the data set that are not learnt from, only tested on"
    )
    tuning: float | None = Field(None, ge=0, lt=1, description="share of good pictures that fit scales on")
    aside: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="share of good pictures that nothing learns from, drawn as those for `tuning` are: a "
        "detector alone then learns from what it has inside SegAD, and `tuning` is a share of that",
    )
    calibration: float | None = Field(None, ge=0, lt=1, description="share kept for the verdict thresholds")
    folds: int | None = Field(None, ge=2, description="cross-conformal folds in place of a held-out share")


class CalibrationChoice(Frozen):
    """The bound on false rejects that the verdicts keep."""

    false_rejects: float = Field(default=0.01, gt=0, lt=0.5, description="rate of good pictures rejected, α")
    confidence: float = Field(default=0.95, gt=0, lt=1, description="1 − δ of the promise `with_confidence`")
    promise: Literal["with_confidence", "on_average"] = "with_confidence"
    judge: Judge = Field(
        "picture",
        description="what the promise is on, where pictures have groups: pictures, since verdicts are given "
        "on them, or parts, which are rejected when any of their pictures is",
    )


class EngineChoice(Frozen):
    """What will run the model at the station, on which therefore it is calibrated; `auto` leaves it open."""

    name: EngineWish = Field(
        "auto", description="an engine, or auto: the fastest on this machine whose parity holds"
    )
    precision: PrecisionWish = Field(
        "auto", description="number format that it computes in; auto: as for the name"
    )

    def candidates(self, *, in_folds: bool = False) -> tuple[Pair, ...]:
        """What the choice leaves open on this machine, the plainest first.

        Scores of `in_folds` are made before the model is, in float32 unless another precision is asked for.

        Raises:
            MissingExtraError, OptionError: nothing, since a package or the processor's units are missing.
        """
        found = candidates(self.name, self.precision)
        if not in_folds:
            return found
        return tuple(pair for pair in found if pair[1] == "fp32") or found[:1]


class Recipe(Document):
    """Everything that decides what `train` makes."""

    data: DataChoice
    method: str = Field(
        "joined_banks",
        description="a name from `flawscope methods`; where none is named, and good pictures show components "
        "that recur, the committee",
    )
    preset: str | None = Field(
        "default", description="named options of the method; null starts from the paper's values"
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="options of the method, over the preset"
    )
    tiling: TilingChoice = TilingChoice()
    split: SplitChoice = SplitChoice()
    calibration: CalibrationChoice = CalibrationChoice()
    engine: EngineChoice = EngineChoice()
    seed: int = Field(0, ge=0, lt=2**63)
    device: str = "cpu"
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    def teaching(self, sources: Iterable[str]) -> Self:
        """The same, which learns from the good pictures of `sources`, too."""
        taught = tuple(dict.fromkeys((*self.data.taught, *sources)))
        return self.model_copy(update={"data": self.data.model_copy(update={"taught": taught})})


class LearnCalibration(Frozen):
    """The bound on false rejects; None keeps that of the model that is learnt on."""

    false_rejects: float | None = Field(default=None, gt=0, lt=0.5, description="rate of good pictures, α")
    confidence: float | None = Field(default=None, gt=0, lt=1, description="1 − δ of the promise")
    judge: Judge | None = Field(default=None, description="picture or part, of pictures in groups")


class LearnRecipe(Document):
    """Everything that decides what `learn` makes."""

    model: Path = Field(description="model folder that was trained on good pictures")
    normals: tuple[str, ...] = Field(min_length=1, description="good pictures: folders, files or patterns")
    defects: Path = Field(description="folder of defective pictures, in sub-folders by kind")
    groups: GroupChoice | None = Field(
        None, description="which pictures show one part, as in data.groups; else as the model has it"
    )
    options: dict[str, Any] = Field(default_factory=dict, description="options of SegAD, over its paper's")
    calibration: LearnCalibration = LearnCalibration()
    engine: EngineChoice = EngineChoice()
    seed: int = Field(0, ge=0, lt=2**63)
    device: str = "cpu"
    precision: Literal["auto", "fp32", "bf16"] = "auto"


def recipe_error(model: type[BaseModel], error: ValidationError) -> OptionError:
    """The first problem of a pydantic error as one line, with a spelling suggestion for unknown keys."""
    return option_error(model, error, _KEY, otherwise=_CORRECT)
