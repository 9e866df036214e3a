"""Recipes: one YAML file says what to run, and every model folder keeps the resolved one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flawscope.errors import InputError, MissingExtraError, OptionError, suggest
from flawscope.runtime.engines import Precision

RECIPE_LIMIT = 1 << 20  # bytes; a recipe is a page, not a data set


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class DataPart(_Part):
    """Which pictures: `folder`, and how to read it."""

    folder: Path
    layout: str | None = Field(None, description="layout name; recognised by looking where it is not given")
    product: str | None = Field(None, description="product, where the folder holds several")
    defects: Path | None = Field(
        None, description="folder of defective pictures, for methods that learn from known defects"
    )
    natural: Path | None = Field(
        None, description="folder of natural pictures, for methods that learn what is none of the product"
    )


class SplitPart(_Part):
    """How many good pictures fit does not learn from. None lets the number of pictures decide."""

    training: int | None = Field(
        default=None, ge=1, description="learn from only so many pictures, drawn by seed from what is left"
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
    tuning: float | None = Field(
        default=None, ge=0, lt=1, description="share of good pictures that fit scales on"
    )
    aside: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="share of good pictures that nothing learns from, drawn as those for `tuning` are: a "
        "detector alone then learns from what it has inside SegAD, and `tuning` is a share of that",
    )
    calibration: float | None = Field(
        default=None, ge=0, lt=1, description="share kept for the verdict thresholds"
    )
    folds: int | None = Field(
        default=None, ge=2, description="cross-conformal folds in place of a held-out share"
    )


class CalibrationPart(_Part):
    """The bound on false rejects that the verdicts keep."""

    false_rejects: float = Field(default=0.01, gt=0, lt=0.5, description="rate of good pictures rejected, α")
    confidence: float = Field(default=0.95, gt=0, lt=1, description="1 − δ of the promise `with_confidence`")
    promise: Literal["with_confidence", "on_average"] = "with_confidence"


class EnginePart(_Part):
    """What will run the model at the station, on which therefore it is calibrated."""

    name: Literal["onnxruntime", "openvino"] = "onnxruntime"
    precision: Literal["fp32", "bf16"] = Field("fp32", description="number format that it computes in")

    @property
    def pair(self) -> tuple[str, Precision]:
        """Name and precision, as `flawscope.runtime.engines` takes them."""
        return self.name, self.precision


class Recipe(_Part):
    """Everything that decides what `train` makes."""

    data: DataPart
    method: str = Field("patchcore", description="a name from `flawscope methods`")
    preset: str | None = Field(
        "default", description="named options of the method; null starts from the paper's values"
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="options of the method, over the preset"
    )
    split: SplitPart = SplitPart()
    calibration: CalibrationPart = CalibrationPart()
    engine: EnginePart = EnginePart()
    seed: int = Field(0, ge=0, lt=2**63)
    device: str = "cpu"
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Validate nested plain values.

        Raises:
            OptionError: the first wrong key or value, by its dotted name.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise recipe_error(cls, error) from error

    def to_yaml(self) -> str:
        """The recipe as YAML, every default written out."""
        text: str = _yaml().safe_dump(
            self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, default_flow_style=False
        )
        return text


def recipe_error(model: type[BaseModel], error: ValidationError) -> OptionError:
    """The first problem of a pydantic error as one line, with a spelling suggestion for unknown keys."""
    problem = error.errors()[0]
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = _fields_at(model, problem["loc"][:-1])
        return OptionError(
            f"recipe key {place!r}",
            expected="a known key",
            got=f"{problem['loc'][-1]!r}",
            fix=suggest(str(problem["loc"][-1]), known),
        )
    return OptionError(
        f"recipe key {place!r}",
        expected=problem["msg"].removeprefix("Input should be ").removeprefix("Value error, "),
        got=repr(problem.get("input")),
        fix="Correct the recipe or the --set option.",
    )


def read_recipe(path: Path) -> dict[str, Any]:
    """The plain values of a recipe file (YAML, safe loader).

    Raises:
        InputError: missing, too large, not YAML, or not a mapping.
    """
    yaml = _yaml()
    path = Path(path)
    try:
        if path.stat().st_size > RECIPE_LIMIT:
            raise InputError(
                f"recipe {path}",
                expected="a YAML file below 1 MiB",
                got=f"{path.stat().st_size} bytes",
                fix="Name a recipe file.",
            )
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(
            f"recipe {path}",
            expected="a readable YAML file",
            got=" ".join(str(error).split())[:200],
            fix="Correct the file, or start from the recipe.yaml of a model folder.",
        ) from error
    if not isinstance(values, dict):
        raise InputError(
            f"recipe {path}",
            expected="a mapping of keys to values",
            got=type(values).__name__,
            fix="Start from the recipe.yaml of a model folder.",
        )
    return values


def apply_settings(values: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """`values` with each `a.b=c` set; c is read as YAML, so numbers, lists and null keep their types.

    >>> apply_settings({"options": {"coreset": 0.1}}, ["options.coreset=0.01", "seed=3"])
    {'options': {'coreset': 0.01}, 'seed': 3}
    """
    yaml = _yaml()
    result: dict[str, Any] = _copied(values)
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not all(key.split(".")):
            raise OptionError(
                f"--set {setting!r}",
                expected="KEY=VALUE such as options.coreset=0.01",
                got="no key or no equals sign",
                fix="Write the dotted key, an equals sign and the value.",
            )
        try:
            value = yaml.safe_load(text)
        except (ValueError, RecursionError, yaml.YAMLError) as error:
            raise OptionError(
                f"--set {setting!r}", expected="a value", got="text that is not YAML", fix="Put it in quotes."
            ) from error
        set_key(result, key, value)
    return result


def set_key(values: dict[str, Any], key: str, value: Any) -> None:
    """Set the dotted `key` in nested plain values; an empty key on the way becomes a mapping.

    Raises:
        OptionError: a key on the way holds a plain value.
    """
    node = values
    *parents, last = key.split(".")
    for parent in parents:
        if node.get(parent) is None:
            node[parent] = {}
        child = node[parent]
        if not isinstance(child, dict):
            raise OptionError(
                f"recipe key {key!r}",
                expected=f"{parent!r} to hold keys",
                got=f"the value {child!r}",
                fix="Correct the recipe or the --set option.",
            )
        node = child
    node[last] = value


def _copied(values: dict[str, Any]) -> dict[str, Any]:
    return {key: _copied(value) if isinstance(value, dict) else value for key, value in values.items()}


def _fields_at(model: type[BaseModel], place: Sequence[int | str]) -> list[str]:
    for part in place:
        if isinstance(part, int):  # an item of a list, whose model is already the current one
            continue
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        models = [
            kind
            for kind in (annotation, *get_args(annotation))
            if isinstance(kind, type) and issubclass(kind, BaseModel)
        ]
        if not models:
            return []
        model = models[0]
    return list(model.model_fields)


def _yaml() -> Any:
    try:
        import yaml  # noqa: PLC0415 - recipes belong to training; the runtime has no YAML
    except ImportError as error:
        raise MissingExtraError(
            "recipes",
            expected="the training packages",
            got="an installation for inspection only",
            fix="Install them with: pip install 'flawscope[train]'",
        ) from error
    return yaml
