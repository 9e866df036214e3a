"""Filters of masks against the figures of the paper, read literally."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import ndimage

from flawscope.segmenters.pseudo_labels.filters import filled, filter_by_combine, filter_by_grounding, regions

Mask = NDArray[np.bool_]


def literally_by_grounding(grounding_mask: Mask, masks: list[Mask]) -> list[Mask]:
    """Figure 12."""
    return [mask for mask in masks if np.sum(np.logical_and(grounding_mask, mask)) / np.sum(mask != 0) > 0.9]


def intersect_ratio(mask1: Mask, mask2: Mask) -> float:
    intersection = np.logical_and(mask1, mask2)
    if intersection.sum() == 0:
        return 0
    ratio = np.sum(intersection) / min([np.sum(mask1 != 0), np.sum(mask2 != 0)])
    return 0 if np.isnan(ratio) else float(ratio)


def literally_by_combine(masks: list[Mask]) -> list[Mask]:
    """Figure 13."""
    masks = sorted(masks, key=np.sum)
    combine_masks = np.zeros_like(masks[0])
    result_masks, wait_masks = [], []
    for i, mask in enumerate(masks):
        if intersect_ratio(combine_masks, mask) < 0.9 or i == 0:
            combine_masks = np.logical_or(combine_masks, mask)
            result_masks.append(mask)
        else:
            wait_masks.append(mask)
    for mask in wait_masks:
        ratio = np.sum(np.logical_and(combine_masks, mask)) / np.sum(mask != 0)
        if ratio < 0.9:
            combine_masks = np.logical_or(combine_masks, mask)
            result_masks.append(mask)
    return result_masks


@st.composite
def overlapping(draw: st.DrawFn) -> NDArray[np.bool_]:
    """Masks (M, 6, 8): rectangles, unions of two of them, and noise; shares of 0.9 occur (9 of 10 pixels)."""
    masks = []
    for _ in range(draw(st.integers(1, 9))):
        mask = np.zeros((6, 8), np.bool_)
        for _ in range(draw(st.integers(0, 2))):
            top, left = draw(st.integers(0, 5)), draw(st.integers(0, 7))
            mask[top : draw(st.integers(top + 1, 6)), left : draw(st.integers(left + 1, 8))] = True
        if draw(st.booleans()):
            mask[0, : draw(st.integers(0, 8))] ^= True
        masks.append(mask)
    return np.stack(masks)


def assert_same(found: NDArray[np.bool_], expected: list[Mask]) -> None:
    """The same masks in the same order; those without pixels are left out of what was expected."""
    wanted = [mask for mask in expected if mask.any()]
    assert len(found) == len(wanted)
    for mask, want in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(mask, want)


@given(overlapping())
def test_filter_by_combine_is_figure_13(masks: NDArray[np.bool_]) -> None:
    assert_same(filter_by_combine(masks), literally_by_combine(list(masks)))


@given(overlapping(), arrays(np.bool_, (6, 8)))
@pytest.mark.filterwarnings("ignore:invalid value")
def test_filter_by_grounding_is_figure_12(masks: NDArray[np.bool_], named: Mask) -> None:
    for ground in (named, named | True, masks[0]):
        assert_same(filter_by_grounding(masks, ground), literally_by_grounding(ground, list(masks)))


def test_exactly_nine_tenths_is_dropped_by_either() -> None:
    """`> 0.9` keeps for grounding, `< 0.9` for combining."""
    mask = np.ones((1, 1, 10), np.bool_)
    nine = mask[0].copy()
    nine[0, 0] = False
    assert len(filter_by_grounding(mask, nine)) == 0
    assert len(filter_by_grounding(mask, mask[0])) == 1
    assert len(filter_by_combine(np.concatenate([nine[None], mask]))) == 1
    assert len(filter_by_combine(np.concatenate([nine[None], mask]), overlap=1.0)) == 2


def test_a_whole_whose_parts_are_there_goes_and_the_parts_stay() -> None:
    head, body = np.zeros((2, 8, 8), np.bool_)
    head[:3], body[3:] = True, True
    found = filter_by_combine(np.stack([head | body, body, head]))
    np.testing.assert_array_equal(found, [head, body])


@pytest.mark.parametrize("masks", [np.zeros((0, 4, 4), np.bool_), np.zeros((3, 4, 4), np.bool_)])
def test_no_masks_and_masks_without_pixels_are_no_components(masks: NDArray[np.bool_]) -> None:
    nothing = (0, 4, 4)
    assert filter_by_combine(masks).shape == nothing
    assert filter_by_grounding(masks, np.ones((4, 4), np.bool_)).shape == nothing
    assert filter_by_grounding(masks, np.zeros((4, 4), np.bool_)).shape == nothing


@given(arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.booleans()))
def test_holes_are_filled_as_scipy_fills_them(mask: Mask) -> None:
    np.testing.assert_array_equal(filled(mask), ndimage.binary_fill_holes(mask))


def test_a_bay_at_the_border_is_no_hole() -> None:
    mask = np.ones((5, 5), np.bool_)
    mask[0:2, 2] = False
    mask[3, 3] = False
    expected = mask.copy()
    expected[3, 3] = True
    np.testing.assert_array_equal(filled(mask), expected)


def test_regions_of_each_label() -> None:
    labels: NDArray[Any] = np.array([[1, 0, 2, 2], [0, 1, 0, 0], [0, 0, 0, 1], [3, 0, 0, 0]])
    found = regions(labels)
    assert [int(labels[mask][0]) for mask in found] == [1, 1, 2, 3]
    assert found.sum(axis=(1, 2)).tolist() == [2, 1, 2, 1]
    assert regions(np.zeros((2, 2), np.uint8)).shape == (0, 2, 2)
