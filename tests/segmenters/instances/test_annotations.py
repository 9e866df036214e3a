"""Annotations as instances: connected areas, their boxes, and the order in which classes claim pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from areas import Area
from flawscope.data.pictures import PictureFiles
from flawscope.data.tiles import cut, sources
from flawscope.errors import DataError
from flawscope.nn.run import Run
from flawscope.nn.watch import UNWATCHED
from flawscope.runtime.images import Frame
from flawscope.runtime.tiling import Tiling
from flawscope.segmenters.instances.annotations import claiming, instances, read_annotated, resized, target
from flawscope.segmenters.instances.segmenter import divided
from instances_small import annotated_bars, segmenter, without


def test_each_connected_area_is_an_instance() -> None:
    labels = np.zeros((8, 10), np.uint8)
    labels[0:3, 0:3], labels[3, 3] = 1, 1  # touches at a corner
    labels[6:8, 0:4] = 1
    labels[0:2, 6:9] = 2
    labels[7, 9] = 2  # too small
    numbers, classes = instances(labels, np.zeros_like(labels), 2)
    assert classes.tolist() == [0, 1, 1, 2]
    assert [int((numbers == number).sum()) for number in (1, 2, 3)] == [10, 8, 6]
    assert numbers[3, 3] == numbers[0, 0]
    assert numbers[7, 9] == 0
    found = target(numbers, classes, 7)
    assert found["labels"].tolist() == [1, 1]
    assert found["boxes"].tolist() == [[-0.5, -0.5, 3.5, 3.5], [-0.5, 5.5, 3.5, 7.5]]
    assert found["masks"].dtype == torch.uint8
    assert found["masks"].sum((1, 2)).tolist() == [10, 8]


def test_a_shape_of_its_own_is_an_instance_whatever_touches_or_divides_it(tmp_path: Path) -> None:
    pictures, _ = annotated_bars(tmp_path, 1)
    halves = np.zeros((3, 64, 64), np.bool_)
    halves[0, 10:30, 5:30], halves[1, 10:30, 30:60], halves[2, 5:50, 14:20] = True, True, True
    parts = (
        Area("plate", halves[0], 2, crowd=False),
        Area("plate", halves[1], 2, crowd=False),
        Area("bar", halves[2], 1),
    )
    given = PictureFiles([replace(pictures.samples[0], parts=parts)], pictures.frame)
    read = read_annotated(given, Run(), UNWATCHED)
    numbers, classes = instances(read.maps[0], read.pieces[0], 4)
    assert classes.tolist() == [0, 1, 2, 2]
    for number, shown in zip((1, 2, 3), (halves[2], halves[0] & ~halves[2], halves[1]), strict=True):
        np.testing.assert_array_equal(numbers == number, shown)


def test_hundreds_of_parts_that_touch_are_instances_each_where_no_class_has_more_than_255(
    tmp_path: Path,
) -> None:
    pictures, _ = annotated_bars(tmp_path, 1)
    places = np.arange(64 * 64).reshape(64, 64) // 4  # pieces of four pixels in a row, side by side
    parts = tuple(Area("bar" if number % 2 else "nut", places == number) for number in range(400))
    given = PictureFiles([replace(pictures.samples[0], parts=parts)], pictures.frame)
    read = read_annotated(given, Run(), UNWATCHED)
    numbers, classes = instances(read.maps[0], read.pieces[0], 4)
    assert np.bincount(classes).tolist() == [1, 200, 200]
    assert len(np.unique(numbers)) == 401
    assert (read.most_instances(4), read.most_instances(5)) == (400, 0)


def test_a_piece_without_instances_has_empty_targets() -> None:
    found = target(np.zeros((6, 7), np.int32), np.array([0, 1]), 4)
    assert found["boxes"].shape == (0, 4)
    assert found["masks"].shape == (0, 6, 7)


def test_annotations_state_the_order_and_size_settles_the_rest(tmp_path: Path) -> None:
    pictures, _ = annotated_bars(tmp_path, 2)
    read = read_annotated(pictures, Run(), UNWATCHED)
    assert read.names == ("background", "bar", "plate")
    assert claiming(read) == (1, 2)
    samples = [
        replace(sample, parts=tuple(Area(part.name, part.read(64, 64), 0) for part in sample.parts))
        for sample in pictures.samples
    ]
    equal = read_annotated(PictureFiles(samples, pictures.frame), Run(), UNWATCHED)
    assert claiming(equal) == (1, 2)  # bars are smaller
    turned = [
        replace(sample, parts=tuple(replace(part, order=part.name == "bar") for part in sample.parts))
        for sample in samples
    ]
    stated = read_annotated(PictureFiles(turned, pictures.frame), Run(), UNWATCHED)
    assert [stated.names[label] for label in claiming(stated)] == ["plate", "bar"]


def test_what_nobody_wants_judged_is_a_class_too(tmp_path: Path) -> None:
    pictures, _ = annotated_bars(tmp_path, 1)
    parts = tuple(replace(part, ignore=part.name == "bar") for part in pictures.samples[0].parts)
    given = PictureFiles([replace(pictures.samples[0], parts=parts)], pictures.frame)
    read = read_annotated(given, Run(), UNWATCHED)
    assert (read.names, read.classes.ignored) == (("background", "bar", "plate"), (1,))
    made = segmenter(steps=1).fit(given, Run(), parts=given)
    assert made.ignored == (1,)
    twin = segmenter()
    twin.load_state_dict(made.state_dict())
    assert twin.ignored == (1,)


def test_what_shows_no_pixel_is_no_class_whatever_a_larger_size_would_show(tmp_path: Path) -> None:
    pictures, _ = annotated_bars(tmp_path, 2)
    dots = np.zeros((64, 64), np.bool_)
    dots[0, 0] = True  # between the pixels of half the size
    stray = (Area("dot", dots, 0, crowd=False), Area("stray", np.zeros_like(dots), 0))
    samples = [replace(sample, parts=(*stray, *sample.parts)) for sample in pictures.samples]
    half = Frame(32, 32)
    read = read_annotated(PictureFiles(samples, half), Run(), UNWATCHED)
    plain = read_annotated(pictures.resized(half), Run(), UNWATCHED)
    assert (read.names, read.unseen) == (plain.names, ("dot", "stray"))
    np.testing.assert_array_equal(read.maps, plain.maps)
    larger = resized(read, pictures.frame, Run(), UNWATCHED)
    np.testing.assert_array_equal(larger.maps, resized(plain, pictures.frame, Run(), UNWATCHED).maps)


def test_a_picture_is_held_out_only_where_others_show_its_classes(tmp_path: Path) -> None:
    pictures, _ = annotated_bars(tmp_path, 5)
    for index in (0, 1, 2, 3):
        pictures = without(pictures, index, "bar")
    read = read_annotated(pictures, Run(), UNWATCHED)
    learnt, held = divided(read, 0.4, Run(seed=3))
    assert len(held) == 2
    assert 4 in learnt
    assert sorted([*learnt, *held]) == [0, 1, 2, 3, 4]
    again, _ = divided(read, 0.4, Run(seed=3))
    assert again.tolist() == learnt.tolist()
    single = read.subset(np.array([4]))
    assert [len(part) for part in divided(single, 0.5, Run())] == [1, 0]


def test_no_annotations_are_refused_with_the_command_that_drafts_some() -> None:
    with pytest.raises(DataError, match=r"got none\. Draft .* `flawscope annotate init`"):
        read_annotated(None, Run(), UNWATCHED)


def test_all_tiles_of_a_picture_are_held_out_together(tmp_path: Path) -> None:
    whole, _ = annotated_bars(tmp_path, 5)
    tiling = Tiling(size=(32, 32), stride=(32, 32))
    tiles = cut(whole.samples, Frame(32, 32), tiling)
    learnt, held = divided(read_annotated(tiles, Run(), UNWATCHED), 0.4, Run(seed=3))
    files = np.array(sources(tiles))
    assert len(held)
    assert not set(files[learnt]) & set(files[held])
    assert len(learnt) + len(held) == len(tiles)
