"""A folder of label maps: what was made, what a person changed, and what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flawscope.data.label_folder import MADE, NAMES, LabelFolder, LabelPart
from flawscope.data.samples import Sample
from flawscope.data.segment_maps import read_labels
from flawscope.errors import DataError, InputError

NAMED = ("background", "plate", "screw")


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    """Four pictures, 12 wide and 8 high."""
    found = []
    for index in range(4):
        path = tmp_path / "data" / "train" / "good" / f"{index}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 8)).save(path)
        found.append(Sample(path, "train", defective=False))
    return found


def opened(tmp_path: Path) -> LabelFolder:
    return LabelFolder(tmp_path / "maps", tmp_path / "data")


@pytest.fixture
def folder(tmp_path: Path, samples: list[Sample]) -> LabelFolder:
    """Maps of the first three; that of the third is not to be learnt from."""
    found = opened(tmp_path)
    for index, sample in enumerate(samples[:3]):
        labels = np.zeros((8, 12), np.uint8)
        labels[:, index:6], labels[2:4, 8:] = 1, 2
        found.write(sample, labels, labelled=index != 2)
    found.write_names(NAMED, made=True)
    found.note()
    return found


def paint(folder: LabelFolder, sample: Sample, value: int, size: tuple[int, int] = (12, 8)) -> None:
    Image.fromarray(np.full(size[::-1], value, np.uint8)).save(folder.place(sample))


def test_what_was_made_is_known_again_and_what_was_changed_too(
    tmp_path: Path, folder: LabelFolder, samples: list[Sample]
) -> None:
    assert folder.place(samples[0]) == tmp_path / "maps" / "train" / "good" / "0.png"
    again = opened(tmp_path)
    assert again.names() == NAMED
    assert not again.named_by_hand()
    assert [again.by_hand(sample) for sample in samples] == [False] * 4
    assert [again.labelled(sample) for sample in samples] == [True, True, False, False]
    paint(again, samples[2], 1)
    paint(again, samples[3], 2)
    assert [again.by_hand(sample) for sample in samples] == [False, False, True, True]
    assert [again.labelled(sample) for sample in samples] == [True] * 4
    (tmp_path / "maps" / NAMES).write_text('["ground", "plate", "screw"]')
    assert again.named_by_hand()


def test_a_class_of_a_map_is_an_annotated_part(folder: LabelFolder, samples: list[Sample]) -> None:
    path = folder.place(samples[1])
    labels, part = read_labels(path), LabelPart(path, 2, "screw")
    np.testing.assert_array_equal(part.read(8, 12), labels == 2)
    assert part.crowd
    assert not part.ignore
    with pytest.raises(DataError, match="expected the picture's size, 24x16, got 12x8"):
        part.read(16, 24)


def test_maps_that_were_corrected_wrongly_are_one_line(folder: LabelFolder, samples: list[Sample]) -> None:
    paint(folder, samples[0], 3)
    with pytest.raises(DataError, match=r"0.png: expected indices from 0 to 2, .* got index 3 in 96 pixels"):
        folder.read(samples[0])
    paint(folder, samples[0], 1, (9, 8))
    with pytest.raises(DataError, match=r"0.png: expected the size of the pictures .* got 9x8"):
        folder.read(samples[0])
    Image.new("RGB", (12, 8)).save(folder.place(samples[0]))
    with pytest.raises(DataError, match=r"expected an indexed \(palette\) PNG"):
        folder.read(samples[0])
    folder.place(samples[0]).write_bytes(b"none")
    with pytest.raises(InputError):
        folder.read(samples[0])


@pytest.mark.parametrize(
    "content",
    [
        "[",
        "[]",
        '{"maps": {}}',
        '{"maps": {"a.png": 3}, "names": []}',
        '{"maps": {"a": {"sha256": "0"}}, "names": []}',
    ],
)
def test_a_record_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / MADE).write_text(content)
    with pytest.raises(DataError, match=MADE):
        LabelFolder(tmp_path, tmp_path)


@pytest.mark.parametrize("content", ["{}", '["background"]', "[1, 2]", json.dumps(["x"] * 65)])
def test_names_that_are_none_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / NAMES).write_text(content)
    with pytest.raises(DataError, match="a JSON list of 2 to 64 names"):
        LabelFolder(tmp_path, tmp_path).names()
