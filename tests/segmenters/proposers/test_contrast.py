"""How far from the ground areas begin."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flawscope.segmenters.proposers.contrast import DISTANCES, GROWN, USUAL, Reach, clearest, kinds, tried

SIDE = 40
GROUND = np.array([60.0, 0.0, 0.0])


def areas(*boxes: tuple[int, int, int]) -> list[NDArray[np.bool_]]:
    """Squares by left, top and side."""
    found = []
    for left, top, side in boxes:
        mask = np.zeros((SIDE, SIDE), np.bool_)
        mask[top : top + side, left : left + side] = True
        found.append(mask)
    return found


def score(pictures: list[list[NDArray[np.bool_]]]) -> float:
    plain = np.tile(GROUND.astype(np.float32), (SIDE, SIDE, 1))
    return kinds(pictures, [plain] * len(pictures), [GROUND] * len(pictures))


def test_kinds_count_by_how_constant_they_are() -> None:
    whole = [areas((2, index, 4), (20, index, 4), (10, 15, 16)) for index in range(10)]
    assert score(whole) > 1.99
    missed = [found[index % 2 :] for index, found in enumerate(whole)]
    assert 0.9 < score(missed) < 1.6
    specks = [found + areas((30, 30, 2)) * (3 * index % 7) for index, found in enumerate(whole)]
    assert score(specks) < 2.1
    assert score([[] for _ in whole]) == 0.0


def chosen(usual: float = 1.0, further: float = 1.0, elsewhere: float = 1.0) -> Reach:
    """By the scores at 5, at 5 reaching further in, and at 3."""
    scores = dict.fromkeys(tried(None), 0.0)
    scores |= {Reach(): usual, Reach(USUAL, GROWN): further, Reach(3.0): elsewhere}
    return clearest(scores)


def test_another_distance_is_for_one_kind_more() -> None:
    assert chosen(elsewhere=1.9) == Reach(USUAL)
    assert chosen(elsewhere=2.0) == Reach(3.0)
    assert chosen(0.0, 0.0, 0.01) == Reach(USUAL)


def test_reaching_further_in_is_for_half_a_kind_more() -> None:
    assert chosen(further=1.4) == Reach(USUAL)
    assert chosen(further=1.5, elsewhere=2.4) == Reach(USUAL, GROWN)
    assert chosen(further=1.5, elsewhere=2.5) == Reach(3.0)


def test_what_is_given_is_not_chosen() -> None:
    assert [reach.grown for reach in tried(0.8)] == [0.8] * len(DISTANCES)
    assert clearest(dict.fromkeys(tried(0.8), 1.0)) == Reach(USUAL, 0.8)


def test_a_reach_says_where_areas_begin() -> None:
    assert str(Reach(6.5)) == "6.5 deviations"
    assert str(Reach(USUAL, GROWN)) == "5 deviations, and reach down to 3,"
