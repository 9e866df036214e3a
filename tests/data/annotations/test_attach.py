"""From annotation files to the parts of pictures: forms, matching, order, and what is wrong with them."""

from __future__ import annotations

import base64
import json
import unicodedata
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from annotated import polygon
from flawscope.data.annotations.attach import Annotated, attach
from flawscope.data.annotations.check import check_annotations
from flawscope.data.annotations.drawing import Drawing
from flawscope.data.annotations.matching import matched
from flawscope.data.annotations.order import ORDER, Component, write_order
from flawscope.data.annotations.partition import classes_of, partition
from flawscope.data.label_folder import NAMES, LabelFolder
from flawscope.data.layouts import read_dataset
from flawscope.data.samples import Dataset, Sample
from flawscope.errors import DataError

Write = Callable[..., Path]
SCREW, PLATE = polygon("screw", (4, 4, 7, 7)), polygon("plate", (2, 2, 21, 13))


def of(annotated: Annotated, name: str) -> Sample:
    """The picture whose path ends so."""
    (found,) = [one for one in annotated.dataset if one.path.as_posix().endswith(name)]
    return found


def labels_of(annotated: Annotated, name: str = "train/good/000.png") -> Any:
    return partition(of(annotated, name), classes_of(annotated.samples).names)


def expected_nested() -> Any:
    labels = np.zeros((16, 24), np.uint8)
    labels[2:14, 2:22], labels[4:8, 4:8] = 2, 1
    return labels


def coco(**changes: Any) -> dict[str, Any]:
    """The plate as a polygon, and the screw upon it as a mask; COCO's right and bottom edges lie outside."""
    image = {"id": 7, "file_name": "train/good/000.png", "height": 16, "width": 24}
    plate = {"id": 1, "image_id": 7, "category_id": 3, "segmentation": [[2, 2, 22, 2, 22, 14, 2, 14]]}
    runs = [4 * 16 + 4, 4, 12, 4, 12, 4, 12, 4, 16 * 16 + 8]
    screw = {"id": 2, "image_id": 7, "category_id": 5, "segmentation": {"size": [16, 24], "counts": runs}}
    kinds = [{"id": 3, "name": "plate"}, {"id": 5, "name": "screw"}]
    return {"images": [image], "annotations": [plate, screw], "categories": kinds, **changes}


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


@pytest.mark.parametrize("form", ["LabelMe", "COCO"])
def test_blanks_and_composed_letters_make_no_other_name(
    dataset: Dataset, tmp_path: Path, write: Write, form: str
) -> None:
    typed, listed = unicodedata.normalize("NFD", " Düse "), unicodedata.normalize("NFC", "Düse")
    place = write("train/good/000.json", polygon(typed, (4, 4, 7, 7)), PLATE).parents[2]
    if form == "COCO":
        (place / "train/good/000.json").unlink()
        kinds = [{"id": 3, "name": "plate\t"}, {"id": 5, "name": typed}]
        (place / "coco.json").write_text(json.dumps(coco(categories=kinds)))
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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": [{"id": 7, "file_name": "../../secret.png"}]}, "a file name inside the pictures' folder"),
        ({"images": [{"id": 7, "file_name": "/etc/passwd"}]}, "a file name inside the pictures' folder"),
        ({"images": [{"id": 7, "file_name": "a\\..\\..\\b.png"}]}, "a file name inside"),
        ({"images": [{"id": 7}]}, "a file name inside the pictures' folder, got None"),
        ({"images": [{"id": 7, "file_name": "000.png"}] * 2}, "images entry 2: expected an id of its own"),
        ({"images": {}}, "coco.json, images: expected a list"),
        ({"images": []}, "annotation 1: expected the id of one of its images, got image_id 7"),
        ({"categories": [{"id": 3, "name": "plate"}]}, "annotation 2: expected the id of one of its categ"),
        ({"annotations": 4}, "annotations: expected a list"),
        ({"annotations": [3]}, "annotation 1: expected the id of one of its images"),
    ],
)
def test_coco_files_that_contradict_themselves(
    dataset: Dataset, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    (tmp_path / "coco.json").write_text(json.dumps(coco(**changes)))
    with pytest.raises(DataError, match=message):
        attach(dataset, tmp_path / "coco.json").require()


@pytest.mark.parametrize(
    ("drawn", "message"),
    [
        ([[1, 1, 4, 4]], "a polygon of 3 points or more, got 2"),
        ([[1, 1, 4, 4, 5]], "a polygon"),
        ([["a", "b"] * 3], "a polygon"),
        ([[1, 1, 4, 4, float("nan"), 2]], "a polygon"),
        ([], "a segmentation of polygons or of counts and size, got none"),
        ("text", "a segmentation of polygons or of counts and size"),
        ({"size": [16, 24], "counts": [1, 2, 3]}, "counts that add up to 384 pixels, got 6"),
        ({"size": [16, 24], "counts": "\x00"}, "run-length counts"),
        ({"size": [24, 16], "counts": [384]}, r"the size of its image, \[16, 24\]"),
        ({"counts": [384]}, r"a size \[height, width\] beside the counts"),
    ],
)
def test_coco_annotations_that_cannot_be_drawn(
    dataset: Dataset, tmp_path: Path, drawn: Any, message: str
) -> None:
    values = coco()
    values["annotations"][1]["segmentation"] = drawn
    (tmp_path / "coco.json").write_text(json.dumps(values))
    with pytest.raises(DataError, match=f"annotation 2: expected .*{message}"):
        attach(dataset, tmp_path / "coco.json").require()


def test_masks_tell_the_size_where_the_image_does_not(dataset: Dataset, tmp_path: Path) -> None:
    values = coco()
    del values["images"][0]["height"], values["images"][0]["width"]
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(values))
    np.testing.assert_array_equal(labels_of(attach(dataset, path).require()), expected_nested())
    values["annotations"][1]["segmentation"] = {"size": [8, 12], "counts": [4, 4, 88]}
    path.write_text(json.dumps(values))
    found = attach(dataset, path)
    (problem,) = found.problems
    assert "expected the picture's size, 24x16, got 12x8" in str(problem)
    assert any("24x16, got 12x8" in issue.message for issue in check_annotations(found).issues)
    other = {**values["annotations"][1], "id": 3, "segmentation": {"size": [16, 24], "counts": [384]}}
    path.write_text(json.dumps({**values, "annotations": [*values["annotations"], other]}))
    with pytest.raises(DataError, match=r"image 7: expected masks of one size, got \[8, 12\] and \[16, 24\]"):
        attach(dataset, path).require()


def test_labelme_masks_of_another_picture(dataset: Dataset, tmp_path: Path, write: Write) -> None:
    stream = BytesIO()
    Image.fromarray(np.full((30, 40), 255, np.uint8)).save(stream, "PNG")
    mask = {
        "label": "screw",
        "points": [[0, 0], [39, 29]],
        "shape_type": "mask",
        "mask": base64.b64encode(stream.getvalue()).decode(),
    }
    write("train/good/000.json", mask, imageHeight=None, imageWidth=None)
    found = attach(dataset, tmp_path / "annotations")
    (problem,) = found.problems
    assert "masks inside the picture's 24x16, got a mask of screw from (0, 0) to (40, 30)" in str(problem)
    assert check_annotations(found).annotated == 0


def test_labelme_files_that_cannot_be_used(dataset: Dataset, tmp_path: Path, write: Write) -> None:
    place = tmp_path / "annotations"
    two = {"label": "screw", "points": [[1, 1], [5, 5]], "shape_type": "polygon"}
    path = write("train/good/000.json", PLATE, two)
    with pytest.raises(DataError, match=r"000.json, shapes: .* got shape 2, polygon: 2 points"):
        attach(dataset, place).require()
    write("train/good/000.json", PLATE, imageHeight=12)
    with pytest.raises(DataError, match=r"000.json: expected the picture's size, 24x16, got 24x12"):
        attach(dataset, place).require()
    path.write_text("")
    with pytest.raises(DataError, match=r"000.json, line 1: expected JSON"):
        attach(dataset, place).require()
    path.write_text("[]")
    with pytest.raises(DataError, match=r"a COCO file, LabelMe files, or label maps .* got none of them"):
        attach(dataset, place)
    write("train/good/000.json")
    with pytest.raises(DataError, match="got files without a shape"):
        attach(dataset, place).require()
    with pytest.raises(DataError, match="got nothing there"):
        attach(dataset, tmp_path / "elsewhere")


def test_label_maps_that_cannot_be_used(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "maps" / "train" / "good" / "000.png"
    path.parent.mkdir(parents=True)
    Image.fromarray(np.full((16, 24), 2, np.uint8)).save(path)
    (tmp_path / "maps" / NAMES).write_text('["background", "screw"]')
    with pytest.raises(DataError, match=r"indices from 0 to 1, which names.json names, got index 2"):
        attach(dataset, tmp_path / "maps").require()
    Image.fromarray(np.ones((8, 12), np.uint8)).save(path)
    with pytest.raises(DataError, match="expected the picture's size, 24x16, got 12x8"):
        attach(dataset, tmp_path / "maps").require()
    path.write_bytes(b"none")
    with pytest.raises(DataError, match=r"000.png"):
        attach(dataset, tmp_path / "maps").require()
