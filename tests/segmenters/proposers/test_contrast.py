"""How far from the ground areas begin."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flawscope.segmenters.proposers.contrast import DISTANCES, USUAL, clearest, kinds

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


def test_another_distance_is_for_one_kind_more() -> None:
    scores = [1.0] * len(DISTANCES)
    scores[1] = 1.9
    assert clearest(scores) == USUAL
    scores[1] = 2.0
    assert clearest(scores) == DISTANCES[1]
    assert clearest([0.01] + [0.0] * (len(DISTANCES) - 1)) == USUAL
