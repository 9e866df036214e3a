"""The base of everything that is read from files and options: frozen, and strict about names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from flawscope.errors import OptionError, suggest
from flawscope.files import encodable

_SHOULD = "Input should be "


Name = Annotated[str, AfterValidator(encodable)]  # what may come from names of files


class Frozen(BaseModel):
    """A value that never changes; a key that this version does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


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
    elif first["type"] in ("path_type", "string_type"):
        what_it_is = "a path" if first["type"] == "path_type" else "text"
        expected = f"{what_it_is}, put in quotes where it is a number, yes or no"
    elif first["type"] in ("tuple_type", "list_type"):
        usual = field.default if field and isinstance(field.default, tuple | list) else ()
        expected = f"a list in brackets{f', such as {list(usual)}' if usual else ''}"
    return OptionError(what.format(place), expected=expected, got=got, fix=fix)


def refuse_truths(
    model: BaseModel, values: Mapping[str, object], what: str, *, otherwise: str = "Correct it."
) -> None:
    """Refuse a yes or no of a user's `values` that `model`, made of them, took for a number.

    YAML reads yes, no, on and off as truth, and pydantic truth as 1 and 0, so that `seed: yes` is no mistake
    to either. `what` and `otherwise` are as in `option_error`.

    Raises:
        OptionError: at the first.
    """
    if (place := _taken_for_number(model, values)) is not None:
        field, _ = _walk(type(model), place)
        expected = "something else than yes, no, true or false, unless it is put in quotes"
        fix = f"It is: {field.description}." if field and field.description else otherwise
        name = ".".join(map(str, place))
        raise OptionError(what.format(name), expected=expected, got="truth, as YAML reads it", fix=fix)


def _taken_for_number(taken: object, value: object) -> tuple[int | str, ...] | None:
    if isinstance(value, bool):
        return None if isinstance(taken, bool) else ()
    pairs: Iterable[tuple[int | str, object, object]] = ()
    if isinstance(value, Mapping) and isinstance(taken, BaseModel):
        pairs = ((str(name), getattr(taken, str(name), None), inner) for name, inner in value.items())
    elif isinstance(value, list | tuple) and isinstance(taken, list | tuple):
        pairs = ((place, *both) for place, both in enumerate(zip(taken, value, strict=False)))
    for step, one, inner in pairs:
        if (place := _taken_for_number(one, inner)) is not None:
            return step, *place
    return None


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
