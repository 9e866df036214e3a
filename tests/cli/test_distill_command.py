"""`flawscope distill` as a user calls it."""

from __future__ import annotations

import itertools
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flawscope.distill.cards import NAMED, command
from flawscope.distill.options import DistillOptions
from flawscope.distill.run import parse_options
from flawscope.nn.run import Run
from flawscope.training.settings import settled

TINY = (
    *("--teacher", "resnet18", "--layers", "layer1", "--features", "layers", "--precision", "fp32"),
    *("--set", "weights=random", "--set", "student_size=16", "--set", "teacher_size=32"),
)


def test_distil_then_measure(
    flawscope: Callable[..., Any], good_pictures: Callable[..., Path], tmp_path: Path
) -> None:
    pictures, out = good_pictures(4, side=32), tmp_path / "mine.safetensors"
    ended = flawscope("distill", pictures, "--out", out, *TINY, "--steps", 2, "--set", "batch=2", "--json")
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
        (("--out", "x.safetensors", "--precision", "fp8"), 'a known name, got "fp8". Known: auto, bf16'),
        (("--out", "x.safetensors", "--set", "schedule=step"), "'constant' or 'cosine', got 'step'"),
        (("--out", "x.safetensors", "--set", "teacher_size=big"), "option 'teacher_size.0'"),
        (("--out", "x.safetensors", "--set", "crops=0.5"), 'Did you mean "crop"?'),
    ],
)
def test_wrong_options_end_with_code_2_and_one_line(
    flawscope: Callable[..., Any], tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    ended = flawscope("distill", tmp_path, *arguments)
    assert ended.code == 2
    assert message in ended.err
    assert ended.err.count("\n") == 1


def test_the_help_names_every_option(flawscope: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    options, _, keys = flawscope("distill", "--help").out.partition("Keys of --set: ")
    for name in DistillOptions.model_fields:
        assert f"--{name} " in options or name in keys.replace(",", " ").replace(";", " ").split()


def test_the_card_gives_the_command_again() -> None:
    made = DistillOptions(
        teacher=("resnet18", "resnet34"),
        layers=(("layer1",), ("layer2", "layer3")),
        teacher_size=(256, 512),
        learning_rate=1e-5,
        flips=True,
    )
    words = shlex.split(command("nature", "mine.safetensors", made, Run()))
    given = list(itertools.pairwise(words))
    named = {name: value for name in NAMED for option, value in given if option == f"--{name}"}
    assert parse_options(settled({}, named, [value for option, value in given if option == "--set"])) == made
