"""`flawscope compare`: it tells, or judges by a gate, and its exit code says which."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from brightness_model import save_model
from flawscope.station.gate import TEMPLATE


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A model, one that sees half as much, and pictures of both classes."""
    data = tmp_path / "data"
    (data / "train" / "good").mkdir(parents=True)
    for kind, level in (("good", 40), ("bent", 200)):
        (data / "test" / kind).mkdir(parents=True)
        for index in range(3):
            pixels = np.full((24, 24), level + index, np.uint8)
            Image.fromarray(pixels).save(data / "test" / kind / f"{index}.png")
    old, new = save_model(tmp_path / "old").folder, save_model(tmp_path / "new", divide_by=2.0).folder
    return old, new, data


def test_without_a_gate_it_only_tells(
    flawscope: Callable[..., Any],
    pair: tuple[Path, Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, new, data = pair
    monkeypatch.chdir(old)
    told = flawscope("compare", ".", new, "--data", data, "--out", tmp_path / "out")
    assert told.code == 0
    assert "defect missed now" in told.out
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert re.search(r'<p class="subtitle">old \(\w*\) → new \(', page)
    assert "gate" not in json.loads(flawscope("compare", old, new, "--data", data, "--json").out)


def test_a_gate_decides_the_exit_code(
    flawscope: Callable[..., Any], pair: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    old, new, _ = pair
    (tmp_path / "GATE.yaml").write_text("data: data\nmost_new_misses: 0\n")
    failed = flawscope("compare", old, new, "--gate", tmp_path / "GATE.yaml")
    assert failed.code == 9
    assert "FAILS  most_new_misses: 3 of 3 defective pictures, 0 allowed" in failed.out
    passed = flawscope("compare", new, old, "--gate", tmp_path / "GATE.yaml", "--json")
    assert (passed.code, json.loads(passed.out)["gate"]["passed"]) == (0, True)


def test_a_gate_whose_pictures_cannot_be_read_does_not_hold(
    flawscope: Callable[..., Any], pair: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    old, _, data = pair
    (tmp_path / "GATE.yaml").write_text("data: data\nmost_new_misses: 0\nmost_latency_ratio: 50\n")
    for name in ("0.png", "1.png"):
        (data / "test" / "bent" / name).write_text("bad")
    failed = flawscope("compare", old, old, "--gate", tmp_path / "GATE.yaml")
    assert failed.code == 9
    assert "FAILS  data: 2 of 6 pictures cannot be read" in failed.out
    assert "holds  most_new_misses: 0 of 1 defective pictures" in failed.out
    told = flawscope("compare", old, old, "--data", data, "--json")
    assert (told.code, json.loads(told.out)["old"]["misses"]) == (3, 0)
    for path in data.rglob("*.png"):
        path.write_text("bad")
    nothing = flawscope("compare", old, old, "--gate", tmp_path / "GATE.yaml")
    assert (nothing.code, "expected at least one that can be read" in nothing.err) == (3, True)


def test_pictures_must_be_named(flawscope: Callable[..., Any], pair: tuple[Path, Path, Path]) -> None:
    ended = flawscope("compare", *pair[:2])
    assert (ended.code, "--data: expected a folder, or a --gate" in ended.err) == (2, True)


def test_the_template_is_printed(flawscope: Callable[..., Any]) -> None:
    ended = flawscope("compare", "--gate-template")
    assert (ended.code, ended.out) == (0, TEMPLATE)
