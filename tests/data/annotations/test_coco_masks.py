"""COCO's polygons and run-length encoding: cases by hand, and an encoder as COCO's C code has it."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from flawscope.data.annotations.polygons import inside, reach
from flawscope.data.annotations.rle import columns_of, counts_of, mask_of


def runs_of(mask: NDArray[np.bool_]) -> list[int]:
    """rleEncode: runs column by column, beginning outside."""
    groups = [(bool(value), len(list(same))) for value, same in groupby(mask.T.ravel().tolist())]
    return ([0] if groups[0][0] else []) + [length for _, length in groups]


def covered(points: NDArray[np.float64], height: int, width: int) -> NDArray[np.bool_]:
    """All pixels of a picture that a polygon covers; none lies beyond its reach."""
    whole = inside(points, (slice(0, height), slice(0, width)))
    box, area = reach(points, height, width), np.zeros((height, width), np.bool_)
    area[box] = inside(points, box)
    np.testing.assert_array_equal(area, whole)
    return area


def packed(runs: list[int]) -> str:
    """rleToString of maskApi.c."""
    text = ""
    for index, run in enumerate(runs):
        value = run - runs[index - 2] if index > 2 else run
        more = True
        while more:
            character = value & 31
            value >>= 5
            more = value != -1 if character & 16 else value != 0
            text += chr((character | 32 if more else character) + 48)
    return text


@pytest.mark.parametrize(
    ("text", "runs"),
    [("414", (4, 1, 4)), ("2130O", (2, 1, 3, 1, 2)), ("d0", (20,)), ("0P1", (0, 32)), ("", ())],
)
def test_packed_counts_by_hand(text: str, runs: tuple[int, ...]) -> None:
    assert counts_of(text) == runs


def test_runs_go_down_the_columns() -> None:
    mask = mask_of((1, 2, 3), 2, 3)
    np.testing.assert_array_equal(mask, [[False, True, False], [True, False, False]])


@given(arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 40))))
def test_masks_come_back_from_both_encodings(mask: NDArray[np.bool_]) -> None:
    runs = runs_of(mask)
    for encoded in (runs, packed(runs)):
        np.testing.assert_array_equal(mask_of(counts_of(encoded), *mask.shape), mask)
    columns, inner = columns_of(runs, mask.shape[0])
    np.testing.assert_array_equal(inner, mask[:, columns])
    assert inner.sum() == mask.sum()
    assert not mask.any() or (inner[:, 0].any() and inner[:, -1].any())


@pytest.mark.parametrize("counts", ["4 4", "P", "O", "o" * 40, [1, -1], [1.0], [True], None, {"a": 1}])
def test_counts_that_are_none_are_refused(counts: object) -> None:
    with pytest.raises(ValueError, match="counts"):
        counts_of(counts)


def test_a_rectangle_covers_the_pixels_between_its_corners() -> None:
    box = np.array([[2.0, 1.0], [5.0, 1.0], [5.0, 3.0], [2.0, 3.0]])
    expected = np.zeros((4, 6), np.bool_)
    expected[1:3, 2:5] = True
    np.testing.assert_array_equal(covered(box, 4, 6), expected)
    np.testing.assert_array_equal(covered(box[::-1], 4, 6), expected)
    np.testing.assert_array_equal(covered(box - 100, 4, 6), np.zeros((4, 6), np.bool_))


def test_a_triangle_has_the_pixels_whose_centres_lie_inside() -> None:
    triangle = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    expected = [[row + column + 1 < 4 for column in range(4)] for row in range(4)]
    np.testing.assert_array_equal(covered(triangle, 4, 4), expected)


@given(arrays(np.float64, (4, 2), elements=st.floats(-3, 12, allow_subnormal=False)))
def test_polygons_that_share_an_edge_share_no_pixel(points: NDArray[np.float64]) -> None:
    a, b, c, d = points
    first, second, whole = (covered(np.array(each), 9, 9) for each in ((a, b, c), (a, c, d), (a, b, c, d)))
    np.testing.assert_array_equal(first ^ second, whole)
