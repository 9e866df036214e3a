"""Members that hardly see what is drawn onto good pictures are left out beside those that do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from flawscope.data.pictures import Pictures
from flawscope.data.training import TrainingData
from flawscope.methods.committee.trial import drawn_on, with_moved_piece, worse_with
from flawscope.methods.running import restored, score
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED, Watch

from .conftest import NETWORK, PADIM, PARTS, committee

Make = Callable[..., Pictures]

GOOD = torch.tensor([[0.1, 0.2], [0.3, 3.0], [0.2, 0.1], [0.4, 4.0]])  # one is loud on good pictures
DRAWN = torch.tensor([[2.0, 0.1], [1.0, 0.2], [3.0, 0.3], [0.9, 0.1]])


def test_a_blind_member_is_named_with_what_it_costs() -> None:
    found = worse_with(GOOD, DRAWN, (0, 1), "largest")
    # largest: good .2, 3, .2, 4, drawn 2, 1, 3, .9: of 16 pairs 8 are in order, 1 is a tie
    why = "of pieces moved within good pictures the others that look for structural flaws tell more alone"
    assert found == {1: f"{why} (AUROC 1.000, with it 0.531)"}


def test_who_is_not_tried_stays() -> None:
    assert worse_with(GOOD, DRAWN, (0,), "largest") == {}
    assert worse_with(GOOD, DRAWN, (1,), "largest") == {}
    three = torch.cat([GOOD, GOOD[:, :1]], 1), torch.cat([DRAWN, DRAWN[:, :1]], 1)
    assert worse_with(*three, (0, 2), "sum") == {}  # two alike tell what one does
    assert list(worse_with(*three, (0, 1, 2), "sum")) == [1]


def test_one_of_two_blind_ones_stays() -> None:
    good, drawn = torch.rand(20, 2), torch.zeros(20, 2)
    assert len(worse_with(good, drawn, (0, 1), "largest")) <= 1


def test_a_moved_piece_is_small_and_within_the_picture() -> None:
    random = np.random.default_rng(0)
    picture = torch.rand(3, 64, 48)
    before = picture.clone()
    for _ in range(200):
        made = with_moved_piece(picture, random)
        changed = (made != picture).any(0)
        rows, columns = np.nonzero(changed.numpy())
        box = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        assert 1 <= box <= 0.02 * picture[0].numel()
        assert 0 <= made.min() <= made.max() <= 1
    assert torch.equal(picture, before)
    tiny = with_moved_piece(torch.rand(3, 2, 2), random)
    assert tiny.shape == (3, 2, 2)


def test_pictures_are_drawn_on_alike_each_time_and_by_seed(rings: Make) -> None:
    good = rings("drawn on", 20)
    first, again, other = (torch.cat([*drawn_on(good, Run(seed), UNWATCHED, 8)]) for seed in (0, 0, 1))
    assert len(first) == 260
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.fixture(scope="module")
def plenty(rings: Make) -> TrainingData:
    """Good pictures enough for a trial."""
    return TrainingData(rings("many", 12), rings("levels", 16))


def test_a_committee_leaves_a_blind_member_out_and_says_why(plenty: TrainingData, tests: Pictures) -> None:
    said: list[str] = []
    blind = {"method": "padim", "name": "blind", "options": {**NETWORK, "channels": 1, "size": [32, 32]}}
    owner = committee(blind, PADIM, PARTS).fit(plenty, Run(), Watch(say=said.append))
    assert owner.names == ("padim", "csad")
    assert owner.left_out["blind"].startswith("of pieces moved within good pictures")
    assert f"blind is left out: {owner.left_out['blind']}." in said
    found = score(owner, tests, Run())
    assert found["members"].shape == (4, 2)
    again = restored(
        "committee", owner.options.model_dump(mode="json"), owner.state_dict(), owner.learnt.facts
    )
    np.testing.assert_array_equal(score(again, tests, Run())["score"], found["score"])


def test_the_option_keeps_all_and_few_pictures_do(plenty: TrainingData, data: TrainingData) -> None:
    blind = {"method": "padim", "name": "blind", "options": {**NETWORK, "channels": 1, "size": [32, 32]}}
    assert committee(blind, PADIM, trial=False).fit(plenty, Run()).names == ("blind", "padim")
    assert committee(blind, PADIM).fit(data, Run()).names == ("blind", "padim")  # eight give the levels
