"""`flawscope update`: what it says and writes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flawscope.runtime import versions
from flawscope.training import update as updating
from trained import Trained, write_pictures

Run = Callable[..., Any]


def test_it_says_in_plain_words_what_changed(flawscope: Run, trained: Trained, tmp_path: Path) -> None:
    model = shutil.copytree(trained.folder, tmp_path / "model")
    odd = write_pictures(tmp_path / "odd", 3, seed=21, spot=True)
    ended = flawscope("update", model, "--normals", odd, "--growth", "100%")
    assert ended.code == 0
    assert "Taught 3 good pictures: it has learnt from 69, before from 66." in ended.out
    assert "Of the taught pictures it rejected 3 and rejects 0 now." in ended.out
    assert "Calibrated again on 14 good pictures" in ended.out
    assert "At most 20 % of good parts are rejected" in ended.out


def test_pictures_that_calibrate_no_more_are_told(flawscope: Run, trained: Trained, tmp_path: Path) -> None:
    model = shutil.copytree(trained.folder, tmp_path / "left model")
    assert flawscope("calibrate", model, "--normals", write_pictures(tmp_path / "more", 1, seed=31)).code == 0
    ended = flawscope("update", model, "--normals", write_pictures(tmp_path / "odd", 1, seed=21, spot=True))
    assert "Taught 1 good picture: it has learnt from 67" in ended.out
    said = "1 picture that calibrated it before count no more. To add them again: flawscope calibrate"
    assert f"{said} '{model}' --normals FOLDER" in ended.out


def test_json_tells_the_same(flawscope: Run, trained: Trained, tmp_path: Path) -> None:
    odd = write_pictures(tmp_path / "odd", 3, seed=21, spot=True)
    shutil.copy(odd / "000.png", odd / "again.png")
    words = ("--normals", odd, "--growth", "100%", "--out", tmp_path / "out")
    told = json.loads(flawscope("update", trained.folder, *words, "--json").out)
    assert (told["taught"], told["known"], told["normal"]) == (3, 1, {"before": 66, "now": 69})
    assert told["rejected"] == {"before": 3, "now": 0}
    assert told["banks"]["bank"]["now"] > told["banks"]["bank"]["before"]
    assert told["model"] == str(tmp_path / "out")


def test_with_a_gate_the_model_changes_only_if_it_passes(
    flawscope: Run, trained: Trained, tmp_path: Path
) -> None:
    model = Path(shutil.copytree(trained.folder, tmp_path / "model"))
    odd = write_pictures(tmp_path / "odd", 3, seed=21, spot=True)
    write_pictures(tmp_path / "gate" / "good", 2, seed=31)
    write_pictures(tmp_path / "gate" / "spot", 3, seed=32, spot=True)
    gate, before = tmp_path / "GATE.yaml", versions.name_of(model)
    gate.write_text("data: gate\nleast_auroc_difference: 0.9\n")
    words = ("update", model, "--normals", odd, "--growth", "100%", "--gate", gate)
    failed = flawscope(*words)
    assert (failed.code, versions.name_of(model)) == (9, before)
    assert "FAILS  least_auroc_difference" in failed.out
    gate.write_text("data: gate\nmost_new_misses: 3\n")
    passed = json.loads(flawscope(*words, "--json").out)
    assert (passed["in_use"], passed["before"], passed["model"]) == (True, before, str(model))
    assert [row.entry["event"] for row in versions.rows(model)] == ["refused", "update"]
    ended = flawscope(*words, "--out", tmp_path / "out")
    assert (ended.code, "--out" in ended.err) == (2, True)


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (("--growth", "much"), 2, "--growth: expected a share such as 50% or 0.5, got 'much'"),
        (("--retrain",), 3, "pictures of the first training in"),
        ((), 3, "pictures to calibrate the taught model on"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    flawscope: Run,
    trained: Trained,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    code: int,
    line: str,
) -> None:
    more = write_pictures(tmp_path / "more", 2, seed=8)
    monkeypatch.setattr(updating, "read_recipe", lambda path: {"data": {"folder": "gone"}})
    ended = flawscope("update", trained.folder, "--normals", more, "--out", tmp_path / "out", *words)
    assert (ended.code, ended.out) == (code, "")
    assert line in ended.err
    assert ended.err.count("\n") == 1
