"""Annotation files that contradict themselves, or their pictures."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from annotation_cases import PLATE, coco, expected_nested, labels_of
from flawscope.data.annotations.attach import attach
from flawscope.data.annotations.check import check_annotations
from flawscope.data.label_folder import NAMES
from flawscope.data.samples import Dataset
from flawscope.errors import DataError

Write = Callable[..., Path]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": [{"id": 7, "file_name": "../../secret.png"}]}, "a file name inside the pictures' folder"),
        ({"images": [{"id": 7, "file_name": "/data/../000.png"}]}, "a file name inside the pictures' folder"),
        ({"images": [{"id": 7, "file_name": "//"}]}, "a file name inside the pictures' folder"),
        ({"images": [{"id": 7, "file_name": "/etc/passwd"}]}, r"got 1 others, such as .*passwd: no picture"),
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


@pytest.mark.parametrize("root", ["/data/", "C:\\data\\", "\\\\server\\share\\", "//server/share/", "/"])
def test_whole_paths_in_coco_files_count_by_their_last_names(
    dataset: Dataset, tmp_path: Path, root: str
) -> None:
    slash = "\\" if "\\" in root else "/"
    name = root + slash.join(("test", "good", "000.png"))
    image = {"id": 7, "file_name": name, "height": 16, "width": 24}
    (tmp_path / "coco.json").write_text(json.dumps(coco(images=[image])))
    (sample,) = attach(dataset, tmp_path / "coco.json").require().samples
    assert sample.path == dataset.root / "test" / "good" / "000.png"


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
    write("train/good/000.json", PLATE, imageHeight=32.0, imageWidth=48.0)
    with pytest.raises(DataError, match=r"annotation of .*good/000.png in .*000.json: .* 24x16, got 48x32"):
        attach(dataset, place).require()
    write("train/good/000.json", PLATE, imageHeight=24, imageWidth=16)
    with pytest.raises(DataError, match=r"got 16x24. Where a camera's EXIF mark turns it"):
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
    (tmp_path / "maps" / NAMES).write_text('["background", " "]')
    with pytest.raises(DataError, match=r"names.json, entry 2: expected a name, got a blank one"):
        attach(dataset, tmp_path / "maps").require()
    (tmp_path / "maps" / NAMES).unlink()
    path.write_bytes(b"none")
    with pytest.raises(DataError, match=r"000.png"):
        attach(dataset, tmp_path / "maps").require()
