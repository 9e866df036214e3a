"""Names of components: beside them, on nothing that matters, the same each time."""

from __future__ import annotations

from itertools import combinations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from flawscope.runtime.captions import Caption, captions
from flawscope.runtime.overlay import segment_outlines

Box = tuple[int, int, int, int]
SHAPE = (300, 400)


def drawn(*boxes: tuple[int, Box], shape: tuple[int, int] = SHAPE) -> NDArray[np.uint8]:
    """A label map with boxes (left, top, right, bottom) of labels."""
    labels = np.zeros(shape, np.uint8)
    for label, (left, top, right, bottom) in boxes:
        labels[top:bottom, left:right] = label
    return labels


def numbered(labels: NDArray[np.uint8]) -> dict[int, str]:
    return {int(label): f"component {label}" for label in np.unique(labels) if label}


def apart(one: Box, other: Box) -> bool:
    return one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def within(labels: NDArray[np.uint8], caption: Caption) -> NDArray[np.uint8]:
    left, top, right, bottom = caption.box
    return labels[top:bottom, left:right]


def test_a_component_without_a_name_has_none_written() -> None:
    assert captions(np.ones((8, 3), np.uint8), {1: ""}) == ()
    assert captions(np.ones((80, 80), np.uint8), {1: ""}) == ()


def test_a_name_stands_above_its_component() -> None:
    (only,) = captions(drawn((1, (150, 140, 250, 180))), {1: "screw"})
    assert only.name == "screw"
    assert only.line is None
    assert 120 < only.box[3] <= 140
    assert abs((only.box[0] + only.box[2]) / 2 - 200) < 5


@pytest.mark.parametrize(
    ("box", "side"),
    [
        ((150, 0, 250, 40), "below"),
        ((100, 0, 130, 300), "right"),
        ((370, 0, 400, 300), "left"),
    ],
)
def test_or_where_there_is_room(box: Box, side: str) -> None:
    (only,) = captions(drawn((1, box)), {1: "1"})
    place = {"below": only.box[1] >= box[3], "right": only.box[0] >= box[2], "left": only.box[2] <= box[0]}
    assert place[side]
    assert only.line is None


def test_far_from_its_component_it_has_a_line_to_it() -> None:
    labels = drawn((2, (50, 50, 350, 250)), (1, (190, 140, 210, 160)))
    found = {one.name: one for one in captions(labels, {1: "washer", 2: ""})}
    line = found["washer"].line
    assert line is not None
    (x, y), tip = line
    left, top, right, bottom = found["washer"].box
    assert left <= x < right
    assert top <= y < bottom
    assert labels[tip[1], tip[0]] == 1


def test_so_it_has_where_another_component_is_as_near() -> None:
    labels = drawn((1, (0, 100, 400, 140)), (2, (0, 168, 400, 300)), (3, (0, 0, 400, 99)))
    near = {one.name: one for one in captions(labels, {1: "one", 2: "", 3: ""})}["one"]
    assert 140 <= near.box[1] < near.box[3] <= 168
    assert near.line is not None
    assert labels[near.line[1][1], near.line[1][0]] == 1


def test_on_large_components_it_stands_inside() -> None:
    labels = drawn((1, (0, 0, 200, 300)), (2, (200, 0, 400, 300)))
    found = captions(labels, {1: "left", 2: "right"})
    assert [one.name for one in found] == ["left", "right"]
    assert [set(np.unique(within(labels, one))) for one in found] == [{1}, {2}]


def test_in_a_tray_that_fills_the_picture_names_stand_on_the_tray() -> None:
    labels = drawn((1, (0, 0, 400, 300)), (0, (170, 120, 230, 170)), (2, (180, 130, 220, 160)))
    tray, nut = captions(labels, {1: "tray", 2: "hexagonal nut"})
    assert set(np.unique(within(labels, tray))) == set(np.unique(within(labels, nut))) == {1}
    assert tray.line is None
    assert nut.line is not None


def test_without_a_free_place_it_is_left_out() -> None:
    labels = np.tile(np.repeat(np.arange(1, 31, dtype=np.uint8), 10), (300, 1))
    assert captions(labels, dict.fromkeys(range(1, 31), "strip")) == ()
    assert captions(drawn((1, (2, 2, 6, 6)), shape=(8, 8)), {1: "component 1"}) == ()
    assert captions(labels, {}) == ()
    assert captions(np.ones((1, 400), np.uint8), {1: "1"}, avoided=[(0, 0, 9, 1)]) == ()


def test_a_label_is_named_at_its_largest_component() -> None:
    labels = drawn((1, (20, 40, 50, 60)), (1, (300, 200, 380, 260)), (1, (100, 200, 140, 220)))
    (only,) = captions(labels, {1: "1"})
    assert 300 <= only.box[0] < 380


def test_findings_are_named_singly_and_first() -> None:
    labels = drawn((1, (20, 40, 50, 60)), (1, (300, 200, 380, 260)), (2, (100, 200, 240, 260)))
    told = [(1, (10, 30, 60, 70)), (1, (15, 35, 45, 65)), (1, None), (3, None), (9, (0, 0, 5, 5))]
    found = captions(labels, {1: "1", 2: "2", 3: "3"}, told=told)
    assert [one.name for one in found] == ["1", "1", "2"]
    assert found[0].box[2] < 100
    assert found[1].box[0] >= 300


def test_findings_have_the_last_free_place() -> None:
    labels = drawn(
        (1, (0, 0, 400, 300)), (0, (150, 120, 290, 150)), (2, (9, 9, 29, 29)), (3, (9, 250, 40, 290))
    )
    names = {1: "", 2: "component 2", 3: "component 3"}
    for label in (2, 3):
        first = captions(labels, names, told=[(label, None)])[0]
        assert first.name == names[label]
        assert not within(labels, first).any()


def test_what_is_smaller_than_a_cell_is_named_where_a_finding_tells_of_it() -> None:
    labels = drawn((1, (801, 801, 803, 803)), shape=(2000, 2000))
    assert captions(labels, {1: "1"}) == ()
    (only,) = captions(labels, {1: "1"}, told=[(1, (790, 790, 810, 810))])
    assert abs(only.box[0] - 800) < 60


def test_it_stands_in_no_box_unless_all_else_is_taken() -> None:
    labels = drawn((1, (150, 140, 250, 180)))
    above = (100, 0, 300, 190)
    (only,) = captions(labels, {1: "1"}, avoided=[above])
    assert apart(only.box, above)
    (only,) = captions(labels, {1: "1"}, avoided=[(0, 0, 400, 300)])
    assert not within(labels, only).any()


@pytest.mark.parametrize(
    ("shape", "capitals"), [((64, 96), 9), ((640, 480), 15), ((1600, 1200), 38), ((3000, 4000), 48)]
)
def test_letters_follow_the_size_of_the_picture(shape: tuple[int, int], capitals: int) -> None:
    (only,) = captions(drawn((1, (2, 2, 9, 9)), shape=shape), {1: "H"})
    assert abs(only.scale * 21 - capitals) < 1


def test_names_too_wide_are_written_smaller() -> None:
    labels = drawn((1, (20, 30, 40, 40)), shape=(64, 64))
    (short,) = captions(labels, {1: "1"})
    name = "compon"
    while (wide := captions(labels, {1: name})[0]).scale == short.scale:
        name += "n"
    assert wide.scale < short.scale
    assert 50 < wide.box[2] - wide.box[0] <= 64
    assert captions(labels, {1: 10 * name}) == ()


@pytest.mark.parametrize("seed", range(12))
def test_names_stand_on_no_name_and_no_component_whatever_the_picture(seed: int) -> None:
    labels = scene(seed)
    height, width = labels.shape
    names = numbered(labels)
    rng = np.random.default_rng(seed)
    told = [(int(label), None) for label in rng.permutation(list(names))[:3]]
    found = captions(labels, names, told=told)
    assert found == captions(labels, names, told=told)
    free = any_free(labels, found[0].box if found else (0, 0, 120, 30))
    for one in found:
        left, top, right, bottom = one.box
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        label = int(one.name.split()[1])
        covered = np.bincount(within(labels, one).ravel())
        assert covered.max() >= 0.99 * covered.sum()  # of one label, but for slivers finer than the grid
        if covered.argmax() not in (0, label):
            assert one.line is not None
            assert one is not found[0] or not free
        if one.line is not None:
            assert labels[one.line[1][1], one.line[1][0]] == label
    assert all(apart(one.box, other.box) for one, other in combinations(found, 2))
    if free:
        assert [one.name for one in found[:1]] == [names[told[0][0]]]


@pytest.mark.parametrize("seed", range(4))
def test_ink_stays_in_its_box(seed: int) -> None:
    labels = scene(seed)
    picture = np.full((*labels.shape, 3), 200, np.uint8)
    names = {label: f"Qgj{label}|" for label in numbered(labels)}
    changed = (segment_outlines(picture, labels, names) != segment_outlines(picture, labels, {})).any(2)
    for one in captions(labels, names):
        left, top, right, bottom = one.box
        assert changed[top:bottom, left:right].any()
        changed[top:bottom, left:right] = False
        if one.line is not None:
            path = np.zeros(labels.shape, np.uint8)
            cv2.line(path, *one.line, 1, 25)
            changed[path > 0] = False
    assert not changed.any()


def scene(seed: int) -> NDArray[np.uint8]:
    """Ellipses of some labels, few or many, in a picture of any size."""
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(90, 900, 2))
    labels = np.zeros((height, width), np.uint8)
    for number in range(int(rng.integers(1, 40))):
        centre = int(rng.integers(width)), int(rng.integers(height))
        axes = int(rng.integers(2, width // 5)), int(rng.integers(2, height // 5))
        cv2.ellipse(labels, centre, axes, float(rng.integers(180)), 0, 360, 1 + number % 12, -1)
    return labels


def any_free(labels: NDArray[np.uint8], box: Box) -> bool:
    """Whether there is room for a box of that size far enough from all components."""
    around = np.ones((2 * min(labels.shape) // 40 + 9,) * 2, np.uint8)
    height, width = box[3] - box[1] + 16, box[2] - box[0] + 16
    held = cv2.integral(cv2.dilate((labels > 0).astype(np.uint8), around))
    if height >= len(held) or width >= held.shape[1]:
        return False
    shown = held[height:, width:] - held[:-height, width:] - held[height:, :-width] + held[:-height, :-width]
    return bool((shown == 0).any())
