"""A budget: who is left out, what is said of it, and that the rest stays as it was."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from flawscope.data.pictures import Pictures
from flawscope.data.training import TrainingData
from flawscope.methods.committee import Committee
from flawscope.methods.committee.budget import leave_out, shared
from flawscope.methods.detector import Detector
from flawscope.methods.running import restored, score
from flawscope.nn.run import Run
from flawscope.nn.watch import Watch
from flawscope.training import budget
from flawscope.training import train as training
from flawscope.training.recipe import Recipe
from flawscope.training.train import train
from trained import write_pictures

from .conftest import BANKS, PADIM, PARTS, SMALLER, committee


class Listed:
    """Members with levels on good pictures and times, as a committee has them."""

    def __init__(self, levels: dict[str, list[float]], times: dict[str, float]) -> None:
        self.levels, self.times = levels, times
        self.names = tuple(levels)

    @property
    def good_levels(self):
        import torch

        return torch.tensor(list(self.levels.values())).T

    def without(self, number: int) -> Listed:
        kept = {name: row for name, row in self.levels.items() if name != self.names[number]}
        return Listed(kept, self.times)

    @property
    def milliseconds(self) -> float:
        return 5 + sum(self.times[name] for name in self.names)


LEVELS = {"a": [0.1, 0.5, 2.0, 0.3], "b": [0.2, 0.4, 1.9, 0.5], "c": [3.0, 0.1, 0.2, 1.0]}


def _left(times: dict[str, float], budget: float) -> tuple[tuple[str, ...], list[str]]:
    said: list[str] = []
    found = leave_out(Listed(LEVELS, times), budget, lambda one: one.milliseconds, Watch(say=said.append))
    return found.names, said


def test_of_members_that_tell_the_same_the_slower_goes() -> None:
    names, said = _left({"a": 4, "b": 8, "c": 9}, 20)
    assert names == ("a", "c")
    share = round(100 * shared(np.array(list(LEVELS.values())).T)[1][0])
    assert said == [
        f"b is left out, for a picture took 26 ms and may take 20. a tells {share}% of what moves its score "
        "on good pictures. Without it a picture takes 18 ms."
    ]


def test_members_go_until_the_budget_is_kept() -> None:
    assert _left({"a": 4, "b": 8, "c": 9}, 26)[0] == ("a", "b", "c")
    assert _left({"a": 4, "b": 8, "c": 9}, 10)[0] == ("a",)
    names, said = _left({"a": 4, "b": 8, "c": 9}, 3)
    assert names == ("a",)
    assert said[-1] == "A picture takes 9 ms with a alone, and may take 3."


@pytest.mark.parametrize(("left_out", "kept"), [(0, PARTS), (1, BANKS)])
def test_without_a_member_the_others_are_as_they_were(
    shared_again: Committee, tests: Pictures, left_out: int, kept: dict
) -> None:
    before = score(shared_again, tests, Run())
    smaller = shared_again.without(left_out)
    found = score(smaller, tests, Run())
    assert smaller.names == (kept["method"],)
    other = 1 - left_out
    np.testing.assert_allclose(found["raw_scores"][:, 0], before["raw_scores"][:, other], rtol=1e-5)
    np.testing.assert_allclose(found["score"], before["members"][:, other], rtol=1e-5)
    again = restored(
        "committee", smaller.options.model_dump(mode="json"), smaller.state_dict(), smaller.learnt.facts
    )
    np.testing.assert_allclose(score(again, tests, Run())["score"], found["score"], rtol=1e-6)


@pytest.fixture
def shared_again(request: pytest.FixtureRequest) -> Committee:
    found: Committee = request.getfixturevalue("shared")
    return found


def test_training_leaves_members_out_before_the_folds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    packed: list[Any] = []

    def timed(detector: Detector, pictures: Pictures, engines: object, watch: Watch) -> Detector:
        assert isinstance(detector, Committee)
        assert len(pictures)
        return detector.within_budget(lambda one: 10.0 * len(one.names), watch)

    monkeypatch.setattr(training, "within_budget", timed)
    monkeypatch.setattr(training, "pack", lambda *given: packed.extend(given))
    recipe = Recipe.parse(
        {
            "data": {"folder": str(write_pictures(tmp_path / "good", 20))},
            "method": "committee",
            "options": {"size": [64, 64], "members": [PADIM, SMALLER], "budget": 15},
            "split": {"folds": 2},
            "calibration": {"false_rejects": 0.2},
            "engine": {"name": "onnxruntime"},
        }
    )
    train(recipe, tmp_path / "model", watch=Watch(say=said.append))
    (left,) = [text for text in said if "left out" in text]
    assert left.startswith("smaller is left out, for a picture took 20 ms and may take 15. ")
    detector, contents = packed[1], packed[3]
    assert detector.names == ("padim",)
    fold, *_ = contents.held_out.scores
    assert len(fold) + len(contents.held_out.scores[1]) == 18
    assert [spec["name"] for spec in yaml.safe_load(contents.recipe)["options"]["members"]] == ["padim"]


def test_members_are_timed_as_models_are(data: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
    exported: list[str] = []
    asked: list[object] = []
    rows = [SimpleNamespace(milliseconds=took) for took in (30.0, 12.0)]
    monkeypatch.setattr(budget, "export", lambda one, folder: exported.append(one.names))
    monkeypatch.setattr(budget, "opened", lambda graphs, pairs, needed, watch: asked.append(pairs))
    monkeypatch.setattr(budget, "measured_speeds", lambda pipelines, some: SimpleNamespace(rows=rows))
    owner, said = committee(PADIM, budget=11.5).fit(data, Run()), list[str]()
    pairs = (("onnxruntime", "fp32"), ("openvino", "fp32"), ("openvino", "bf16"))
    assert budget.has_budget(owner)
    assert budget.within_budget(owner, data.normal, pairs, Watch(say=said.append)) is owner
    assert (exported, asked) == ([("padim",)], [list(pairs[:2])])
    assert said == ["A picture takes 12 ms with padim alone, and may take 11.5."]


def test_a_committee_without_a_budget_is_never_timed(data: TrainingData) -> None:
    owner = committee(PADIM)
    assert owner.within_budget(lambda one: pytest.fail("it is timed"), Watch()) is owner
