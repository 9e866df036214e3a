"""`flawscope train --budget`: what reaches training, and what is refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flawscope.training import train as training
from flawscope.training.recipe import Recipe
from trained import Trained

Run = Callable[..., Any]


@pytest.mark.parametrize("text", ["20", "0ms", "fast", "-3ms"])
def test_what_is_no_time_is_refused_before_any_work(flawscope: Run, tmp_path: Path, text: str) -> None:
    ended = flawscope("train", tmp_path, "--method", "committee", f"--budget={text}")
    assert ended.code == 2
    assert (
        ended.err.strip()
        == f"flawscope: --budget: expected a time above 0 with its unit, got {text!r}. Say 20ms."
    )


def test_methods_without_members_have_none(flawscope: Run, tmp_path: Path) -> None:
    ended = flawscope("train", tmp_path, "--budget", "20ms")
    assert ended.code == 2
    assert "option 'budget' of joined_banks: expected a known name" in ended.err
    assert "Methods that have it: committee. Known: " in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(("text", "milliseconds"), [("20ms", 20.0), ("0.5 s", 500.0)])
def test_it_reaches_training_in_milliseconds(
    flawscope: Run,
    trained: Trained,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    milliseconds: float,
) -> None:
    asked: list[Recipe] = []
    monkeypatch.setattr(training, "train", lambda recipe, *_, **__: (asked.append(recipe), trained.result)[1])
    flawscope("train", tmp_path, "--method", "committee", "--budget", text)
    assert asked[0].options == {"budget": milliseconds}
