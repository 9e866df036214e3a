"""Intersection over union, against hand-computed cases."""

from __future__ import annotations

import math

import numpy as np
import pytest

from flawscope.metrics.overlap import overlaps

NAMES = ("ground", "screw", "nut")


def test_each_class_counts_what_both_show_over_what_either_shows() -> None:
    truth = np.array([[0, 0, 1, 1], [0, 1, 1, 1]])
    found = np.array([[0, 1, 1, 1], [0, 0, 1, 2]])
    measured = overlaps(found, truth, NAMES)
    np.testing.assert_allclose(measured.by_class, [2 / 4, 3 / 6, 0.0])
    assert measured.mean == pytest.approx(1 / 3)
    assert str(measured) == "mIoU 0.333 (ground 0.500, screw 0.500, nut 0.000)"


def test_a_class_that_nobody_shows_does_not_count() -> None:
    measured = overlaps(np.array([0, 0, 1]), np.array([0, 0, 1]), NAMES)
    assert measured.facts() == {"miou": 1.0, "by_class": {"ground": 1.0, "screw": 1.0}}
    assert math.isnan(measured.by_class[2])


def test_nothing_to_compare_is_no_agreement() -> None:
    nothing = np.zeros((0, 4, 4), np.int64)
    measured = overlaps(nothing, nothing, NAMES)
    assert math.isnan(measured.mean)
    assert measured.facts() == {}
