"""Members that hardly see what is drawn onto good pictures are left out beside those that do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from flawscope.data.pictures import PictureFiles, Pictures
from flawscope.data.training import TrainingData
from flawscope.methods.committee.trial import drawn_on, enough, with_moved_piece, worse_with
from flawscope.methods.running import answers, restored, score
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED, Watch
from flawscope.runtime.explain.joint import LEVELS, RAW

from .conftest import NETWORK, PADIM, PARTS, committee

Make = Callable[..., Pictures]

BLIND = {"method": "padim", "name": "blind", "options": {**NETWORK, "channels": 1, "size": [32, 32]}}
GOOD = torch.tensor([[0.1, 0.2], [0.3, 3.0], [0.2, 0.1], [0.4, 4.0]])  # one is loud on good pictures
DRAWN = torch.tensor([[2.0, 0.1], [1.0, 0.2], [3.0, 0.3], [0.9, 0.1]])


def test_a_blind_member_is_named_with_what_it_costs() -> None:
    found = worse_with(GOOD, DRAWN, (0, 1), "largest")
    # largest: good .2, 3, .2, 4, drawn 2, 1, 3, .9: of 16 pairs 8 are in order, 1 is a tie
    why = "those that look for structural flaws tell pieces moved within good pictures better without it"
    assert found == {1: f"{why} (AUROC 1.000, with it 0.531)"}


def test_who_is_not_tried_stays() -> None:
    assert worse_with(GOOD, DRAWN, (0,), "largest") == {}
    assert worse_with(GOOD, DRAWN, (1,), "largest") == {}
    three = torch.cat([GOOD, GOOD[:, :1]], 1), torch.cat([DRAWN, DRAWN[:, :1]], 1)
    assert worse_with(*three, (0, 2), "sum") == {}  # two alike tell what one does
    assert list(worse_with(*three, (0, 1, 2), "sum")) == [1]


def test_blind_ones_go_one_by_one_and_the_last_stays() -> None:
    loud, louder = torch.tensor([0.0, 5.0, 0.0, 0.0]), torch.tensor([6.0, 0.0, 7.0, 0.0])
    good = torch.stack([loud, GOOD[:, 0], louder], 1)
    drawn = torch.stack([torch.zeros(4), DRAWN[:, 0], torch.zeros(4)], 1)
    assert list(worse_with(good, drawn, (0, 1, 2), "largest")) == [2, 0]
    assert list(worse_with(good, drawn, (0, 2), "largest")) == [2]


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
    owner = committee(BLIND, PADIM, PARTS).fit(plenty, Run(), Watch(say=said.append))
    assert owner.names == ("padim", "csad")
    assert owner.left_out["blind"].startswith("those that look for structural flaws")
    assert f"blind is left out: {owner.left_out['blind']}." in said
    whole = committee(BLIND, PADIM, PARTS, trial=False).fit(plenty, Run())
    found, expected = (score(one, tests, Run()) for one in (owner, whole.without(0)))
    assert found[LEVELS].shape == (4, 2)
    for name in ("score", LEVELS, RAW):
        np.testing.assert_array_equal(found[name], expected[name])
    maps, others = (next(answers(one, tests, Run(), UNWATCHED)) for one in (owner, whole.without(0)))
    np.testing.assert_array_equal(maps["heatmap"], others["heatmap"])
    again = restored(
        "committee", owner.options.model_dump(mode="json"), owner.state_dict(), owner.learnt.facts
    )
    np.testing.assert_array_equal(score(again, tests, Run())["score"], found["score"])
    assert owner.fit(plenty, Run()).names == ("padim", "csad")  # again, from the beginning


def test_the_option_keeps_all_and_few_pictures_do(plenty: TrainingData, data: TrainingData) -> None:
    assert committee(BLIND, PADIM, trial=False).fit(plenty, Run()).names == ("blind", "padim")
    assert committee(BLIND, PADIM).fit(data, Run()).names == ("blind", "padim")  # eight give the levels


def test_folds_and_views_of_one_part_count_as_they_should(plenty: TrainingData) -> None:
    few, many, none = plenty.tuning.subset([0, 1, 2, 3]), plenty.normal, plenty.normal.subset([])
    assert enough(few, many, Run())
    assert not enough(few, many.subset(range(9)), Run())
    assert enough(few, many.subset(range(9)), Run(part=0.75))  # as the fit of all pictures decides
    views = [replace(sample, group=str(index // 2)) for index, sample in enumerate(plenty.tuning.samples)]
    assert enough(plenty.tuning, none, Run())
    assert not enough(PictureFiles(views, plenty.tuning.frame), none, Run())  # of eight parts
