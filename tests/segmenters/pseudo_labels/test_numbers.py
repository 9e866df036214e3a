"""Pictures with the usual number of components of each class."""

from __future__ import annotations

import numpy as np

from flawscope.segmenters.pseudo_labels.numbers import irregular, usual_numbers


def test_pictures_that_lack_a_component_are_told_and_unsteady_classes_are_not_asked() -> None:
    random = np.random.default_rng(0)
    members = np.stack([np.full(40, 3), np.full(40, 1), random.integers(0, 9, 40)], 1)
    members[:6, 0], members[6, 1] = 2, 0
    assert usual_numbers(members).tolist() == [False] * 7 + [True] * 33


def test_two_compositions_are_usual_and_a_rare_one_is_not() -> None:
    members = np.array([[1, 0]] * 20 + [[0, 1]] * 18 + [[0, 0]] * 5)
    assert usual_numbers(members).tolist() == [True] * 38 + [False] * 5


def test_a_composition_that_merely_lacks_components_is_not_usual() -> None:
    """Parts that the proposer missed in many pictures are no other composition of the product."""
    members = np.array([[1, 2, 3]] * 19 + [[0, 0, 3]] * 14)
    assert usual_numbers(members).tolist() == [True] * 19 + [False] * 14


def test_classes_that_come_and_go_are_irregular() -> None:
    """Glints do, and parts of one composition of two, or those that are always there, do not."""
    glints = np.random.default_rng(0).poisson(1.0, 40)
    members = np.stack([np.full(40, 3), np.repeat([1, 0], 20), glints, glints + 1], 1)
    assert irregular(members).tolist() == [False, False, True, False]
    assert irregular(members[:, 2:3]).tolist() == [False]
    assert irregular(np.zeros((5, 0), int)).shape == (0,)


def test_nothing_is_usual_where_nothing_repeats() -> None:
    assert not usual_numbers(np.arange(30).reshape(30, 1)).any()
    assert not usual_numbers(np.array([[1], [1]])).any()
    assert usual_numbers(np.zeros((0, 3), int)).shape == (0,)
