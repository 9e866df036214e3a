"""Pictures with the usual number of components of each class."""

from __future__ import annotations

import numpy as np

from flawscope.segmenters.pseudo_labels.numbers import usual_numbers


def test_pictures_that_lack_a_component_are_told_and_unsteady_classes_are_not_asked() -> None:
    random = np.random.default_rng(0)
    members = np.stack([np.full(40, 3), np.full(40, 1), random.integers(0, 9, 40)], 1)
    members[:6, 0], members[6, 1] = 2, 0
    assert usual_numbers(members).tolist() == [False] * 7 + [True] * 33


def test_two_compositions_are_usual_and_a_rare_one_is_not() -> None:
    members = np.array([[1, 0]] * 20 + [[0, 1]] * 18 + [[0, 0]] * 5)
    assert usual_numbers(members).tolist() == [True] * 38 + [False] * 5


def test_nothing_is_usual_where_nothing_repeats() -> None:
    assert not usual_numbers(np.arange(30).reshape(30, 1)).any()
    assert not usual_numbers(np.array([[1], [1]])).any()
    assert usual_numbers(np.zeros((0, 3), int)).shape == (0,)
