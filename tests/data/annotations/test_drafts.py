"""Drafts: polygons whose partition is the label map, and files that a person's hand makes untouchable."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from flawscope.data.annotations.attach import attach
from flawscope.data.annotations.drafts import MADE, Drafts, drafted_shapes
from flawscope.data.annotations.order import ORDER, Component
from flawscope.data.annotations.partition import classes_of, partition
from flawscope.data.annotations.reading import read_annotations
from flawscope.data.labelme import LabelMe
from flawscope.data.samples import Dataset
from flawscope.errors import DataError, OutputError

NAMES = ("background", "screw", "nut", "plate")


def by_order(shapes: list[dict[str, Any]], order: Sequence[str], size: tuple[int, int]) -> Any:
    """The map of shapes as LabelMe draws them, the first of the order on top."""
    drawn = np.zeros(size, np.uint8)
    for name in reversed(order):
        own = [shape for shape in shapes if shape["label"] == name]
        drawn[LabelMe.of(Path("one.json"), {"shapes": own}).read(*size)] = NAMES.index(name)
    return drawn


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3)),
    st.permutations(NAMES[1:]),
)
def test_the_partition_of_a_draft_is_the_label_map(labels: NDArray[np.uint8], order: list[str]) -> None:
    shapes = drafted_shapes(labels, NAMES, order)
    size = labels.shape[0], labels.shape[1]
    np.testing.assert_array_equal(by_order(shapes, order, size), labels)


def test_hundreds_of_pieces_take_little_more_memory_than_the_picture() -> None:
    labels = np.zeros((600, 600), np.uint8)
    labels[::30, ::30] = 1  # 400 pieces
    tracemalloc.start()
    shapes = drafted_shapes(labels, NAMES, NAMES[1:])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(shapes) == 400
    assert peak < 30 * labels.size


def test_what_lies_upon_a_part_leaves_it_whole_and_a_hole_cuts_it(tmp_path: Path) -> None:
    labels = np.zeros((20, 30), np.uint8)
    labels[2:18, 2:28] = 3
    labels[5:9, 5:9] = 1  # a screw upon the plate
    labels[10:15, 15:22] = 0  # and a hole in it
    shapes = drafted_shapes(labels, NAMES, ["screw", "nut", "plate"])
    assert [shape["label"] for shape in shapes] == ["plate", "plate", "screw"]
    assert [shape["group_id"] for shape in shapes] == [1, 1, None]
    np.testing.assert_array_equal(by_order(shapes, NAMES[1:], (20, 30)), labels)
    (tmp_path / "one.json").write_text(json.dumps({"shapes": shapes}))
    (drawing,) = read_annotations(tmp_path / "one.json").drawings
    assert [part.name for part in drawing.parts] == ["plate", "screw"]  # two pieces


def test_simpler_outlines_stay_near_and_specks_are_left_out() -> None:
    rows, columns = np.mgrid[:80, :80]
    labels = ((rows - 40) ** 2 + (columns - 40) ** 2 < 30**2).astype(np.uint8)
    labels[2, 2] = 2
    (shape,) = drafted_shapes(labels, NAMES, NAMES[1:], tolerance=2.0, smallest=4)
    assert len(shape["points"]) < 20
    distances = [np.hypot(x - 40, y - 40) for x, y in shape["points"]]
    assert max(abs(distance - 29.5) for distance in distances) < 2.5


def test_what_a_person_changed_is_known_and_the_rest_is_written_anew(
    dataset: Dataset, tmp_path: Path
) -> None:
    first, second = dataset.select(split="train")[:2]
    labels = np.zeros((16, 24), np.uint8)
    labels[4:12, 4:20] = 1
    shapes = drafted_shapes(labels, NAMES, NAMES[1:])
    drafts = Drafts(tmp_path / "drafts", dataset.root)
    for sample in (first, second):
        drafts.write(sample, shapes, (16, 24))
    assert drafts.write_order([Component("screw")])
    drafts.note()
    place = drafts.place(first)
    assert place == tmp_path / "drafts" / "train" / "good" / "000.json"
    assert json.loads(place.read_text())["imagePath"] == "000.png"
    assert (place.parent / "000.png").read_bytes() == first.path.read_bytes()

    again = Drafts(tmp_path / "drafts", dataset.root)
    assert not again.by_hand(place)
    place.write_text(place.read_text() + " ")
    assert again.by_hand(place)
    assert not again.by_hand(again.place(second))
    (tmp_path / "drafts" / ORDER).write_text("- screw\n- nut\n")
    assert not again.write_order([Component("screw")])
    found = attach(dataset, tmp_path / "drafts").require()
    assert [component.name for component in found.components] == ["background", "screw", "nut"]
    np.testing.assert_array_equal(partition(found.samples[0], classes_of(found.samples).names), labels)


def test_two_pictures_that_differ_in_their_ending_share_no_draft(dataset: Dataset, tmp_path: Path) -> None:
    drafts, first = Drafts(tmp_path / "drafts", dataset.root), dataset.samples[0]
    assert drafts.place(first) == drafts.place(first)
    with pytest.raises(DataError, match=r"one picture that it belongs to, got .*\.png and .*\.jpg"):
        drafts.place(replace(first, path=first.path.with_suffix(".jpg")))


def test_a_record_of_drafts_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / MADE).write_text('{"files": [1]}')
    with pytest.raises(DataError, match=r"drafts\.json, line 1"):
        Drafts(tmp_path, tmp_path)


def test_a_copy_follows_its_picture_and_spares_another_file(dataset: Dataset, tmp_path: Path) -> None:
    drafts, first = Drafts(tmp_path / "drafts", dataset.root), dataset.samples[0]
    copy = drafts.place(first).with_name(first.path.name)
    drafts.write(first, [], (48, 64))
    drafts.note()
    first.path.write_bytes(dataset.samples[1].path.read_bytes())
    drafts = Drafts(tmp_path / "drafts", dataset.root)
    drafts.write(first, [], (48, 64))
    assert copy.read_bytes() == first.path.read_bytes()
    copy.write_bytes(b"of somebody")
    with pytest.raises(OutputError, match="got another file"):
        drafts.write(first, [], (48, 64))
    assert copy.read_bytes() == b"of somebody"
