"""The partition is exact: every pixel in at most one component, the first of the order that claims it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from areas import Area
from flawscope.data.annotations.partition import (
    BACKGROUND,
    classes_of,
    framed,
    ignored_area,
    painted,
    partition,
    shown_classes,
)
from flawscope.data.samples import Dataset, Sample
from flawscope.data.segment_maps import Labels, to_frame_size
from flawscope.data.tiles import tiles_in
from flawscope.errors import DataError
from flawscope.runtime.images import Frame
from flawscope.runtime.tiling import Overview, Tiling

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


@pytest.mark.parametrize("scale", [1.0, 0.6])
@pytest.mark.parametrize("side", [8, 10])
def test_tiles_get_their_part_of_a_map_that_is_drawn_once(dataset: Dataset, scale: float, side: int) -> None:
    masks = np.random.default_rng(0).random((3, 16, 24)) < 0.5
    parts = tuple(Area(name, mask, rank) for rank, (name, mask) in enumerate(zip("abc", masks, strict=True)))
    samples = [replace(sample, parts=parts) for sample in list(dataset)[:2]]
    tiling = Tiling(size=(8, 8), stride=(6, 5), scale=scale, overview=Overview())
    tiles, names = tiles_in(samples, tiling), ("background", "a", "b", "c")
    drawn = list[Path]()

    def draw(sample: Sample) -> Labels:
        drawn.append(sample.path)
        return partition(sample, names)

    frame = Frame(side, side)
    found = list(framed(tiles, frame, draw))
    assert drawn == [sample.path for sample in samples]
    assert len(found) == len(tiles) > 4
    for tile, labels in zip(tiles, found, strict=True):
        np.testing.assert_array_equal(labels, to_frame_size(partition(tile, names), frame, tile.tile))
    whole = list(framed(samples, frame, draw))
    np.testing.assert_array_equal(whole[0], to_frame_size(partition(samples[0], names), frame))


def test_nothing_to_judge_is_refused(dataset: Dataset) -> None:
    mask = np.ones((16, 24), np.bool_)
    sample = next(iter(dataset))
    ignored = replace(sample, parts=(Area("label", mask, ignore=True),))
    with pytest.raises(DataError, match="one of them not ignored, got 1 names, 0 not ignored"):
        classes_of([ignored])
    with pytest.raises(DataError, match="got 0 names"):
        classes_of([Sample(sample.path, "train", defective=False, parts=(Area(BACKGROUND, mask),))])


def test_classes_without_a_pixel_are_left_out_and_the_others_numbered_anew(dataset: Dataset) -> None:
    masks = np.zeros((3, 16, 24), np.bool_)
    masks[0, :8], masks[2] = True, True
    parts = (Area("plate", masks[2], 2), Area("date", masks[0], 1, ignore=True), Area("stray", masks[1], 0))
    samples = [replace(sample, parts=parts) for sample in list(dataset)[:2]]
    classes = classes_of(samples)
    maps = np.stack([partition(sample, classes.names) for sample in samples])
    shown, drawn, unseen = shown_classes(classes, maps)
    assert (shown.names, shown.ignored, unseen) == (("background", "date", "plate"), (1,), ("stray",))
    assert (drawn[:, :8] == 1).all()
    assert (drawn[:, 8:] == 2).all()
    again, same, none = shown_classes(shown, drawn)
    assert (again, none) == (shown, ())
    np.testing.assert_array_equal(same, drawn)
    with pytest.raises(DataError, match="a pixel in a picture at 24x16, got none of stray, plate: beside"):
        shown_classes(classes, np.where(maps == 3, 0, maps).astype(np.uint8))
