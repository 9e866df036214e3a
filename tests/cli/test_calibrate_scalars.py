"""`calibrate --local-weight` and `--set`: knobs turned from the command line; `train --engine`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flawscope.runtime import bundle
from trained import Trained

Run = Callable[..., Any]


@pytest.fixture
def model(knobbed: Trained, tmp_path: Path) -> Path:
    return Path(shutil.copytree(knobbed.folder, tmp_path / "model"))


@pytest.mark.parametrize("arguments", [("--local-weight", "0.7"), ("--set", "local_weight=0.7")])
def test_a_knob_is_turned_and_the_new_promise_printed(
    flawscope: Run, model: Path, knobbed: Trained, arguments: tuple[str, ...]
) -> None:
    ended = flawscope("calibrate", model, *arguments, "--normals", knobbed.pictures / "good")
    assert ended.code == 0, ended.err
    assert "34 good pictures scored with local_weight 0.7, in place of 14 scores. 66 were known" in ended.out
    assert "from 34 good pictures" in ended.out
    assert bundle.load(model).manifest.scalar_values() == {"local_weight": 0.7}


def test_json_tells_the_scalars(flawscope: Run, model: Path, knobbed: Trained) -> None:
    plain = json.loads(flawscope("calibrate", model, "--json").out)
    assert (plain["scalars"], plain["replaced"]) == ({"local_weight": 0.25}, 0)
    good = knobbed.pictures / "good"
    turned = json.loads(flawscope("calibrate", model, "--local-weight", 1, "--normals", good, "--json").out)
    assert turned["scalars"] == {"local_weight": 1.0}
    assert (turned["added"], turned["known"], turned["replaced"], turned["scores"]) == (34, 66, 14, 34)
    assert turned["reject_threshold"] != plain["reject_threshold"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("calibrate", "{model}", "--local-weight", "0.7"), 2, "--normals"),
        (("calibrate", "{model}", "--local-weight", "7", "--normals", "{good}"), 2, "expected 0 to 1"),
        (("calibrate", "{model}", "--set", "gain=1", "--normals", "{good}"), 2, "Known: local_weight"),
        (("calibrate", "{model}", "--set", "gain=1"), 2, "Known: local_weight"),
        (("calibrate", "{model}", "--confidence", "95"), 2, "--confidence: expected a share"),
        (("calibrate", "{model}", "--groups", "absent.csv:part", "--normals", "{good}"), 3, "Check the path"),
        (("calibrate", "{model}", "--set", "local_weight"), 2, "NAME=VALUE"),
        (("calibrate", "{model}", "--set", "local_weight=much"), 2, "NAME=VALUE"),
        (
            ("calibrate", "{model}", "--set", "local_weight=1", "--local-weight", "0"),
            2,
            "has a value already",
        ),
        (
            ("calibrate", "{plain}", "--local-weight", "0.7", "--normals", "{good}"),
            2,
            "patchcore has no knobs",
        ),
        (("train", "{good}", "--engine", "openvno"), 2, "'auto', 'onnxruntime' or 'openvino'"),
        (
            ("train", "{good}", "--engine", "onnxruntime", "--engine-precision", "bf16"),
            2,
            "expected fp32 with onnxruntime",
        ),
        (("train", "{good}", "--engine-precision", "bf61"), 2, "'engine.precision': expected"),
    ],
)
def test_a_mistake_ends_in_one_clear_line(
    flawscope: Run,
    model: Path,
    knobbed: Trained,
    trained: Trained,
    arguments: tuple[str, ...],
    code: int,
    words: str,
) -> None:
    places = {"model": model, "plain": trained.folder, "good": knobbed.pictures / "good"}
    ended = flawscope(*(argument.format(**places) for argument in arguments))
    assert ended.code == code, ended.err
    assert words in ended.err
    assert ended.err.count("\n") == 1
