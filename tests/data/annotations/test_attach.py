"""From annotation files to the parts of pictures: forms, matching, order, and what is wrong with them."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from annotated import polygon
from annotation_cases import PLATE, SCREW, coco, expected_nested, labels_of, of
from flawscope.data.annotations.attach import attach
from flawscope.data.annotations.drawing import Drawing
from flawscope.data.annotations.matching import matched
from flawscope.data.annotations.order import ORDER, Component, write_order
from flawscope.data.annotations.partition import classes_of
from flawscope.data.label_folder import LabelFolder
from flawscope.data.layouts import read_dataset
from flawscope.data.samples import Dataset, Sample
from flawscope.errors import DataError

Write = Callable[..., Path]


def test_nested_shapes_are_a_partition_the_smaller_first(dataset: Dataset, write: Write) -> None:
    write("train/good/000.json", PLATE, SCREW)
    found = attach(dataset, write("train/good/001.json", PLATE).parents[2]).require()
    assert [component.name for component in found.components] == ["background", "screw", "plate"]
    np.testing.assert_array_equal(labels_of(found), expected_nested())
    assert not of(found, "test/good/000.png").parts
    said = "\n".join(found.told())
    assert "2 good training pictures are annotated: screw, plate." in said
    assert "the smaller, that is screw, plate" in said
    assert "Annotated in one picture only, and learnt from that: screw." in said


def test_coco_and_label_maps_say_the_same(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "coco.json").write_text(json.dumps(coco()))
    found = attach(dataset, tmp_path / "coco.json").require()
    np.testing.assert_array_equal(labels_of(found), expected_nested())
    assert [part.crowd for part in found.samples[0].parts] == [False, False]
    folder = LabelFolder(tmp_path / "maps", dataset.root)
    folder.write(found.samples[0], expected_nested(), labelled=True)
    folder.write_names(("background", "screw", "plate"), made=True)
    again = attach(dataset, tmp_path / "maps").require()
    np.testing.assert_array_equal(labels_of(again), expected_nested())
    assert [part.crowd for part in again.samples[0].parts] == [True, True]
    assert len(again.told()) == 2


def test_a_crowd_and_a_group_are_told_from_pieces(dataset: Dataset, tmp_path: Path, write: Write) -> None:
    values = coco()
    values["annotations"][1]["iscrowd"] = 1
    (tmp_path / "coco.json").write_text(json.dumps(values))
    assert [part.crowd for part in attach(dataset, tmp_path / "coco.json").samples[0].parts] == [False, True]
    pieces = [polygon("nut", (1, 1, 3, 3), group_id=4), polygon("nut", (9, 1, 12, 3), group_id=4)]
    write("train/good/000.json", *pieces, polygon("nut", (16, 1, 18, 3)))
    grouped, alone = of(attach(dataset, tmp_path / "annotations"), "train/good/000.png").parts
    assert [int(part.read(16, 24).sum()) for part in (grouped, alone)] == [9 + 12, 9]


def test_groups_and_ids_that_a_table_of_floats_has_written(
    dataset: Dataset, tmp_path: Path, write: Write
) -> None:
    pieces = [polygon("nut", (1, 1, 3, 3), group_id=4.0), polygon("nut", (9, 1, 12, 3), group_id=4.0)]
    write("train/good/000.json", *pieces, imageHeight=16.0)
    assert len(of(attach(dataset, tmp_path / "annotations").require(), "train/good/000.png").parts) == 1
    apart = polygon("nut", (1, 1, 3, 3)), polygon("nut", (9, 1, 12, 3), group_id=-1)
    write("train/good/000.json", *apart)
    assert len(of(attach(dataset, tmp_path / "annotations").require(), "train/good/000.png").parts) == 2
    values = coco()
    values["images"][0] |= {"id": 7.0, "height": 16.0, "width": 24.0}
    (tmp_path / "coco.json").write_text(json.dumps(values))
    np.testing.assert_array_equal(
        labels_of(attach(dataset, tmp_path / "coco.json").require()), expected_nested()
    )


def test_a_file_that_lists_a_picture_and_marks_nothing_gives_way(dataset: Dataset, tmp_path: Path) -> None:
    place = tmp_path / "two"
    place.mkdir()
    images = [{"id": index, "file_name": f"train/good/00{index}.png"} for index in (0, 1)]
    for index in (0, 1):
        own = [one | {"image_id": index} for one in coco()["annotations"]]
        (place / f"{index}.json").write_text(json.dumps(coco(images=images, annotations=own)))
    found = attach(dataset, place).require()
    assert [sample.path.name for sample in found.samples] == ["000.png", "001.png"]
    assert not found.unmatched


def test_maps_that_nobody_may_learn_from_are_left_out(dataset: Dataset, tmp_path: Path) -> None:
    folder = LabelFolder(tmp_path / "maps", dataset.root)
    first, second = dataset.select(split="train")[:2]
    folder.write(first, expected_nested(), labelled=True)
    folder.write(second, expected_nested(), labelled=False)
    folder.note()
    Image.new("RGB", (5, 5)).save(tmp_path / "maps" / "contact_sheet.png")
    found = attach(dataset, tmp_path / "maps").require()
    assert [sample.path for sample in found.samples] == [first.path]


def test_a_stated_order_decides_and_marks_what_is_ignored(dataset: Dataset, write: Write) -> None:
    place = write("train/good/000.json", PLATE, SCREW).parents[2]
    write_order(place / ORDER, [Component("plate"), Component("screw", ignore=True)])
    found = attach(dataset, place).require()
    assert found.stated == place / ORDER
    labels = labels_of(found)
    assert set(np.unique(labels)) == {0, 1}  # the plate claims all of the screw
    assert classes_of(found.samples).ignored == (2,)
    assert "Left out of scores and heatmaps: screw." in found.told()


def test_drafts_get_their_names_in_one_place(dataset: Dataset, write: Write) -> None:
    shapes = [polygon("component 2", (4, 4, 7, 7)), polygon("screw", (9, 4, 12, 7)), PLATE]
    place = write("train/good/000.json", *shapes).parents[2]
    (place / ORDER).write_text("- {name: screw, also: component 2}\n- plate\n")
    (sample,) = attach(dataset, place).require().samples
    assert [(part.name, part.order) for part in sample.parts] == [("screw", 1), ("screw", 1), ("plate", 2)]


@pytest.mark.parametrize("form", ["LabelMe", "COCO", "label maps"])
def test_blanks_and_composed_letters_make_no_other_name(
    dataset: Dataset, tmp_path: Path, write: Write, form: str
) -> None:
    typed, listed = unicodedata.normalize("NFD", " Düse "), unicodedata.normalize("NFC", "Düse")
    place = write("train/good/000.json", polygon(typed, (4, 4, 7, 7)), PLATE).parents[2]
    if form == "COCO":
        (place / "train/good/000.json").unlink()
        kinds = [{"id": 3, "name": "plate\t"}, {"id": 5, "name": typed}]
        (place / "coco.json").write_text(json.dumps(coco(categories=kinds)))
    if form == "label maps":
        (place / "train/good/000.json").unlink()
        folder = LabelFolder(place, dataset.root)
        folder.write(dataset.select(split="train")[0], expected_nested(), labelled=True)
        folder.write_names(("background", typed, "plate\t"), made=False)
    (place / ORDER).write_text(f"- {listed}\n- plate\n", encoding="utf-8")
    (sample,) = attach(dataset, place).require().samples
    assert {part.name for part in sample.parts} == {listed, "plate"}


def test_a_shape_called_background_is_a_hole(dataset: Dataset, write: Write) -> None:
    place = write("train/good/000.json", PLATE, polygon("background", (8, 4, 15, 8))).parents[2]
    labels = labels_of(attach(dataset, place).require())
    assert (labels[4:9, 8:16] == 0).all()
    assert (labels == 1).sum() == 20 * 12 - 5 * 8


def test_names_that_the_order_lacks_are_refused_with_the_nearest(dataset: Dataset, write: Write) -> None:
    place = write("train/good/000.json", polygon("scrw", (1, 1, 5, 5))).parents[2]
    write_order(place / ORDER, [Component("screw"), Component("plate")])
    with pytest.raises(DataError, match=r'components.yaml lists, got "scrw". Did you mean "screw"'):
        attach(dataset, place).require()


@pytest.mark.parametrize(
    ("name", "picture"),
    [
        ("train/good/003.json", "train/good/003.png"),
        ("GOOD/003.json", "train/good/003.png"),
        ("flat/005.json", "train/good/005.png"),
        ("000.json", "train/good/000.png"),
        ("test/good/000.json", "test/good/000.png"),
        ("test/000.json", "train/good/000.png"),
    ],
)
def test_annotations_find_their_picture(dataset: Dataset, write: Write, name: str, picture: str) -> None:
    write(name, SCREW)
    found = attach(dataset, dataset.root.parent / "annotations")
    assert [sample.path for sample in found.samples] == [dataset.root / picture]


def test_an_umlaut_is_one_letter_or_two() -> None:
    taken_apart, whole = (Path(unicodedata.normalize(form, "Lötstelle.png")) for form in ("NFD", "NFC"))
    for one, other in ((taken_apart, whole), (whole, taken_apart)):
        drawing = Drawing(Path("coco.json"), one, ())
        assert matched([drawing], [Sample(other, "train", defective=False)]).of == {other: drawing}


def test_annotations_of_a_product_beside_it_are_not_its_own(dataset: Dataset, write: Write) -> None:
    place = write("other/train/good/000.json", SCREW).parents[3]
    write(f"{dataset.root.name}/train/good/001.json", PLATE)
    assert len(attach(dataset, place).samples) == 2
    (dataset.root.parent / "other").mkdir()
    found = attach(dataset, place)
    assert [sample.path.name for sample in found.samples] == ["001.png"]
    assert "other is another product" in str(found.unmatched[0])
    (dataset.root.parent / "train").mkdir()  # no product, for the data set has such a folder
    write("train/good/002.json", PLATE)
    assert [sample.path.name for sample in attach(dataset, place).samples] == ["001.png", "002.png"]


def test_annotations_without_a_picture_are_named(dataset: Dataset, write: Write) -> None:
    place = write("train/good/000.json", SCREW).parents[2]
    write("train/good/099.json", SCREW)
    found = attach(dataset, place).require()
    (line,) = [line for line in found.told() if line.startswith("Annotations without a picture")]
    assert "099.json (099.json: no picture is called so)" in line
    (place / "train" / "good" / "000.json").unlink()
    with pytest.raises(DataError, match="called as one of its pictures, and mark something, got 1 others"):
        attach(dataset, place).require()


def test_annotations_of_test_pictures_alone_teach_nothing(dataset: Dataset, write: Write) -> None:
    place = write("test/good/000.json", SCREW).parents[2]
    found = attach(dataset, place).require()
    assert found.learnt == ()
    with pytest.raises(DataError, match="expected some of good training pictures, got 1 of others"):
        found.require_learnt()


def test_two_annotations_of_one_picture(dataset: Dataset, write: Write) -> None:
    place = write("a/002.json", SCREW).parents[1]
    write("b/002.json", PLATE)
    with pytest.raises(DataError, match=r"picture .*002.png: expected one annotation, got"):
        attach(dataset, place).require()
    write("good/002.json", PLATE)  # nearer than both
    found = attach(dataset, place)
    assert [part.name for part in found.samples[0].parts] == ["plate"]
    assert len(found.unmatched) == 2


def test_labelme_files_beside_their_pictures_are_no_defects(tmp_path: Path) -> None:
    for index in range(3):
        (tmp_path / "good").mkdir(exist_ok=True)
        Image.new("RGB", (24, 16)).save(tmp_path / "good" / f"{index}.png")
    (tmp_path / "good" / "1.json").write_text(json.dumps({"shapes": [SCREW]}))
    dataset = read_dataset(tmp_path)
    assert [len(sample.masks) for sample in dataset] == [0, 1, 0]
    found = attach(dataset, tmp_path / "good" / ".." / "good").require()
    assert [(len(sample.masks), len(sample.parts)) for sample in found.dataset] == [(0, 0), (0, 1), (0, 0)]
