"""The quick start of the documentation, run as it is written."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "quickstart.md"


@pytest.mark.usefixtures("preset")
def test_every_command_of_the_quick_start_works(
    flawscope: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^\$ flawscope (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(commands) >= 8
    for command in commands:
        done = flawscope(*shlex.split(command))
        assert done.code == 0, f"{command}\n{done.out}\n{done.err}"
    made = {path.name for path in (tmp_path / "results").iterdir()}
    assert {"report.html", "results.csv", "results.jsonl"} <= made
    assert (tmp_path / "evaluation" / "report.html").stat().st_size > 10_000
    assert not (tmp_path / "station" / "tray" / "weights.safetensors").exists()
