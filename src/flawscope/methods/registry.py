"""Methods by name: this package's own, and those that other packages add through entry points."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import PydanticUndefined

from flawscope.errors import MissingExtraError, OptionError, suggest
from flawscope.methods.detector import Detector, DetectorOptions, Output

GROUP = "flawscope.methods"
BUILT_IN = {
    "classifier": "flawscope.methods.supervised.classifier:Classifier",
    "devnet": "flawscope.methods.supervised.devnet:DevNet",
    "dra": "flawscope.methods.dra:DRA",
    "efficientad": "flawscope.methods.efficientad:EfficientAD",
    "fastflow": "flawscope.methods.fastflow.detector:FastFlow",
    "multiscale_patch": "flawscope.methods.multiscale_patch:MultiScalePatch",
    "padim": "flawscope.methods.padim:PaDiM",
    "patchcore": "flawscope.methods.patchcore.detector:PatchCore",
    "rd4ad": "flawscope.methods.rd4ad:RD4AD",
    "segad": "flawscope.methods.segad:SegAD",
}


@dataclass(frozen=True, slots=True)
class OptionInfo:
    """One option of a method, for help texts."""

    name: str
    default: Any
    type: str
    help: str


@dataclass(frozen=True, slots=True)
class MethodInfo:
    """A method's first line of documentation, its options and its outputs."""

    name: str
    summary: str
    options: tuple[OptionInfo, ...]
    outputs: tuple[Output, ...]


def available() -> tuple[str, ...]:
    """All known method names, sorted."""
    return tuple(sorted({*BUILT_IN, *(point.name for point in entry_points(group=GROUP))}))


def method_class(name: str) -> type[Detector]:
    """The class behind a method's name.

    Raises:
        OptionError: unknown name, or an entry point that does not lead to a Detector.
        MissingExtraError: the package behind an entry point lacks something that it imports.
    """
    if name in BUILT_IN:
        module, attribute = BUILT_IN[name].split(":")
        found = getattr(importlib.import_module(module), attribute)
    else:
        found = _load(_entry_point(name))
    if not (isinstance(found, type) and issubclass(found, Detector)):
        raise OptionError(
            f"method {name!r}",
            expected="a subclass of flawscope.methods.detector.Detector",
            got=repr(found),
            fix="Correct the entry point of the package that adds it.",
        )
    return found


def create(name: str, options: Mapping[str, Any] | None = None) -> Detector:
    """An unfitted detector: `options` over the paper's defaults.

    Raises:
        OptionError: unknown method or option, or a value that the option does not take.
    """
    kind = method_class(name)
    return kind(parse_options(name, kind.Options, options or {}))


def parse_options(name: str, model: type[DetectorOptions], values: Mapping[str, Any]) -> DetectorOptions:
    """Options from plain values, with the first problem as one line."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise _option_error(name, model, error) from error


def describe(name: str) -> MethodInfo:
    """What `flawscope methods` prints about one method."""
    kind = method_class(name)
    options = tuple(
        OptionInfo(
            option,
            field.default if field.default is not PydanticUndefined else None,
            _type_text(field.annotation),
            field.description or "",
        )
        for option, field in kind.Options.model_fields.items()
    )
    return MethodInfo(name, (kind.__doc__ or "").strip().splitlines()[0], options, kind.outputs)


def _type_text(annotation: Any) -> str:
    """A type in words that fit into a table."""
    parts = get_args(annotation)
    origin = get_origin(annotation)
    if origin is Literal:
        return " | ".join(str(part) for part in parts)
    if origin is Annotated:
        return _type_text(parts[0])
    if origin is tuple:
        if Ellipsis in parts:
            return f"list of {_type_text(parts[0])}"
        return f"({', '.join(_type_text(part) for part in parts)})"
    if parts:
        return " | ".join(_type_text(part) for part in parts)
    return "none" if annotation is type(None) else str(getattr(annotation, "__name__", annotation))


def _entry_point(name: str) -> EntryPoint:
    for point in entry_points(group=GROUP):
        if point.name == name:
            return point
    raise OptionError(
        f"method {name!r}",
        expected="the name of a method",
        got="an unknown one",
        fix=suggest(name, available()),
    )


def _load(point: EntryPoint) -> Any:
    try:
        return point.load()
    except ImportError as error:
        raise MissingExtraError(
            f"method {point.name!r}",
            expected=f"{point.value} to import",
            got=" ".join(str(error).split()),
            fix="Install what the package that adds it needs.",
        ) from error


def _option_error(name: str, model: type[DetectorOptions], error: ValidationError) -> OptionError:
    first = error.errors(include_url=False)[0]
    path = ".".join(str(part) for part in first["loc"])
    if not path:
        return OptionError(
            f"options of {name}",
            expected="ones that fit together",
            got=f"others: {_plain(first['msg'])}",
            fix=f"`flawscope methods {name}` lists them.",
        )
    if first["type"] == "extra_forbidden":
        return OptionError(
            f"option {path!r} of {name}",
            expected="an option of the method",
            got="an unknown one",
            fix=suggest(path, model.model_fields),
        )
    option = path.split(".", maxsplit=1)[0]
    about = model.model_fields[option].description if option in model.model_fields else None
    return OptionError(
        f"option {path!r} of {name}",
        expected=_plain(first["msg"]),
        got=repr(first["input"])[:80],
        fix=f"It is: {about}." if about else "See `flawscope methods`.",
    )


def _plain(message: str) -> str:
    """Pydantic's sentence as the object of `expected`."""
    text = message.removeprefix("Value error, ").removeprefix("Input should be ")
    return text[:1].lower() + text[1:]
