"""A committee is taught by teaching its members: each holds more, and networks are shared as before."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from flawscope.data.pictures import Pictures
from flawscope.data.training import TrainingData
from flawscope.errors import OptionError
from flawscope.methods.committee import Committee
from flawscope.methods.running import restored, score, taught
from flawscope.nn.run import Run

from .conftest import BANKS, PADIM, PARTS, SMALLER, committee

TWINS = {"method": "efficientad", "options": {"size": [48, 48], "weights": "random", "steps": 1}}


@pytest.fixture(scope="module")
def new(rings: Callable[..., Pictures]) -> Pictures:
    """Good pictures that the members have not seen."""
    return rings("new", 4)


def test_members_take_in_new_pictures(data: TrainingData, new: Pictures, tests: Pictures) -> None:
    owner = committee(PADIM, BANKS, SMALLER).fit(data, Run())
    before = score(owner, tests, Run())
    alone = [taught(one, TrainingData(new, new.subset([])), Run()) for one in owner.members.apart()[:2]]
    after = taught(owner, TrainingData(new, data.tuning), Run())
    assert isinstance(after, Committee)
    found = score(after, tests, Run())
    assert len(after.members.networks) == 1
    for place, one in enumerate(alone):
        np.testing.assert_allclose(
            found["raw_scores"][:, place], score(one, tests, Run())["score"], rtol=1e-4, atol=1e-5
        )
    assert (np.abs(found["raw_scores"] - before["raw_scores"]).max(0)[[0, 2]] > 0).all()  # banks are full
    again = restored(
        "committee", after.options.model_dump(mode="json"), after.state_dict(), after.learnt.facts
    )
    np.testing.assert_allclose(score(again, tests, Run())["score"], found["score"], rtol=1e-6)


def test_levels_stay_where_no_tuning_pictures_are_at_hand(data: TrainingData, new: Pictures) -> None:
    owner = committee(PADIM).fit(data, Run())
    levels = {name: value.clone() for name, value in owner.levels.state_dict().items()}
    kept = taught(owner, TrainingData(new, new.subset([])), Run()).levels.state_dict()
    assert all(torch.equal(kept[name], value) for name, value in levels.items())
    renewed = taught(owner, TrainingData(new, data.tuning), Run()).levels.state_dict()
    assert not torch.equal(renewed["scores"], levels["scores"])
    more = taught(owner, TrainingData(new, data.tuning + data.defective), Run()).levels.scores
    assert more.shape[1] > levels["scores"].shape[1]


def test_what_is_not_at_hand_moves_as_the_tuning_pictures_do(data: TrainingData, new: Pictures) -> None:
    owner = committee(BANKS, PARTS).fit(data, Run())
    before, count = owner.levels.scores.T, len(data.tuning)
    assert len(before) > count
    renewed = taught(owner, TrainingData(new, data.tuning), Run())
    after, raw = renewed.levels.scores.T, score(renewed, data.tuning, Run())["raw_scores"]
    np.testing.assert_allclose(after[:count].numpy(), raw, rtol=1e-4, atol=1e-4)
    moved = (after[:count] - before[:count]).mean(0)
    np.testing.assert_allclose((after[count:] - before[count:]).numpy(), moved.expand(2, -1), atol=1e-4)
    assert (moved.abs() > 0.01).any()


def test_a_member_that_can_only_be_trained_again_is_named(data: TrainingData, new: Pictures) -> None:
    owner = committee(PADIM, {**TWINS, "name": "twins"}).fit(data, Run())
    with pytest.raises(OptionError, match="member twins: expected a method that can be taught"):
        taught(owner, TrainingData(new, data.tuning), Run())
