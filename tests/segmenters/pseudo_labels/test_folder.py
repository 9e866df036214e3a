"""Label maps written to a folder, corrected, and made again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from flawscope.data.label_folder import NAMES, LabelFolder
from flawscope.data.pictures import Pictures
from flawscope.data.segment_maps import read_labels
from flawscope.errors import DataError
from flawscope.nn.run import Run
from flawscope.runtime.images import Frame
from flawscope.segmenters.proposers import GivenOptions, build_proposer
from flawscope.segmenters.pseudo_labels import PseudoLabelOptions, PseudoLabels, make_labels
from flawscope.segmenters.pseudo_labels.folder import SHEET, write_labels

Save = Callable[..., Pictures]


@pytest.fixture
def pictures(saved: Save) -> Pictures:
    """Four pictures, 48 wide and 32 high, at 24x16."""
    return saved([np.full((32, 48, 3), 40 * index, np.uint8) for index in range(4)], Frame(16, 24))


@pytest.fixture
def labels() -> PseudoLabels:
    """A plate with a hole (1) and screws (2) on it; the last picture's map is not to be learnt from."""
    maps = np.zeros((4, 16, 24), np.uint8)
    maps[:, 2:14, 2:12], maps[:, 4:7, 16:20] = 1, 2
    return PseudoLabels(maps, np.array([True, True, True, False]), ("background", "plate", "screw"))


def folder_of(tmp_path: Path) -> LabelFolder:
    return LabelFolder(tmp_path / "labels", tmp_path / "good")


def swapped(labels: PseudoLabels) -> PseudoLabels:
    """The same classes under each other's number, and a third one."""
    maps = np.array([0, 2, 1], np.uint8)[labels.maps]
    maps[:, 12:15, 20:23] = 3
    return PseudoLabels(maps, labels.labelled, ("background", "component 1", "component 2", "component 3"))


def on_disk(folder: LabelFolder, pictures: Pictures) -> NDArray[np.uint8]:
    return np.stack([read_labels(folder.place(sample)) for sample in pictures.samples])


def test_maps_have_their_pictures_size_and_a_sheet(
    tmp_path: Path, pictures: Pictures, labels: PseudoLabels
) -> None:
    folder = folder_of(tmp_path)
    written = write_labels(folder, pictures, labels)
    np.testing.assert_array_equal(on_disk(folder, pictures), labels.maps.repeat(2, 1).repeat(2, 2))
    assert json.loads((folder.folder / NAMES).read_text()) == list(labels.names)
    with Image.open(folder.place(pictures.samples[0])) as image:
        assert image.mode == "P"
    with Image.open(folder.folder / SHEET) as image:
        assert image.size[0] > 4 * 320
    np.testing.assert_allclose(written.shares(), np.bincount(labels.maps.ravel()) / labels.maps.size)
    assert written.labelled.tolist() == [True, True, True, False]


def test_pictures_of_unequal_size_have_maps_of_their_own(tmp_path: Path, saved: Save) -> None:
    frame = Frame(16, 24)
    pictures = saved([np.zeros((*size, 3), np.uint8) for size in ((16, 24), (40, 20))], frame)
    maps = np.zeros((2, 16, 24), np.uint8)
    maps[:, :8] = 1
    folder = folder_of(tmp_path)
    made = PseudoLabels(maps, np.ones(2, np.bool_), ("background", "top"))
    write_labels(folder, pictures, made)
    for sample, (height, width) in zip(pictures.samples, ((16, 24), (40, 20)), strict=True):
        top = np.zeros((height, width), np.uint8)
        top[: height // 2] = 1
        np.testing.assert_array_equal(folder.read(sample), top)


def test_a_padded_frame_is_undone(tmp_path: Path, pictures: Pictures) -> None:
    padded = pictures.resized(Frame(24, 24, aspect="pad"))
    maps = np.zeros((4, 24, 24), np.uint8)
    maps[:, :4], maps[:, 4:12] = 2, 1  # the picture begins in row 4
    made = PseudoLabels(maps, np.ones(4, np.bool_), ("background", "above", "padding"))
    folder = folder_of(tmp_path)
    write_labels(folder, padded, made)
    expected = np.zeros((32, 48), np.uint8)
    expected[:16] = 1
    np.testing.assert_array_equal(on_disk(folder, pictures)[0], expected)


def test_what_a_person_changed_stays_and_new_classes_keep_the_known_numbers(
    tmp_path: Path, pictures: Pictures, labels: PseudoLabels
) -> None:
    write_labels(folder_of(tmp_path), pictures, labels)
    place = folder_of(tmp_path).place(pictures.samples[3])
    drawn = read_labels(place)
    drawn[:4, :4] = 2
    Image.fromarray(drawn).save(place)
    kept = place.read_bytes()
    names = folder_of(tmp_path).folder / NAMES
    names.write_text('["background", "tray", "long screw"]')
    folder = folder_of(tmp_path)
    written = write_labels(folder, pictures, swapped(labels))
    assert place.read_bytes() == kept
    assert written.by_hand.tolist() == [False, False, False, True]
    assert written.labelled.all()
    assert written.names == ("background", "tray", "long screw", "component 3")
    assert json.loads(names.read_text()) == list(written.names)
    expected = labels.maps[0].copy()
    expected[12:15, 20:23] = 3
    np.testing.assert_array_equal(written.maps[0], expected)
    np.testing.assert_array_equal(written.maps[3], drawn[::2, ::2])
    third = write_labels(folder_of(tmp_path), pictures, labels)
    assert third.names == written.names
    assert place.read_bytes() == kept


def test_a_new_class_takes_no_name_that_a_person_has_given(
    tmp_path: Path, pictures: Pictures, labels: PseudoLabels
) -> None:
    write_labels(folder_of(tmp_path), pictures, labels)
    (folder_of(tmp_path).folder / NAMES).write_text('["background", "tray", "component 3 "]')
    written = write_labels(folder_of(tmp_path), pictures, swapped(labels))
    assert written.names == ("background", "tray", "component 3 ", "component 4")


def test_where_nothing_was_changed_everything_is_made_anew(
    tmp_path: Path, pictures: Pictures, labels: PseudoLabels
) -> None:
    write_labels(folder_of(tmp_path), pictures, labels)
    new = swapped(labels)
    written = write_labels(folder_of(tmp_path), pictures, new)
    assert written.names == new.names
    np.testing.assert_array_equal(written.maps, new.maps)
    assert not written.by_hand.any()


def test_a_wrong_correction_is_told_before_anything_is_written(
    tmp_path: Path, pictures: Pictures, labels: PseudoLabels
) -> None:
    write_labels(folder_of(tmp_path), pictures, labels)
    before = on_disk(folder_of(tmp_path), pictures)
    place = folder_of(tmp_path).place(pictures.samples[2])
    Image.fromarray(np.full((32, 48), 9, np.uint8)).save(place)
    with pytest.raises(
        DataError, match=r"02.png: expected indices from 0 to 2, .* got index 9 in 1536 pixels"
    ):
        write_labels(folder_of(tmp_path), pictures, swapped(labels))
    np.testing.assert_array_equal(on_disk(folder_of(tmp_path), pictures)[:2], before[:2])


def test_training_takes_the_folder_and_leaves_unreliable_maps_out(
    tmp_path: Path, pictures: Pictures, labels: PseudoLabels
) -> None:
    folder = folder_of(tmp_path)
    write_labels(folder, pictures, labels)
    given = GivenOptions(maps=folder.folder, pictures=tmp_path / "good")
    found = make_labels(pictures, build_proposer(given), PseudoLabelOptions(), Run())
    assert found.names == labels.names
    np.testing.assert_array_equal(found.labelled, labels.labelled)
    np.testing.assert_array_equal(found.maps[:3], labels.maps[:3])
    assert not found.maps[3].any()
