"""Regions of a heatmap, and overlays that leave good parts as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flawscope.errors import OutputError
from flawscope.runtime.images import read_image
from flawscope.runtime.overlay import (
    colour_map,
    find_regions,
    heatmap_overlay,
    segment_outlines,
    thumbnail,
    to_bytes,
    to_png_bytes,
    to_rgb,
    to_webp_bytes,
    write_png,
)
from flawscope.runtime.prediction import Region


def heatmap_of_three() -> np.ndarray:
    heatmap = np.zeros((20, 30), np.float32)
    heatmap[2:5, 3:7] = 2.0
    heatmap[3, 4] = 5.0
    heatmap[10:12, 20:22] = 7.0
    heatmap[12, 22] = 9.0  # touches the square before at its corner
    heatmap[18, 1] = 8.0
    return heatmap


def test_regions_hold_box_area_and_peak_by_hand() -> None:
    regions = find_regions(heatmap_of_three(), 1.0)
    assert regions == (
        Region(box=(20, 10, 23, 13), area=5, peak=(22, 12), peak_score=9.0),
        Region(box=(1, 18, 2, 19), area=1, peak=(1, 18), peak_score=8.0),
        Region(box=(3, 2, 7, 5), area=12, peak=(4, 3), peak_score=5.0),
    )


def test_small_regions_and_all_beyond_the_first_are_left_out() -> None:
    heatmap = heatmap_of_three()
    assert [region.area for region in find_regions(heatmap, 1.0, minimum_area=2)] == [5, 12]
    assert [region.area for region in find_regions(heatmap, 1.0, most=1)] == [5]
    assert find_regions(heatmap, 9.0) == ()  # strictly above
    assert [region.area for region in find_regions(heatmap, 8.5)] == [1]


def test_peak_belongs_to_its_region_though_boxes_overlap() -> None:
    heatmap = np.zeros((9, 9), np.float32)
    heatmap[0, :] = heatmap[:, 0] = 1.0  # an L around
    heatmap[4, 4] = 3.0
    inner, outer = find_regions(heatmap, 0.5)
    assert inner.peak == (4, 4)
    assert outer.peak_score == 1.0
    assert outer.area == 17


def test_overlay_leaves_what_lies_below_low_untouched() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 1), np.uint8)
    heatmap = heatmap_of_three()
    picture = heatmap_overlay(image, heatmap, low=1.0, high=10.0)
    assert picture.dtype == np.uint8
    cold = heatmap <= 1.0
    np.testing.assert_array_equal(picture[cold], np.repeat(image, 3, axis=2)[cold])
    assert (picture[~cold] != np.repeat(image, 3, axis=2)[~cold]).any(axis=1).all()


def test_scale_is_the_callers_not_the_pictures() -> None:
    image = np.full((20, 30, 1), 128, np.uint8)
    heatmap = heatmap_of_three()
    weak = heatmap_overlay(image, heatmap, low=0.0, high=100.0).astype(int)
    strong = heatmap_overlay(image, heatmap, low=0.0, high=10.0).astype(int)
    assert np.abs(strong - 128).sum() > 3 * np.abs(weak - 128).sum()
    beyond = heatmap_overlay(image, heatmap * 100, low=0.0, high=10.0)
    np.testing.assert_array_equal(beyond[3, 5], heatmap_overlay(image, heatmap + 99, low=0, high=10)[3, 5])


def test_boxes_and_outlines_are_drawn_inside_the_picture() -> None:
    image = np.full((40, 40, 3), 100, np.uint8)
    heatmap = np.zeros((40, 40), np.float32)
    heatmap[0:4, 36:40] = 5.0
    regions = find_regions(heatmap, 1.0)
    plain = heatmap_overlay(image, heatmap, low=1.0, high=2.0)
    boxed = heatmap_overlay(image, heatmap, low=1.0, high=2.0, regions=regions)
    outlined = heatmap_overlay(image, heatmap, low=1.0, high=2.0, threshold=1.0)
    for drawn in (boxed, outlined):
        changed = (drawn != plain).any(axis=2)
        assert changed.any()
        assert not changed[20:].any()
        assert (drawn[changed] == 255).all(axis=1).any()


def test_segments_are_outlined_where_labels_change_and_named() -> None:
    labels = np.zeros((300, 400), np.int16)
    labels[:, 200:] = 1
    labels[100:140, 350:] = 2
    picture = np.full((300, 400, 3), 90, np.uint8)
    plain = (segment_outlines(picture, labels, {}) != 90).any(2)
    assert plain[:, 200].all()
    assert plain[[100, 140], 360].all()
    assert not plain[:, :199].any()
    named = (segment_outlines(picture, labels, {0: "0", 2: "2", 7: "7"}) != 90).any(2) & ~plain
    assert named[70:100, 350:].any()  # above 2
    assert not named[100:140, 350:].any()
    assert not named[140:, 230:].any()
    assert named.sum() > 1.5 * named[70:100, 350:].sum()
    assert (picture == 90).all()


def test_regions_and_what_findings_tell_of_decide_where_names_are() -> None:
    labels = np.zeros((300, 400), np.uint8)
    labels[100:140, 100:120] = labels[100:150, 300:320] = 1
    picture = np.full((300, 400, 3), 90, np.uint8)
    plain = segment_outlines(picture, labels, {})

    def named(**changes: object) -> list[int]:
        changed = (segment_outlines(picture, labels, {1: "1"}, **changes) != plain).any(2)
        return [int(side) for side in (changed[:, :200].sum(), changed[:100].sum())]

    assert named()[0] == 0
    assert named()[1] > 0
    assert named(told=[(1, (90, 90, 130, 150))])[0] > 0
    assert named(avoided=[(290, 60, 330, 160)])[1] == 0


def test_names_have_a_dark_rim_all_round() -> None:
    picture, labels = np.full((256, 256, 3), 170, np.uint8), np.ones((256, 256), np.uint8)
    drawn = segment_outlines(picture, labels, {1: "component 1"}).astype(int)
    ink, rim = (drawn[..., 0] < 60) & (drawn[..., 2] > 180), drawn.sum(2) < 150
    assert ink.sum() > 50
    inner, outer = (np.flatnonzero(part.any(0)) for part in (ink, rim))
    assert 0 < inner[0] - outer[0] <= 4
    assert 0 < outer[-1] - inner[-1] <= 4


def test_outlines_of_tiny_pictures_stay_inside() -> None:
    labels = np.array([[0, 1], [1, 1]])
    assert segment_outlines(np.zeros((2, 2, 3), np.uint8), labels, {1: "1"}).shape == (2, 2, 3)


def test_colours_rise_in_lightness() -> None:
    lightness = colour_map().astype(float) @ [0.2126, 0.7152, 0.0722]
    assert colour_map().shape == (256, 3)
    assert (np.diff(lightness) > -1.0).all()
    assert lightness[-1] - lightness[0] > 150


def test_16_bit_pictures_are_shown_over_their_own_range() -> None:
    image = np.array([[[0], [1000]], [[2000], [4000]]], np.uint16)
    np.testing.assert_array_equal(to_rgb(image)[..., 0], [[0, 64], [128, 255]])


def test_thumbnails_fit_and_never_grow() -> None:
    image = np.full((100, 300, 1), 77, np.uint8)
    small = thumbnail(image, 60)
    assert small.shape == (20, 60, 3)
    assert (small == 77).all()
    assert thumbnail(image, 400).shape == (100, 300, 3)


def test_png_and_webp_are_read_back(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    np.testing.assert_array_equal(read_image(to_png_bytes(picture)), picture)
    write_png(tmp_path / "new" / "a.png", picture)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "new" / "a.png")), picture)
    flat = np.full((16, 16, 3), (200, 30, 60), np.uint8)
    assert np.abs(read_image(to_webp_bytes(flat)).astype(int) - flat).max() < 12


def test_unwritable_output_and_impossible_pictures(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError):
        write_png(tmp_path / "file" / "a.png", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(OutputError, match=r"that \.webp can hold"):
        to_webp_bytes(np.zeros((1, 20_000, 3), np.uint8))


def test_pixels_become_bytes_rounded_and_cut_off() -> None:
    pixels = np.array([-0.1, 0.0, 0.4999 / 255, 0.5 / 255, 1.0, 1.2], np.float32).reshape(3, 1, 2)
    assert to_bytes(pixels).tolist() == [[[0, 0, 255], [0, 1, 255]]]
