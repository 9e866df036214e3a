"""The walk-through of a model that keeps up with its line, run as it is written."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "keeping_up.md"
PIECE = re.compile(r"^```(console|python|yaml)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


def test_every_step_works_and_says_what_the_page_says(
    preset: str, flawscope: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    said = list[tuple[str, str]]()
    for kind, text in PIECE.findall(PAGE.read_text(encoding="utf-8")):
        if kind == "python":
            exec(compile(text, str(PAGE), "exec"), {})  # noqa: S102
        elif kind == "yaml":
            Path("GATE.yaml").write_text(text, encoding="utf-8")
        else:
            for command in re.findall(r"^\$ flawscope (.+)$", text, flags=re.MULTILINE):
                done = flawscope(*shlex.split(command))
                assert done.code == 0, f"{command}\n{done.out}\n{done.err}"
                said.append((command, done.out + done.err))
    assert len(said) >= 14
    whole = dict(said)
    versions = [text for command, text in said if command.endswith("--list")]
    assert versions[0] != versions[1]
    assert "Brightness has fallen" in whole["inspect models/cover evening --out results"]
    assert "Whole:" in whole["audit verify results --pictures"]
    assert Path("part.html").stat().st_size > 10_000
    if preset == "default":
        assert (
            "rejected 10 and rejects 0 now"
            in whole["update models/cover --normals lot_b/first --gate GATE.yaml"]
        )
