"""Masks in little memory."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from flawscope.segmenters.pseudo_labels.compact import Component


@given(arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 20)), elements=st.booleans()))
def test_a_mask_is_kept_to_the_pixel(mask: NDArray[np.bool_]) -> None:
    assume(mask.any())
    found = Component.of(mask, 3)
    labels = np.zeros(mask.shape, np.uint8)
    found.draw(labels, 7)
    np.testing.assert_array_equal(labels, 7 * mask)
    assert (found.picture, found.area) == (3, mask.sum())


def test_a_thousand_masks_of_a_picture_take_less_than_one_as_it_is() -> None:
    mask = np.zeros((256, 256), np.bool_)
    mask[100:120, 30:50] = True
    assert 1000 * Component.of(mask, 0).bits.nbytes < mask.nbytes
