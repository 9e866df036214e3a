"""Recipes as plain values: read from YAML, set key by key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flawscope.errors import InputError, OptionError, need

RECIPE_LIMIT = 1 << 22  # bytes: of a model that was taught fifty thousand pictures, each by its name


def read_recipe(path: Path) -> dict[str, Any]:
    """The plain values of a recipe file (YAML, safe loader).

    Raises:
        InputError: missing, too large, not YAML, or not a mapping.
    """
    yaml = yaml_package()
    path = Path(path)

    def refused(expected: str, got: str) -> InputError:
        fix = "Correct the file, or start from the recipe.yaml of a model folder."
        return InputError(f"recipe {path}", expected=expected, got=got, fix=fix)

    try:
        if path.stat().st_size > RECIPE_LIMIT:
            raise refused(f"a YAML file below {RECIPE_LIMIT >> 20} MiB", f"{path.stat().st_size} bytes")
        text = path.read_text(encoding="utf-8")
        twice = _twice(yaml.compose(text, Loader=yaml.SafeLoader))
        if twice is not None:
            raise refused("each key once", f"{twice.value!r} again in line {twice.start_mark.line + 1}")
        values = yaml.safe_load(text)
    except OSError as error:
        raise refused("a readable YAML file", (error.strerror or str(error)).lower()) from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise refused("a readable YAML file", " ".join(str(error).split())[:200]) from error
    if not isinstance(values, dict):
        raise refused("a mapping of keys to values", type(values).__name__)
    return values


def _twice(top: Any) -> Any:
    """The first key of a YAML node, or of one below it, that its mapping has already, else None.

    YAML takes the last of two, so that a second `options:` would drop the first without a word.
    """
    waiting, seen = [top], set[int]()
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in seen or isinstance(node.value, str):
            continue
        seen.add(id(node))
        met = set[str]()
        for one in node.value:
            key, value = one if isinstance(one, tuple) else (None, one)
            if key is not None and isinstance(key.value, str):
                if key.value in met:
                    return key
                met.add(key.value)
            waiting.append(value)
    return None


def settled(values: dict[str, Any], named: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """`values` with each dotted key of `named` set that is not None, then each `a.b=c` of `settings`.

    Raises:
        OptionError: as `set_key` and `apply_settings`.
    """
    result: dict[str, Any] = _copied(values)
    for key, value in named.items():
        if value is not None:
            set_key(result, key, value)
    return apply_settings(result, settings)


def apply_settings(values: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """`values` with each `a.b=c` set; c is read as YAML, so numbers, lists and null keep their types.

    >>> apply_settings({"options": {"coreset": 0.1}}, ["options.coreset=0.01", "seed=3"])
    {'options': {'coreset': 0.01}, 'seed': 3}
    """
    yaml = yaml_package()
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


def yaml_package() -> Any:
    """PyYAML, which only training needs.

    Raises:
        MissingExtraError: it is not installed.
    """
    return need("yaml", what="recipes", extra="train")
