"""Pictures that are seen turned: what lies in the turned frame comes back to where it is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from flawscope.runtime.placement import Placement
from flawscope.runtime.turned_placement import TurnedPlacement

PLAIN = Placement(frame=(60, 80), picture=(120, 160), corner=(0, 0), inner=(60, 80))


def turned(
    degrees: float,
    x: float = 3.0,
    y: float = -2.0,
    of: Placement = PLAIN,
    size: tuple[int, int] | None = None,
) -> TurnedPlacement:
    angle = math.radians(degrees)
    return TurnedPlacement.of(of, (math.cos(angle), math.sin(angle), x, y), size or of.frame)


@pytest.mark.parametrize("degrees", [0.0, 37.0, 180.0, -100.0])
@pytest.mark.parametrize("size", [(60, 80), (50, 50)])
def test_a_place_goes_there_and_back(degrees: float, size: tuple[int, int]) -> None:
    placement = turned(degrees, size=size)
    down, across = placement.share(*placement.to_frame((100, 40)))
    assert (across * 160, down * 120) == pytest.approx((100.5, 40.5))


def test_a_place_lies_where_the_network_that_turned_it_has_it() -> None:
    for size in ((60, 80), (60, 60), (90, 120)):
        placement = turned(37.0, size=size)
        down, across = (0.3 - 0.5) * size[0], (0.6 - 0.5) * size[1]  # from the middle, in pixels of `size`
        lying = complex(across, down) * complex(*placement.pose[:2]) + complex(*placement.pose[2:])
        expected = lying.imag / size[0] + 0.5, lying.real / size[1] + 0.5
        assert placement.share(0.3 * 60, 0.6 * 80) == pytest.approx(expected)


def test_a_quarter_turn_of_a_square_by_hand() -> None:
    square = Placement(frame=(3, 3), picture=(3, 3), corner=(0, 0), inner=(3, 3))
    labels = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    # the part lies a quarter turn on from how the frame shows it: its right end points down
    lying = turned(90.0, 0, 0, square).labels_back(labels)
    np.testing.assert_array_equal(lying, [[7, 4, 1], [8, 5, 2], [9, 6, 3]])
    np.testing.assert_array_equal(turned(90.0, 0, 0, square).back(labels.astype(np.float32)), lying)


def test_maps_and_places_agree_at_any_resolution() -> None:
    placement = turned(37.0)
    for shape in ((60, 80), (15, 20)):
        cells = np.zeros(shape, np.uint8)
        row, column = placement.to_frame((100, 40))
        cells[int(row * shape[0] / 60), int(column * shape[1] / 80)] = 7
        own = placement.labels_back(cells)
        assert own.shape == (120, 160)
        assert own[40, 100] == 7
        assert placement.to_map((100, 40), shape) == tuple(map(int, np.argwhere(cells == 7)[0]))


def test_what_the_turned_frame_does_not_show_is_background() -> None:
    own = turned(45.0, 0, 0).labels_back(np.ones((60, 80), np.uint8))
    assert own[60, 80] == 1
    assert own[0, 0] == own[-1, -1] == 0
    assert turned(45.0, 0, 0).back(np.full((60, 80), 5, np.float32))[0, 0] == 5


def test_places_beyond_the_turned_frame_are_outside() -> None:
    placement = turned(90.0, 0, 0)  # of 60 by 80, whose left and right ends are turned out
    assert placement.depth((80, 60)) == pytest.approx(30, abs=1)
    assert placement.depth((2, 60)) < 0
    assert placement.depth((158, 60)) < 0


def test_a_box_covers_its_cells() -> None:
    placement, box = turned(30.0), (60, 40, 101, 81)
    rows, columns = placement.cells(box, (30, 40))
    for x in (60, 80, 100):
        for y in (40, 60, 80):
            row, column = placement.to_map((x, y), (30, 40))
            assert row in range(rows.start, rows.stop)
            assert column in range(columns.start, columns.stop)
    beyond = turned(180.0, 200, 0).cells((0, 0, 4, 4), (30, 40))[1]
    assert beyond.stop - beyond.start == 1


def test_alone_it_stays_turned() -> None:
    alone = turned(30.0).alone((120, 160))
    assert alone == turned(30.0)
