"""Help of all commands, and what the program tells of its methods."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from flawscope.cli import options
from flawscope.cli.app import app
from flawscope.methods.registry import available
from flawscope.products import PRODUCTS

ROOT = Path(__file__).resolve().parents[2]

Run = Callable[..., Any]


def test_help_names_every_rendered_product() -> None:
    assert [name for name in PRODUCTS if name not in options.RENDERED] == []


def test_the_documented_help_is_the_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    done = subprocess.run(  # noqa: S603
        [sys.executable, str(ROOT / "scripts" / "cli_docs"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_command_has_help_with_examples(flawscope: Run) -> None:
    group: Any = typer.main.get_command(app)
    commands = [
        [name, *inner]
        for name, one in group.commands.items()
        for inner in ([[sub] for sub in getattr(one, "commands", {})] or [[]])
    ]
    assert len(commands) > 12
    for command in commands:
        ended = flawscope(*command, "--help")
        assert ended.code == 0
        _, _, examples = ended.out.partition("Examples")
        assert f"flawscope {' '.join(command)}" in examples, command


@pytest.mark.parametrize("command", [["compare"], ["audit", "verify"]])
def test_words_below_the_options_fill_the_lines_of_the_terminal(flawscope: Run, command: list[str]) -> None:
    *_, words = flawscope(*command, "--help").out.rstrip().split("\n\n")
    lines = [line.strip() for line in words.splitlines() if line.strip()][-4:]
    assert min(map(len, lines[:-1])) > 60


@pytest.mark.parametrize("name", available())
def test_every_method_is_told_as_json(flawscope: Run, name: str) -> None:
    (told,) = json.loads(flawscope("methods", name, "--json").out)
    assert told["name"] == name
    assert told["summary"]
    assert {"name", "default", "type", "help"} == set(told["options"][0])
    assert {"score", "heatmap"} >= {output["kind"] for output in told["outputs"][:2]}
    for values in told["presets"].values():
        assert set(values) <= {option["name"] for option in told["options"]}


def test_what_a_preset_changes_stands_below_the_plain_value(flawscope: Run) -> None:
    told = flawscope("methods", "patchcore").out
    (line,) = (line for line in told.splitlines() if "bank_limit" in line)
    below = told.partition(line)[2].splitlines()[1:3]
    assert "None" in line
    assert [value in row for value, row in zip(("default: 6000", "fast: 2000"), below, strict=True)] == [
        True,
        True,
    ]


def test_options_within_options_are_indented(flawscope: Run) -> None:
    rows = [line.split("│")[2] for line in flawscope("methods", "csad").out.splitlines() if "│" in line]
    lines = [row.rstrip()[1:] for row in rows]
    start = lines.index("kind: components")
    assert lines[start + 1 : start + 4] == ["preset: paper", "proposer:", "  kind: areas"]
    assert lines.index("  features:") + 2 < lines.index("    rotations: 60")
    assert lines[lines.index("  cells: auto") - 1] == "default:"
    assert "- method: patchcore" in flawscope("methods", "segad").out


def test_methods_built_on_others_tell_them_as_json(flawscope: Run) -> None:
    (told,) = json.loads(flawscope("methods", "segad", "--json").out)
    (detectors,) = (option["default"] for option in told["options"] if option["name"] == "detectors")
    assert detectors
    assert {detector["method"] for detector in detectors} <= set(available())
