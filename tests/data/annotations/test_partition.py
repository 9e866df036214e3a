"""The partition is exact: every pixel in at most one component, the first of the order that claims it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from areas import Area
from flawscope.data.annotations.partition import BACKGROUND, classes_of, ignored_area, painted, partition
from flawscope.data.samples import Dataset, Sample
from flawscope.errors import DataError

SIZE = (5, 7)
NAMES = ("background", "screw", "nut", "plate")


@st.composite
def parts(draw: st.DrawFn) -> list[Area]:
    """Rectangles, empty ones too, each of a component with an order of its own."""
    order = draw(st.permutations(NAMES))
    ignored = draw(st.sets(st.sampled_from(NAMES[1:])))
    found = []
    for _ in range(draw(st.integers(0, 6))):
        name = draw(st.sampled_from(NAMES))
        mask = np.zeros(SIZE, np.bool_)
        top, left = draw(st.integers(0, 4)), draw(st.integers(0, 6))
        mask[top : top + draw(st.integers(0, 5)), left : left + draw(st.integers(0, 7))] = True
        found.append(Area(name, mask, order.index(name), ignore=name in ignored))
    return found


def first_claim(shown: list[Area], row: int, column: int) -> Area | None:
    claims = [part for part in shown if part.mask[row, column]]
    return min(claims, key=lambda part: part.order) if claims else None


@given(parts())
def test_a_pixel_belongs_to_the_first_of_the_order_that_claims_it(shown: list[Area]) -> None:
    labels = painted(shown, [NAMES.index(part.name) for part in shown], SIZE)
    left_out = ignored_area(shown, *SIZE)
    assert labels.shape == left_out.shape == SIZE
    for row, column in np.ndindex(*SIZE):
        claim = first_claim(shown, row, column)
        assert labels[row, column] == (0 if claim is None else NAMES.index(claim.name))
        assert left_out[row, column] == (claim is not None and claim.ignore)


@given(parts(), st.randoms(use_true_random=False))
def test_in_what_order_parts_are_given_says_nothing(shown: list[Area], random: object) -> None:
    values = {part.name: NAMES.index(part.name) for part in shown}
    mixed = list(shown)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    one, other = (painted(some, [values[part.name] for part in some], SIZE) for some in (shown, mixed))
    np.testing.assert_array_equal(one, other)


@given(parts())
def test_a_part_never_gains_what_it_does_not_cover(shown: list[Area]) -> None:
    labels = painted(shown, [NAMES.index(part.name) for part in shown], SIZE)
    for index, name in enumerate(NAMES[1:], 1):
        covered: NDArray[np.bool_] = np.zeros(SIZE, np.bool_)
        for part in shown:
            covered |= part.mask & (part.name == name)
        assert not (labels == index)[~covered].any()


def test_classes_are_numbered_by_order_then_by_name(dataset: Dataset) -> None:
    mask = np.ones((16, 24), np.bool_)
    some = (Area("screw", mask, 2), Area("plate", mask, 7), Area(BACKGROUND, mask, 0))
    more = (Area("nut", mask, 2), Area("label", mask, 9, ignore=True))
    samples = [replace(sample, parts=own) for sample, own in zip(dataset, (some, more), strict=False)]
    found = classes_of(samples)
    assert found.names == ("background", "nut", "screw", "plate", "label")
    assert found.ignored == (4,)
    assert (partition(samples[0], found.names) == 0).all()
    assert (partition(samples[1], found.names) == 1).all()
    with pytest.raises(DataError, match="expected parts called screw, got one called nut"):
        partition(samples[1], ("background", "screw"))


def test_nothing_to_judge_is_refused(dataset: Dataset) -> None:
    mask = np.ones((16, 24), np.bool_)
    sample = next(iter(dataset))
    ignored = replace(sample, parts=(Area("label", mask, ignore=True),))
    with pytest.raises(DataError, match="one of them not ignored, got 1 names, 0 not ignored"):
        classes_of([ignored])
    with pytest.raises(DataError, match="got 0 names"):
        classes_of([Sample(sample.path, "train", defective=False, parts=(Area(BACKGROUND, mask),))])
