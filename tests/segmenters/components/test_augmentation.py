"""Logical synthetic anomalies and the other changes of training pictures: labels follow the pixels."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from flawscope.segmenters.components.augmentation import Augmentation, AugmentationOptions, Bytes

SIDE = 100
VALUE = np.array([10, 100, 200, 50], np.uint8)  # what pixels of each label look like


def maps() -> Bytes:
    """A large part of class 1 in both pictures; two bars of class 2 in one, a square of 3 in the other."""
    labels = np.zeros((2, SIDE, SIDE), np.uint8)
    labels[:, 5:95, 5:95] = 1
    labels[0, 20:24, 20:40] = labels[0, 70:74, 60:80] = 2
    labels[1, 40:50, 40:50] = 3
    return labels


def pictures(labels: Bytes) -> Bytes:
    """(2, 3, H, W) in which every pixel tells its label."""
    return np.repeat(VALUE[np.minimum(labels, 3)][:, None], 3, axis=1)


def augmentation(**values: Any) -> tuple[Augmentation, Bytes, Bytes]:
    labels = maps()
    pixels = pictures(labels)
    return Augmentation(AugmentationOptions(**values), lambda row: pixels[row], labels), pixels, labels


def found(labels: Bytes, label: int) -> NDArray[np.float64]:
    """Centres (n, 2) of a label's components, y before x."""
    _, _, _, centres = cv2.connectedComponentsWithStats((labels == label).astype(np.uint8))
    return np.asarray(centres[1:, ::-1])


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"rotated": True},
        {"source": "same"},
        {"kind": "cutpaste"},
        {"pieces": (3, 4)},
        {"mirrored": ("left_right", "up_down")},
    ],
)
def test_labels_follow_the_pixels(values: dict[str, Any]) -> None:
    changed, pixels, labels = augmentation(**values)
    moved = 0
    for seed in range(30):
        picture, drawn = changed.labelled(0, np.random.default_rng(seed))
        np.testing.assert_array_equal(picture[0], VALUE[drawn])
        moved += not np.array_equal(drawn, labels[0])
    assert moved >= 20
    np.testing.assert_array_equal(labels, maps())
    np.testing.assert_array_equal(pixels, pictures(maps()))


@pytest.mark.parametrize("rotated", [False, True])
def test_a_component_comes_to_lie_a_tenth_of_the_picture_away(rotated: bool) -> None:
    changed, _, labels = augmentation(source="same", pieces=(1, 1), rotated=rotated)
    was = found(labels[1], 3)[0]
    far = []
    for seed in range(200):
        _, drawn = changed.labelled(1, np.random.default_rng(seed))
        new = (drawn == 3) & (labels[1] != 3)
        if 95 <= new.sum() <= 120:  # all of it, beside the old one
            far.append(np.hypot(*(np.argwhere(new).mean(0) - was)))
    assert len(far) > 100
    assert min(far) >= 0.1 * SIDE - 1
    assert max(far) > 0.4 * SIDE


def test_components_come_from_any_labelled_picture_or_from_the_same() -> None:
    for source, classes in (("drawn", {2, 3}), ("same", {2})):
        changed, _, labels = augmentation(source=source, pieces=(1, 1))
        seen = set()
        for seed in range(40):
            _, drawn = changed.labelled(0, np.random.default_rng(seed))
            seen |= set(np.unique(drawn[drawn != labels[0]]).tolist())
        assert seen == classes


def test_one_or_two_components_are_pasted() -> None:
    changed, _, _ = augmentation(source="same")
    counts = {len(found(changed.labelled(1, np.random.default_rng(seed))[1], 3)) for seed in range(60)}
    assert counts == {2, 3} | ({1} & counts)  # 1: the new one touches the old one's place


def test_neither_specks_nor_trays_are_pasted() -> None:
    changed, _, labels = augmentation()
    labels[0, 1, 1:4] = 4
    assert [component.label for component in changed.components(0)] == [2, 2]
    whole, _, _ = augmentation(largest=1.0)
    assert [component.label for component in whole.components(0)] == [1, 2, 2]


def test_a_picture_without_components_stays_as_it_is() -> None:
    labels = np.zeros((1, SIDE, SIDE), np.uint8)
    pixels = pictures(labels)
    changed = Augmentation(AugmentationOptions(), lambda row: pixels[row], labels)
    picture, drawn = changed.labelled(0, np.random.default_rng(0))
    np.testing.assert_array_equal(picture, pixels[0])
    assert not drawn.any()


def test_light_changes_by_the_shares_that_are_given_and_no_further() -> None:
    changed, pixels, labels = augmentation(kind="none", brightness=0.2)
    ratios = []
    for seed in range(50):
        picture, drawn = changed.labelled(0, np.random.default_rng(seed))
        np.testing.assert_array_equal(drawn, labels[0])
        np.testing.assert_array_equal(picture[0], picture[2])
        ratios.append(picture[0, 50, 50] / pixels[0, 0, 50, 50])
    assert 0.79 <= min(ratios) < 0.9
    assert 1.1 < max(ratios) <= 1.21
    tinted, _, _ = augmentation(kind="none", colour=0.2)
    picture, _ = tinted.labelled(0, np.random.default_rng(0))
    assert len(set(picture[:, 50, 50].tolist())) == 3


def test_none_changes_nothing_and_hands_out_a_copy() -> None:
    changed, pixels, _ = augmentation(kind="none")
    picture, drawn = changed.labelled(0, np.random.default_rng(0))
    picture[:], drawn[:] = 0, 0
    np.testing.assert_array_equal(pixels, pictures(maps()))


@pytest.mark.parametrize("pieces", [(0, 1), (2, 1)])
def test_pieces_must_rise(pieces: tuple[int, int]) -> None:
    with pytest.raises(ValidationError, match="pieces must be two numbers that do not fall"):
        AugmentationOptions(pieces=pieces)
