"""Points, boxes and maps find their way between a picture and the frame, with and without padding."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flawscope.runtime.images import Frame
from flawscope.runtime.placement import Placement

SIDES = st.tuples(st.integers(1, 90), st.integers(1, 90))


def test_a_wide_picture_in_a_square_by_hand() -> None:
    """20 × 40 pixels in 8 × 8: 4 rows of padding, half above; a frame pixel is 5 picture pixels wide."""
    placement = Frame(8, 8, "pad").placement(20, 40)
    assert placement == Placement((8, 8), (20, 40), (2, 0), (4, 8))
    assert placement.padding == ((2, 2), (0, 0))
    assert placement.to_frame((12, 4)) == (2 + 4.5 / 5, 12.5 / 5)
    assert placement.to_map((12, 4), (8, 8)) == (2, 2)
    assert placement.to_map((39, 19), (4, 4)) == (2, 3)
    assert placement.cells((10, 0, 16, 20), (8, 8)) == (slice(2, 6), slice(2, 4))
    assert placement.cells((12, 5, 13, 6), (8, 8)) == (slice(3, 4), slice(2, 3))
    assert placement.share(4, 2) == (0.5, 0.25)


def test_stretched_pictures_fill_the_frame() -> None:
    placement = Frame(8, 6).placement(100, 3)
    assert (placement.corner, placement.inner, placement.padding) == ((0, 0), (8, 6), ((0, 0), (0, 0)))
    assert placement.share(8, 6) == (1, 1)


@given(SIDES, SIDES, SIDES, st.sampled_from(["stretch", "pad"]), st.data())
def test_a_pixels_cell_is_the_one_its_label_comes_from(
    size: tuple[int, int], frame: tuple[int, int], shape: tuple[int, int], aspect: Any, data: Any
) -> None:
    placement = Frame(*frame, aspect).placement(*size)
    x, y = data.draw(st.integers(0, size[1] - 1)), data.draw(st.integers(0, size[0] - 1))
    labels = np.arange(shape[0] * shape[1]).reshape(shape)
    cell = placement.to_map((x, y), shape)
    assert placement.labels_back(labels)[y, x] == labels[cell]
    rows, columns = placement.cells((x, y, x + 1, y + 1), shape)
    assert rows.start <= cell[0] < rows.stop
    assert columns.start <= cell[1] < columns.stop


@given(SIDES, SIDES, st.sampled_from(["stretch", "pad"]))
def test_a_whole_map_of_one_value_comes_back_as_that(
    size: tuple[int, int], frame: tuple[int, int], aspect: Any
) -> None:
    back = Frame(*frame, aspect).placement(*size).back(np.full((7, 5), 2.5, np.float32))
    assert back.shape == size
    np.testing.assert_allclose(back, 2.5, rtol=1e-6)
