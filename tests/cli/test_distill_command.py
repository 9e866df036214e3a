"""`flawscope distill` as a user calls it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flawscope.distill.options import DistillOptions

TINY = (
    *("--teacher", "resnet18", "--layers", "layer1", "--features", "layers", "--weights", "random"),
    *("--student-size", 16, "--teacher-size", 32, "--precision", "fp32"),
)


def test_distil_then_measure(
    flawscope: Callable[..., Any], good_pictures: Callable[..., Path], tmp_path: Path
) -> None:
    pictures, out = good_pictures(4, side=32), tmp_path / "mine.safetensors"
    ended = flawscope("distill", pictures, "--out", out, *TINY, "--steps", 2, "--batch", 2, "--json")
    assert ended.code == 0
    result = json.loads(ended.out)
    assert result["pictures"] == {"trained_on": 3, "held_out": 1}
    assert result["held_out_r2"].keys() == {"layer1", "all"}
    assert json.loads(Path(result["card"]).read_text(encoding="utf-8"))["training"]["batch"] == 2
    ended = flawscope("distill", pictures, "--evaluate", out, *TINY, "--limit", 3, "--json")
    assert json.loads(ended.out)["pictures"] == 3
    ended = flawscope("distill", pictures, "--evaluate", out, *TINY)
    assert "R²: layer1 " in ended.out
    ended = flawscope("distill", pictures, "--out", out, *TINY)
    assert ended.code == 2
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "either --out or --evaluate, got neither"),
        (("--out", "x.safetensors", "--evaluate", "pdn_s"), "got both"),
        (("--out", "x.safetensors", "--precision", "fp8"), "auto, fp32 or bf16, got 'fp8'"),
        (("--out", "x.safetensors", "--schedule", "step"), "'constant' or 'cosine', got 'step'"),
        (("--out", "x.safetensors", "--teacher-size", "big"), "option 'teacher_size'"),
    ],
)
def test_wrong_options_end_with_code_2_and_one_line(
    flawscope: Callable[..., Any], tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    ended = flawscope("distill", tmp_path, *arguments)
    assert ended.code == 2
    assert message in ended.err
    assert ended.err.count("\n") == 1


def test_the_help_tells_the_defaults(flawscope: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    text = flawscope("distill", "--help").out
    defaults = DistillOptions()
    for value in (*defaults.teacher, defaults.steps, defaults.batch, *defaults.teacher_size):
        assert f"(default: {value})" in text or f"(default: {value}," in text
    for value in (defaults.student_size, defaults.grey, defaults.held_out, defaults.learning_rate):
        assert f"(default: {value})" in text
