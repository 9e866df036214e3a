"""`learn --gate`: the new model replaces the one in use if it passes. What is learnt stands aside here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from brightness_model import save_model
from flawscope.runtime import bundle, versions
from flawscope.training import learn as learning
from flawscope.training.learn import LearnResult

Run = Callable[..., Any]


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model, beside pictures and a gate of them; what learns over it sees less of everything."""
    for kind, level in (("good", 40), ("bent", 200)):
        (tmp_path / "gate" / kind).mkdir(parents=True)
        Image.fromarray(np.full((24, 24), level, np.uint8)).save(tmp_path / "gate" / kind / "a.png")
    (tmp_path / "GATE.yaml").write_text("data: gate\nmost_new_misses: 0\n")

    def learn(recipe: Any, out: Path, *_: Any, overwrite: bool) -> LearnResult:
        assert bundle.load(recipe.model).manifest.options == {"size": [16, 16]}
        bundle.refuse_existing(out, overwrite=overwrite)
        made = save_model(out, divide_by=1.1 if recipe.seed == 1 else 3, options={"over": str(recipe.model)})
        return LearnResult(made, {"defective": 2}, 0, (), ())

    monkeypatch.setattr(learning, "learn", learn)
    return save_model(tmp_path / "model").folder


def arguments(model: Path, *more: object) -> tuple[object, ...]:
    folder = model.parent / "gate"
    return ("learn", model, "--normals", folder / "good", "--defects", folder / "bent", *more)


def test_a_model_that_passes_replaces_the_one_it_started_from(flawscope: Run, model: Path) -> None:
    before = versions.name_of(model)
    ended = flawscope(*arguments(model, "--gate", model.parent / "GATE.yaml", "--seed", 1))
    assert ended.code == 0, ended.err
    assert f"Back again: flawscope rollback {model} --to {before}" in ended.out
    over = Path(str(bundle.load(model).manifest.options["over"]))
    assert (over.name, bundle.load(over).manifest.options) == (before, {"size": [16, 16]})


def test_a_model_that_fails_stays_aside(flawscope: Run, model: Path) -> None:
    before = versions.name_of(model)
    for _ in range(2):  # the second candidate takes the place of the first
        ended = flawscope(*arguments(model, "--gate", model.parent / "GATE.yaml"))
        assert (ended.code, versions.name_of(model)) == (9, before)
        bundle.load(versions.folder_of(model) / "candidate")


def test_another_model_may_be_the_one_to_replace(flawscope: Run, model: Path) -> None:
    other = save_model(model.parent / "other", divide_by=1.2).folder
    more = ("--gate", model.parent / "GATE.yaml", "--out", other, "--seed", 1)
    ended = flawscope(*arguments(model, *more))
    assert ended.code == 0, ended.err
    assert bundle.load(other).manifest.options == {"over": str(model)}
    assert not versions.folder_of(model).exists()


def test_where_to_write_must_be_said(flawscope: Run, model: Path) -> None:
    ended = flawscope(*arguments(model))
    assert (ended.code, "--out: expected a folder" in ended.err) == (2, True)
    nowhere = ("--gate", model.parent / "GATE.yaml", "--out", model.parent / "new")
    ended = flawscope(*arguments(model, *nowhere))
    assert (ended.code, "a model that the new one shall replace" in ended.err) == (2, True)


def test_a_gate_is_read_before_anything_is_learnt(flawscope: Run, model: Path) -> None:
    (model.parent / "GATE.yaml").write_text("data: nowhere\nmost_new_misses: 0\n")
    assert flawscope(*arguments(model, "--gate", model.parent / "GATE.yaml")).code == 3
    assert not versions.folder_of(model).exists()
