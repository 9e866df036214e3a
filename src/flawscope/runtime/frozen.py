"""The base of everything that is read from files and options: frozen, and strict about names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from flawscope.errors import OptionError, suggest

_SHOULD = "Input should be "


class Frozen(BaseModel):
    """A value that never changes; a key that this version does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Written(Frozen):
    """Values that people write: yes and no, which YAML reads as truth, are neither numbers nor names.

    >>> class Draw(Written):
    ...     seed: int
    >>> try:
    ...     Draw.model_validate({"seed": True})
    ... except ValidationError as error:
    ...     print(misfit(error))
    seed that should be something else than yes, no, true or false, unless it is put in quotes
    """

    @field_validator("*", mode="before")
    @classmethod
    def _truth_where_it_is_asked_for(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, bool):
            asked = cls.model_fields[str(info.field_name)].annotation
            if not {bool, Any} & {asked, *get_args(asked)}:
                wanted = "something else than yes, no, true or false, unless it is put in quotes"
                raise PydanticCustomError("truth", f"{_SHOULD}{wanted}")
        return value


def first_problem(error: ValidationError) -> tuple[str, str]:
    """The dotted place of the first problem, empty for the whole, and pydantic's sentence in our words."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    text = first["msg"].removeprefix("Value error, ").removeprefix(_SHOULD)
    return ".".join(str(step) for step in first["loc"]), text[:1].lower() + text[1:]


def misfit(error: ValidationError) -> str:
    """What came in place of something valid: the first problem, as a message's `got`.

    >>> try:
    ...     Frozen.model_validate([])
    ... except ValidationError as error:
    ...     print(misfit(error))
    content that should be a valid dictionary or instance of Frozen
    """
    place, wanted = first_problem(error)
    if error.errors(include_url=False)[0]["msg"].startswith(_SHOULD):
        return f"{place or 'content'} that should be {wanted}"
    return ": ".join(filter(None, (place, wanted)))


def option_error(
    model: type[BaseModel], error: ValidationError, what: str, *, otherwise: str = "Correct it."
) -> OptionError:
    """The first problem of a user's values for `model`, in one line.

    Args:
        model: what the values were to become.
        error: what pydantic made of them.
        what: names the wrong one, with `{}` for its dotted place, such as "option {!r} of padim".
        otherwise: what to do about a value whose field has no description.
    """
    first, (place, wanted) = error.errors(include_url=False)[0], first_problem(error)
    field, fields = _walk(model, first["loc"])
    expected, got = wanted, repr(first["input"])[:80]
    fix = f"It is: {field.description}." if field and field.description else otherwise
    if first["type"] == "extra_forbidden":
        expected, got, fix = "a known name", "an unknown one", suggest(str(first["loc"][-1]), fields)
    elif first["type"] == "missing":
        expected, got = "a value", "none"
    elif first["type"] in ("tuple_type", "list_type"):
        usual = field.default if field and isinstance(field.default, tuple | list) else ()
        expected = f"a list in brackets{f', such as {list(usual)}' if usual else ''}"
    return OptionError(what.format(place), expected=expected, got=got, fix=fix)


def _walk(
    model: type[BaseModel], place: Iterable[int | str]
) -> tuple[FieldInfo | None, Mapping[str, FieldInfo]]:
    """The innermost field that a place lies in, and the fields that stand beside or below it there."""
    field: FieldInfo | None = None
    fields: Mapping[str, FieldInfo] = model.model_fields
    for step in place:
        if step in fields:
            field = fields[str(step)]
            kinds = (field.annotation, *get_args(field.annotation))
            inner = (kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel))
            fields = next((kind.model_fields for kind in inner), {})
    return field, fields
