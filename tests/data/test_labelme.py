"""LabelMe files: every shape is drawn, or skipped and named; no file costs more than its own area."""

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

from flawscope.data.checks.check import check_data
from flawscope.data.labelme import LabelMe
from flawscope.data.layouts import read_dataset
from flawscope.data.masks import union_mask
from flawscope.data.tables import read_json
from flawscope.errors import DataError

Grow = Callable[..., Path]


def labelme(path: Path, *shapes: object, height: object = 24, width: object = 32) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"shapes": list(shapes), "imageHeight": height, "imageWidth": width}))
    return path


def shape(kind: str | None, *points: tuple[object, object], **more: object) -> dict[str, Any]:
    return {"label": "Pitting", "points": points, "shape_type": kind, **more}


def in_base64(mask: np.ndarray) -> str:
    stream = BytesIO()
    Image.fromarray(mask).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


SQUARE = shape("polygon", (2, 3), (6, 3), (6, 7), (2, 7))
BOX = np.zeros((24, 32), bool)
BOX[3:8, 2:7] = True
PATCH = np.pad(np.ones((2, 3), np.uint8) * 255, 1)  # (4, 5)
CORNER = np.zeros((24, 32), bool)
CORNER[4:6, 3:6] = True


def drawn(tmp_path: Path, *shapes: object) -> np.ndarray:
    areas = LabelMe.parse(labelme(tmp_path / "a.json", *shapes))
    assert areas.skipped == ()
    return areas.read(24, 32)


def test_a_type_that_is_no_word_is_skipped(tmp_path: Path) -> None:
    areas = LabelMe.parse(labelme(tmp_path / "a.json", {**SQUARE, "shape_type": ["polygon"]}))
    assert areas.skipped == ("shape 1, ['polygon']: a shape type that is not read",)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (SQUARE, BOX),
        (shape(None, *SQUARE["points"]), BOX),
        (shape("rectangle", (2, 3), (6, 7)), BOX),
        (shape("rectangle", (6, 7), (2, 3)), BOX),
        (shape("rectangle", *SQUARE["points"]), BOX),
        (shape("rotation", *SQUARE["points"]), BOX),
        (shape("mask", (2, 3), (6, 6), mask=in_base64(PATCH)), CORNER),
        (shape("mask", (2, 3), (6, 6), mask=in_base64(PATCH.astype(bool))), CORNER),
        (shape("mask", (2, 3), (6, 6), mask=in_base64(PATCH // 255)), CORNER),
    ],
)
def test_areas_by_hand(tmp_path: Path, given: object, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(drawn(tmp_path, given), expected)


def test_circles_lines_and_points_are_drawn_as_labelme_draws_them(tmp_path: Path) -> None:
    circle = drawn(tmp_path, shape("circle", (16, 12), (16, 7)))
    assert (circle[12, 11], circle[7, 16], circle[17, 16], circle[12, 22]) == (True, True, True, False)
    assert circle.sum() == 81  # pixels within 5 of a pixel
    np.testing.assert_array_equal(drawn(tmp_path, shape("point", (16, 12))), circle)
    for kind, points in (("line", [(4, 12), (28, 12)]), ("linestrip", [(4, 12), (16, 12), (28, 12)])):
        line = drawn(tmp_path, shape(kind, *points))
        assert line[12, 4:29].all()
        assert 9 <= line[:, 16].sum() <= 11
        assert not line[:4].any()


def test_shapes_join(tmp_path: Path) -> None:
    assert drawn(tmp_path, SQUARE, SQUARE).sum() == 25
    assert drawn(tmp_path, SQUARE, shape("rectangle", (20, 3), (24, 7))).sum() == 50


def test_what_lies_outside_the_picture_is_cut(tmp_path: Path) -> None:
    assert drawn(tmp_path, shape("polygon", (-9, -9), (90, -9), (90, 90), (-9, 90))).all()
    for corner, count in (((-2, -1), 4), ((29, 21), 4), ((90, 3), 0), ((-9, -9), 0)):
        patch = shape("mask", corner, (corner[0] + 4, corner[1] + 3), mask=in_base64(PATCH))
        assert drawn(tmp_path, patch).sum() == count


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("x", "no shape: 'x'"),
        (shape("ellipse", (1, 1), (5, 5)), "ellipse: a shape type that is not read"),
        (shape("cuboid", (1, 1), (5, 5)), "cuboid: a shape type that is not read"),
        (shape("polygon", (1, 1), (2, 2)), "polygon: 2 points"),
        (shape("circle", (1, 1)), "circle: 1 points"),
        (shape("circle"), "points that are no pairs"),
        (shape("polygon", (1, 1), (2, 2), (3, float("nan"))), "points that are no pairs"),
        (shape("polygon", (1, 1), (2, 2), (3, 1e12)), "points that are no pairs"),
        (shape("polygon", (1, 1), (2, 2), ("a", "b")), "points that are no pairs"),
        ({"points": [[1, 1], [2]]}, "points that are no pairs"),
        ({"label": "x"}, "points that are no pairs"),
        (shape("mask", (1, 1), (3, 3), mask="no base64!"), "mask: no PNG in base64"),
        (shape("mask", (1, 1), (3, 3), mask=None), "mask: no PNG in base64"),
        (shape("mask", (1, 1), (3, 3), mask="QUJD"), "mask: no PNG in base64"),
        (shape("mask", (1, 1), (3, 3)), "mask: no PNG in base64"),
        (shape("mask", (2, 3), (16, 13), mask=in_base64(PATCH)), "mask: 5x4 pixels in a box of 15x11"),
        (shape("mask", (2, 3), (6, 9), mask=in_base64(PATCH)), "mask: 5x4 pixels in a box of 5x7"),
    ],
)
def test_a_shape_that_cannot_be_drawn_is_skipped_and_named(
    tmp_path: Path, given: object, reason: str
) -> None:
    areas = LabelMe.parse(labelme(tmp_path / "a.json", SQUARE, given))
    (skipped,) = areas.skipped
    assert skipped.startswith(f"shape 2, {reason}")
    np.testing.assert_array_equal(areas.read(24, 32), BOX)


@pytest.mark.parametrize("side", [None, 0, -1, 10**6, "24", True])
def test_a_size_that_is_not_stated_is_the_pictures_own(tmp_path: Path, side: object) -> None:
    np.testing.assert_array_equal(
        LabelMe.parse(labelme(tmp_path / "a.json", SQUARE, height=side)).read(24, 32), BOX
    )
    both = labelme(tmp_path / "b.json", SQUARE, height=side, width=side)
    np.testing.assert_array_equal(LabelMe.parse(both).read(24, 32), BOX)


def test_a_mask_of_more_pixels_than_pictures_may_have_is_named_so(tmp_path: Path) -> None:
    large = in_base64(np.zeros((10_001, 10_000), np.uint8))
    given = shape("mask", (0, 0), (9_999, 10_000), mask=large)
    (skipped,) = LabelMe.parse(labelme(tmp_path / "a.json", given)).skipped
    assert "at most 100 megapixels" in skipped
    assert "10000" in skipped


def test_where_no_size_is_stated_a_mask_beyond_the_picture_tells_another(tmp_path: Path) -> None:
    patch = shape("mask", (28, 21), (32, 24), mask=in_base64(PATCH))
    whole = LabelMe.parse(labelme(tmp_path / "a.json", patch, height=None, width=None))
    assert whole.read(24, 32).sum() == 6  # one pixel beyond: programs count the last one in or out
    with pytest.raises(DataError, match=r"inside the picture's 20x12, got a mask of Pitting from \(28, 21\)"):
        whole.read(12, 20)
    assert whole.misfit(48, 64) is None


def test_discs_at_the_border_are_what_their_formula_says(tmp_path: Path) -> None:
    rows, columns = np.ogrid[:24, :32]
    for x, y, r in ((1.5, 2.25, 5.5), (31, 23, 9), (-3, 12, 4), (40, 40, 3), (16, 12, 100)):
        found = drawn(tmp_path, shape("circle", (x, y), (x + r, y)))
        np.testing.assert_array_equal(found, (columns - x) ** 2 + (rows - y) ** 2 <= r**2)


def test_another_picture_size_is_an_error(tmp_path: Path) -> None:
    areas = LabelMe.parse(labelme(tmp_path / "a.json", SQUARE, height=25, width=None))
    with pytest.raises(DataError, match=r"a\.json: expected the picture's size, 32x24, got 32x25"):
        areas.read(24, 32)


@pytest.mark.parametrize("text", ["[]", "{}", '{"shapes": 3}', "no JSON"])
def test_files_hold_shapes(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=r"an object with a list of shapes|JSON"):
        LabelMe.parse(tmp_path / "a.json")


def test_a_file_is_parsed_once(tmp_path: Path, grow: Grow, monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture that LabelMe puts into its files makes them large."""
    grow(tmp_path, {"good": 2, "bent": 1})
    labelme(tmp_path / "bent/000.json", SQUARE)
    parsed = list[Path]()

    def counting(path: Path) -> Any:
        parsed.append(path)
        return read_json(path)

    monkeypatch.setattr("flawscope.data.labelme.read_json", counting)
    (sample,) = read_dataset(tmp_path).select(defective=True)
    np.testing.assert_array_equal(union_mask(sample, 24, 32), BOX)
    assert parsed == [tmp_path / "bent/000.json"]


def test_one_odd_file_costs_its_own_area_alone(tmp_path: Path, grow: Grow) -> None:
    grow(tmp_path, {"data": 12}, suffix=".png")
    labelme(tmp_path / "label/000.json", SQUARE)
    labelme(tmp_path / "label/001.json", shape("ellipse", (1, 1), (5, 5)), SQUARE, height=None)
    labelme(tmp_path / "label/002.json", shape("polygon", (1, 1), (2, 2)))
    (tmp_path / "label/003.json").write_text("{")
    labelme(tmp_path / "label/old.json", SQUARE)
    dataset = read_dataset(tmp_path)
    assert dataset.kinds() == ("defect", "pitting")
    first, second, third, fourth = dataset.select(defective=True)
    np.testing.assert_array_equal(union_mask(first, 24, 32), BOX)
    np.testing.assert_array_equal(union_mask(second, 24, 32), BOX)
    assert not union_mask(third, 24, 32).any()
    with pytest.raises(DataError, match=r"003\.json, line 1: expected JSON"):
        union_mask(fourth, 24, 32)
    assert [(one.path.name, one.reason) for one in dataset.left_out] == [
        ("old.json", "a label of no picture"),
        ("001.json", "shape 1, ellipse: a shape type that is not read"),
        ("002.json", "shape 1, polygon: 2 points"),
    ]
    rules = [issue.rule for issue in check_data(dataset, false_rejects=0.45)]
    assert rules == ["mask-misfit", "few-normals", "left-out", "left-out", "left-out", "mask-empty"]


def test_labels_are_found_in_any_case_and_below(tmp_path: Path, grow: Grow) -> None:
    grow(tmp_path, {"data": 6}, suffix=".JPG")
    labelme(tmp_path / "label/000.JSON", SQUARE)
    labelme(tmp_path / "label/day/001.json", SQUARE)
    assert len(read_dataset(tmp_path).select(defective=True)) == 2


@pytest.mark.parametrize("place", ["bent/000.json", "masks/bent/000.json", "bent_mask/000.JSON"])
def test_folders_of_ones_own_may_have_labels(tmp_path: Path, grow: Grow, place: str) -> None:
    grow(tmp_path, {"good": 2, "bent": 3})
    labelme(tmp_path / place, SQUARE, shape("ellipse", (1, 1), (5, 5)))
    (tmp_path / "bent/001.json").write_text('{"camera": 3}')
    (tmp_path / "bent/002.json").write_text('{"shapes": ')
    dataset = read_dataset(tmp_path)
    assert dataset.masked
    first, second, third = dataset.select(kind="bent")
    np.testing.assert_array_equal(union_mask(first, 24, 32), BOX)
    assert second.masks == ()
    with pytest.raises(DataError, match=r"002\.json, line 1: expected JSON"):
        union_mask(third, 24, 32)
    assert [one.reason for one in dataset.left_out] == ["shape 2, ellipse: a shape type that is not read"]
