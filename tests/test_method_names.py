"""What runs at the station knows no method by its name: manifests say all that it must know."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import flawscope
from flawscope.methods.registry import BUILT_IN

ROOT = Path(flawscope.__file__).parent
FOLDERS = ("runtime", "station", "report", "cli")
TOLD = {"help", "epilog"}  # what users read: names in examples and of other options' values


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_method_is_known_by_its_name(folder: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line, text in words(ast.parse(path.read_text(encoding="utf-8")))
        if names(text)
    ]
    assert found == []


def names(text: str) -> bool:
    """Whether a method's name stands in the text or identifier, as a word or between underscores."""
    spaced = re.sub(r"[^a-z0-9]+", " ", text.lower())
    return any(f" {name.replace('_', ' ')} " in f" {spaced} " for name in BUILT_IN)


def words(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Strings and identifiers of the code, without docstrings, examples and help texts."""
    for node in ast.iter_child_nodes(tree):
        if is_docstring(node) or is_examples(node) or (isinstance(node, ast.keyword) and node.arg in TOLD):
            continue
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield line, node.value
        for field in ("id", "attr", "arg", "name", "module"):
            value = getattr(node, field, None)
            if isinstance(value, str):
                yield line, value
        yield from words(node)


def is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def is_examples(node: ast.AST) -> bool:
    return isinstance(node, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id == "EXAMPLES" for target in node.targets
    )


def test_the_test_sees_names() -> None:
    code = (
        'def f(method):\n    """padim"""\n    return {"rd4ad": 1}[method] or uses_efficientad or "a dra net"'
    )
    found = [text for _, text in words(ast.parse(code)) if names(text)]
    assert found == ["rd4ad", "uses_efficientad", "a dra net"]
