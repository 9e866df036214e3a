"""Methods by name, and one clear line for each mistake."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from flawscope.errors import MissingExtraError, OptionError
from flawscope.methods import registry
from flawscope.methods.patchcore import PatchCore
from flawscope.methods.registry import available, create, describe, method_class


def added(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    points = [EntryPoint("added", value, registry.GROUP)]
    monkeypatch.setattr(registry, "entry_points", lambda group: points if group == registry.GROUP else [])


def test_built_in_methods() -> None:
    assert {"padim", "patchcore"} <= set(available())
    assert method_class("patchcore") is PatchCore


def test_methods_of_other_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    added(monkeypatch, "two_filters:Added")
    assert "added" in available()
    assert method_class("added").__name__ == "Added"


def test_an_entry_point_has_its_classs_name(monkeypatch: pytest.MonkeyPatch) -> None:
    added(monkeypatch, "flawscope.methods.patchcore:PatchCore")
    with pytest.raises(OptionError, match=r"a class of that name, as PatchCore\.name tells, got 'patchcore'"):
        method_class("added")


def test_every_method_has_its_name_in_the_registry() -> None:
    assert all(method_class(name).name == name for name in registry.BUILT_IN)


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        ("flawscope.errors:OptionError", OptionError, "a subclass of"),
        ("no_such_package:Method", MissingExtraError, "No module named 'no_such_package'"),
    ],
)
def test_broken_entry_points(
    monkeypatch: pytest.MonkeyPatch, value: str, kind: type[Exception], message: str
) -> None:
    added(monkeypatch, value)
    with pytest.raises(kind, match=message):
        method_class("added")


@pytest.mark.parametrize(
    ("method", "options", "parts"),
    [
        ("pachcore", {}, ["'pachcore'", 'Did you mean "patchcore"?']),
        ("patchcore", {"corset": 0.1}, ["'corset' of patchcore", 'Did you mean "coreset"?']),
        (
            "patchcore",
            {"coreset": 3},
            ["'coreset' of patchcore", "less than or equal to 1", "got 3", "share of patches"],
        ),
        ("patchcore", {"size": [8, 256]}, ["'size.0' of patchcore", "greater than or equal to 32"]),
        ("patchcore", {"score": "median"}, ["'maximum'", "got 'median'"]),
    ],
)
def test_mistakes_are_one_line(method: str, options: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(OptionError) as caught:
        create(method, options)
    assert all(part in str(caught.value) for part in parts), str(caught.value)
    assert "\n" not in str(caught.value)


def test_options_are_frozen_and_survive_json() -> None:
    options = create("patchcore", {"backbone": "resnet18", "layers": ["layer1"], "size": [64, 32]}).options
    assert registry.parse_options("patchcore", PatchCore.Options, options.model_dump(mode="json")) == options
    with pytest.raises(ValidationError):
        options.size = (32, 32)


@pytest.mark.parametrize("name", ["padim", "patchcore"])
def test_every_option_is_described(name: str) -> None:
    info = describe(name)
    assert info.summary.endswith(".")
    assert all(option.help for option in info.options)
    types = {option.name: option.type for option in info.options}
    assert types["size"] == "(int, int)"
    assert types["aspect"] == "stretch | pad"
    assert types["layers"] == "list of str | none"
    assert types["smoothing"] == "float"


def test_options_that_contradict_each_other_are_told_in_one_sentence() -> None:
    with pytest.raises(OptionError) as told:
        create("multiscale_patch", {"scales": [16, 32]})
    assert str(told.value) == (
        "options of multiscale_patch: expected ones that fit together, got others: scales must fall, each "
        "once. `flawscope methods multiscale_patch` lists them."
    )


def test_the_documentation_names_every_method() -> None:
    page = (Path(__file__).parents[2] / "docs" / "methods.md").read_text(encoding="utf-8")
    assert [name for name in registry.BUILT_IN if f"`{name}`" not in page] == []
