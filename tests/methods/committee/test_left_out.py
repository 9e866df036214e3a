"""Members that good pictures give nothing to compare: a committee does without, says why, and stays whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.data.samples import Sample
from flawscope.data.training import TrainingData
from flawscope.errors import UnsuitedError
from flawscope.methods.committee import Committee
from flawscope.methods.committee.learning import Fitted, counted_among_all
from flawscope.methods.csad.detector import CSAD
from flawscope.methods.detector import Learnt
from flawscope.methods.padim import PaDiM
from flawscope.methods.registry import create
from flawscope.methods.running import restored, score
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.runtime.images import Frame

from .conftest import BANKS, PADIM, PARTS, SMALLER, committee

Make = Callable[..., Pictures]


@pytest.fixture(scope="module")
def single(rings: Make) -> TrainingData:
    """Pictures of one ring, in which components have nothing to count."""
    return TrainingData(rings("one", 12, single=True), rings("another", 8, single=True))


@pytest.fixture
def unsuited(monkeypatch: pytest.MonkeyPatch) -> None:
    """PaDiM finds nothing to compare."""

    def refuse(*_: object) -> None:
        raise UnsuitedError("pixels", expected="some that recur", got="none", fix="Choose another method.")

    monkeypatch.setattr(PaDiM, "learn", refuse)


def test_components_with_nothing_to_count_are_left_out(
    single: TrainingData, tests: Pictures, shared: Committee
) -> None:
    said: list[str] = []
    owner = committee(PARTS, PADIM).fit(single, Run(), Watch(say=said.append))
    why = "10 of 10 good pictures show no two components"
    assert (owner.names, owner.left_out) == (("padim",), {"csad": why})
    assert f"csad is left out: {why}." in said
    assert (shared.names, shared.left_out) == (("joined_banks", "csad"), {})  # pictures of two rings
    found = score(owner, tests, Run())
    assert found["members"].shape == (4, 1)
    again = restored(
        "committee", owner.options.model_dump(mode="json"), owner.state_dict(), owner.learnt.facts
    )
    np.testing.assert_array_equal(score(again, tests, Run())["score"], found["score"])


def test_pictures_are_looked_at_once(
    single: TrainingData, rings: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = list[TrainingData]()

    def unsuited(_: CSAD, data: TrainingData, *__: object) -> str:
        looks.append(data)
        return "there is nothing to see"

    monkeypatch.setattr(CSAD, "unsuited", unsuited)
    committee(PARTS, PADIM).fit(single, Run())
    assert len(looks) == 1
    seen = committee(PARTS, PADIM)
    assert seen.look(single, Run(), UNWATCHED) == {"csad": "there is nothing to see"}
    again = TrainingData(single.normal, single.tuning)
    assert seen.fit(again, Run()).left_out == {"csad": "there is nothing to see"}
    assert len(looks) == 2
    seen.fit(TrainingData(rings("further", 12, single=True), single.tuning), Run())
    assert len(looks) == 3


def test_one_by_itself_stays_though_it_is_idle(single: TrainingData) -> None:
    assert committee(PARTS).fit(single, Run()).names == ("csad",)


@pytest.mark.usefixtures("unsuited")
def test_a_member_that_refuses_the_pictures_is_left_out(data: TrainingData) -> None:
    owner = committee(PADIM, BANKS).fit(data, Run())
    assert owner.names == ("joined_banks",)
    told = "pixels: expected some that recur, got none. Choose another method"
    assert owner.learnt.facts["left_out"] == {"padim": told}


@pytest.mark.usefixtures("unsuited")
def test_pictures_that_suit_no_member_are_refused(data: TrainingData) -> None:
    with pytest.raises(UnsuitedError, match="pixels: expected some that recur"):
        committee(PADIM, SMALLER).fit(data, Run())


def test_pictures_are_counted_among_all_that_the_committee_has() -> None:
    """A member has learnt from the second and the fourth of four."""
    samples = [Sample(Path(f"{number}.png"), "train", defective=False) for number in range(4)]
    member = create("padim", {"weights": "random", "size": (32, 32)})
    member.learnt = Learnt(facts={"shown": [[1, 0.2, 0.3], [0, 0.4, 0.5]], "places": [None, None]})
    own = TrainingData(PictureFiles(samples[1::2], Frame(32, 32)), PictureFiles([], Frame(32, 32)))
    fitted = Fitted({"banks": member}, {}, None, frozenset())
    counted_among_all(fitted, {"banks": own}, PictureFiles(samples, Frame(32, 32)))
    assert member.learnt.facts == {"shown": [[3, 0.2, 0.3], [1, 0.4, 0.5]], "places": [None, None]}
