"""The quick start of the documentation, run as it is written."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "quickstart.md"


def test_every_command_of_the_quick_start_works(tmp_path: Path) -> None:
    commands = re.findall(r"^\$ flawscope (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(commands) >= 8
    for command in commands:
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "flawscope", *shlex.split(command)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    made = {path.name for path in (tmp_path / "results").iterdir()}
    assert {"report.html", "results.csv", "results.jsonl"} <= made
    assert (tmp_path / "evaluation" / "report.html").stat().st_size > 10_000
    assert not (tmp_path / "station" / "tray" / "weights.safetensors").exists()
