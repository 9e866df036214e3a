"""Methods by name: this package's own, and those that other packages add through entry points."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import Field, ValidationError
from pydantic_core import PydanticUndefined

from flawscope.errors import MissingExtraError, OptionError, unknown
from flawscope.methods.detector import Detector, DetectorOptions, Facts
from flawscope.runtime.frozen import Frozen, first_problem, option_error, refuse_truths
from flawscope.runtime.manifest import OutputSpec

GROUP = "flawscope.methods"
AnyOptions = TypeVar("AnyOptions", bound=DetectorOptions)
BUILT_IN = {
    "classifier": "flawscope.methods.supervised.classifier:Classifier",
    "committee": "flawscope.methods.committee:Committee",
    "csad": "flawscope.methods.csad.detector:CSAD",
    "devnet": "flawscope.methods.supervised.devnet:DevNet",
    "dra": "flawscope.methods.dra:DRA",
    "efficientad": "flawscope.methods.efficientad:EfficientAD",
    "fastflow": "flawscope.methods.fastflow:FastFlow",
    "joined_banks": "flawscope.methods.joined_banks:JoinedBanks",
    "multiscale_patch": "flawscope.methods.multiscale_patch:MultiScalePatch",
    "padim": "flawscope.methods.padim:PaDiM",
    "patchcore": "flawscope.methods.patchcore:PatchCore",
    "pni": "flawscope.methods.pni.detector:PNI",
    "rd4ad": "flawscope.methods.rd4ad:RD4AD",
    "sadsem": "flawscope.methods.sadsem.detector:SADSeM",
    "segad": "flawscope.methods.segad:SegAD",
}


class MethodSpec(Frozen):
    """A method, a preset of it, and options over that."""

    method: str = Field(description="a name from `flawscope methods`")
    preset: str | None = Field(None, description="named options of the method; by default its paper's values")
    options: dict[str, Any] = Field(default_factory=dict, description="options over the preset")


@dataclass(frozen=True, slots=True)
class OptionInfo:
    """One option of a method, for help texts."""

    name: str
    default: Any
    type: str
    help: str


@dataclass(frozen=True, slots=True)
class MethodInfo:
    """A method's first line of documentation, its options, presets and outputs, as its defaults have them."""

    name: str
    summary: str
    options: tuple[OptionInfo, ...]
    presets: Mapping[str, Mapping[str, Any]]
    outputs: tuple[OutputSpec, ...]


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
        point = next((point for point in entry_points(group=GROUP) if point.name == name), None)
        if point is None:
            raise unknown(f"method {name!r}", name, available())
        found = _load(point)
    if not (isinstance(found, type) and issubclass(found, Detector)):
        raise OptionError(
            f"method {name!r}",
            expected="a subclass of flawscope.methods.detector.Detector",
            got=repr(found),
            fix="Correct the entry point of the package that adds it.",
        )
    if found.name != name:
        raise OptionError(
            f"method {name!r}",
            expected=f"a class of that name, as {found.__name__}.name tells",
            got=repr(found.name),
            fix="Let the entry point of the package that adds it have the class's name.",
        )
    return found


def create(name: str, options: Mapping[str, Any] | None = None, facts: Facts | None = None) -> Detector:
    """An unfitted detector: `options` over the paper's defaults; `facts` of the fit that is to be restored.

    Raises:
        OptionError: unknown method or option, or a value that the option does not take.
    """
    kind = method_class(name)
    return kind(parse_options(name, kind.Options, options or {}), facts)


def parse_options(name: str, model: type[AnyOptions], values: Mapping[str, Any]) -> AnyOptions:
    """Options from plain values, derived ones written out.

    Raises:
        OptionError: the first problem.
    """
    what, otherwise = f"option {{!r}} of {name}", "See `flawscope methods`."
    try:
        made = model.model_validate(dict(values))
        refuse_truths(made, values, what, otherwise=otherwise)
        return made.resolved()
    except ValidationError as error:
        place, wanted = first_problem(error)
        if not place:
            raise contradiction(name, wanted) from error
        refused = option_error(model, error, what, otherwise=otherwise)
        unknown_name = error.errors(include_url=False)[0]["type"] == "extra_forbidden"
        raise _of_others(refused, name, place) if unknown_name else refused from error


def _of_others(refused: OptionError, name: str, option: str) -> OptionError:
    """The error for an unknown option, with the methods of this package that have one of that name."""
    others = [one for one in BUILT_IN if one != name and option in method_class(one).Options.model_fields]
    if not others:
        return refused
    fix = f"Methods that have it: {', '.join(others)}. {refused.fix}"
    return OptionError(refused.what, expected=refused.expected, got=refused.got, fix=fix)


def options_of(method: str, preset: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """The preset's options with `options` over them; `default` of a method without presets is empty.

    Raises:
        OptionError: the method has no preset of that name.
    """
    known = method_class(method).presets
    if preset is None or (preset == "default" and preset not in known):
        return dict(options)
    if preset not in known:
        raise unknown(f"preset of {method}", preset, known)
    return {**known[preset], **options}


def contradiction(method: str, wanted: str) -> OptionError:
    """Options that do not fit together: `wanted` says what would."""
    return OptionError(
        f"options of {method}",
        expected="ones that fit together",
        got=f"others: {wanted}",
        fix=f"`flawscope methods {method}` lists them.",
    )


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
    return MethodInfo(name, (kind.__doc__ or "").strip().splitlines()[0], options, kind.presets, kind.outputs)


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
