"""Options that come in kinds: what is wrong with a user's values is said in the words of their kind alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from flawscope.errors import OptionError, suggest
from flawscope.runtime.frozen import option_error

Kinds = Mapping[str, type[BaseModel]]


def explained(what: str, kinds: Kinds, example: str) -> WrapValidator:
    """For a union of options that `kind` tells apart: the first problem becomes an OptionError in one line.

    Args:
        what: names what the options make, such as "segments".
        kinds: the options' class of each kind.
        example: the kind that the message shows how to write.
    """

    def validated(values: Any, inner: ValidatorFunctionWrapHandler) -> Any:
        try:
            return inner(values)
        except ValidationError as error:
            raise _problem(values, error, what, kinds, example) from error

    return WrapValidator(validated)


def _problem(values: Any, error: ValidationError, what: str, kinds: Kinds, example: str) -> OptionError:
    problem = error.errors(include_url=False)[0]
    if not problem["loc"]:
        given = values.get("kind") if isinstance(values, dict) else values
        return OptionError(
            f"kind of {what}",
            expected=f"a known one, written {{kind: {example}}}",
            got="none" if given is None else repr(given)[:80],
            fix=suggest(str(given or ""), kinds),
        )
    kind, name = str(problem["loc"][0]), ".".join(str(step) for step in problem["loc"][1:])
    place = f"option {name!r} of {what} of kind {kind}"
    if problem["type"] != "extra_forbidden" or name.count("."):
        return option_error(kinds[kind], error, place)
    owners = [other for other, options in kinds.items() if name in options.model_fields]
    known = kinds[kind].model_fields.keys() - {"kind"}
    return OptionError(
        place,
        expected="an option of that kind",
        got=f"one of kind {' and '.join(owners)}" if owners else "an unknown one",
        fix=suggest(name, known) if known else f"Leave it out: kind {kind} has no options.",
    )
