"""`flawscope train --tiling`: what reaches training, what is printed, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flawscope.runtime.images import Frame
from flawscope.training import train as training
from flawscope.training.recipe import Recipe
from flawscope.training.tiling import TilingChoice, propose
from trained import Trained

Run = Callable[..., Any]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("big", "expected none, auto, or pixels from 32 to 8192"),
        ("64/65", "expected a stride of at most the size"),
    ],
)
def test_what_is_no_tile_is_refused_before_any_work(
    flawscope: Run, tmp_path: Path, text: str, words: str
) -> None:
    ended = flawscope("train", tmp_path, "--tiling", text)
    assert ended.code not in (0, 1)
    assert words in ended.err
    assert ended.err.count("\n") == 1


def test_the_choice_reaches_training_and_its_sentence_the_json(
    flawscope: Run, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wished: list[Recipe] = []

    def train(recipe: Recipe, *rest: Any, **named: Any) -> Any:
        wished.append(recipe)
        proposal = propose(recipe.tiling, Frame(320, 320), [(512, 1408)])
        return replace(trained.result, proposal=proposal)

    monkeypatch.setattr(training, "train", train)
    ended = flawscope("train", tmp_path, "--tiling", "auto", "--set", "tiling.learn_from=whole", "--json")
    assert wished[0].tiling == TilingChoice(size="auto", learn_from="whole")
    told = json.loads(ended.out)["tiling"]
    assert told["sentence"].startswith("Pictures of 1408×512: 2×5 tiles of 320 with overlap 32;")
    assert (told["rows"], told["columns"], told["scale"]) == (2, 5, 1.0)
    assert json.loads(ended.out)["how_seen"] == told["sentence"]
    ended = flawscope("train", tmp_path, "--tiling", "none", "--json")
    assert json.loads(ended.out)["tiling"] is None
    assert json.loads(ended.out)["how_seen"] is None  # as it was asked for
