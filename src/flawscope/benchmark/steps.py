"""Training steps of a method and of those that it builds on, and runs with fewer of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flawscope.methods.registry import method_class, options_of, parse_options
from flawscope.training.recipe import Recipe

Options = Mapping[str, Any]


def resolved_options(recipe: Recipe) -> dict[str, Any]:
    """Every option of the recipe's method.

    Raises:
        OptionError: an unknown method, preset or option, or a wrong value.
    """
    given = options_of(recipe.method, recipe.preset, recipe.options)
    parsed = parse_options(recipe.method, method_class(recipe.method).Options, given)
    return parsed.model_dump(mode="json")


def counted(method: str, options: Options) -> dict[str, int | None]:
    """The option `steps` of the method and of those that it builds on, by name, where they have one."""
    found = {method: options["steps"]} if "steps" in options else {}
    for base in built_on(options):
        found |= counted(base["method"], base["options"])
    return found


def built_on(options: Options) -> Iterator[dict[str, Any]]:
    """Method and options of the detectors and the classifier that a method builds on."""
    yield from options.get("detectors") or ()
    if options.get("classifier"):
        yield options["classifier"]


def shortened(recipe: Recipe, steps: int) -> Recipe:
    """The recipe with so many steps in every method of it that counts steps.

    Raises:
        OptionError: as `resolved_options`.
    """
    whole = resolved_options(recipe)
    changes: dict[str, Any] = {"steps": steps} if "steps" in whole else {}
    for base in built_on(whole):
        if "steps" in base["options"]:
            base["options"]["steps"] = steps
    changes |= {name: whole[name] for name in ("detectors", "classifier") if name in whole}
    return recipe.model_copy(update={"options": {**recipe.options, **changes}})
