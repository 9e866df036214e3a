"""`scripts/kill_tests` kills for real, and finds what a kill has broken."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from brightness_model import save_model
from flawscope.runtime import versions

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "kill_tests"
ROLLBACK = "import sys; from pathlib import Path; from flawscope.runtime import versions; "
ROLLBACK += "versions.rollback(Path(sys.argv[1]))"
BREAK = "import sys, time; from pathlib import Path; "
BREAK += "(Path(sys.argv[1]) / 'model.onnx').write_bytes(b''); time.sleep(1)"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = save_model(tmp_path / "models" / "a").folder
    versions.switch(folder, save_model(versions.candidate_place(folder), divide_by=2).folder)
    return folder


def kill_tests(model: Path, code: str, *more: str) -> subprocess.CompletedProcess[str]:
    options = ["--restore", str(model.parent), "--check", "model", str(model), *more]
    command = [sys.executable, str(SCRIPT), *options, "--", sys.executable, "-c", code, str(model)]
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own


def test_a_rollback_that_is_killed_leaves_a_whole_model(model: Path) -> None:
    done = kill_tests(model, ROLLBACK, "--runs", "2", "--seed", "1")
    assert (done.returncode, "2 runs, 0 of them failed" in done.stdout) == (0, True), done.stdout


def test_a_model_that_a_kill_has_broken_is_found(model: Path) -> None:
    done = kill_tests(model, BREAK, "--runs", "1")
    assert (done.returncode, "model.onnx as its manifest describes it" in done.stdout) == (1, True)
