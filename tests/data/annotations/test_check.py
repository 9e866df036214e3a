"""What the check of annotations finds, and its table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from annotated import polygon
from flawscope.data.annotations.attach import attach
from flawscope.data.annotations.check import Checked, check_annotations
from flawscope.data.annotations.order import ORDER, Component, write_order
from flawscope.data.checks.issues import RULES, Issue
from flawscope.data.label_folder import LabelFolder
from flawscope.data.samples import Dataset

Write = Callable[..., Path]
PLATE = polygon("plate", (0, 0, 23, 15))
SCREW, NUT = polygon("screw", (2, 2, 5, 5)), polygon("nut", (10, 2, 17, 9))


def checked(dataset: Dataset, place: Path, out: Path | None = None) -> Checked:
    found = check_annotations(attach(dataset, place), out)
    assert all(issue.severity == RULES[issue.rule][0] for issue in found.issues)
    return found


def issue_of(found: Checked, rule: str) -> Issue:
    (one,) = [issue for issue in found.issues if issue.rule == rule]
    return one


def rules(found: Checked) -> set[str]:
    return {issue.rule for issue in found.issues}


def test_the_table_tells_pictures_pieces_and_area(dataset: Dataset, write: Write, tmp_path: Path) -> None:
    two = [polygon("screw", (2, 8, 3, 9)), polygon("screw", (6, 8, 7, 9))]
    write("train/good/000.json", PLATE, SCREW, *two)
    write("train/good/001.json", PLATE, SCREW)
    write_order(tmp_path / "annotations" / ORDER, [Component("screw"), Component("plate", ignore=True)])
    found = checked(dataset, tmp_path / "annotations", tmp_path / "out")
    screw, plate = found.components
    assert (screw.pictures, screw.pieces, screw.ignore) == (2, 4, False)
    assert screw.share == pytest.approx((24 + 16) / 2 / 384)
    assert (plate.pictures, plate.pieces, plate.ignore) == (2, 2, True)
    assert plate.share == pytest.approx(1 - screw.share)
    assert found.annotated == 2
    assert found.uncovered == 0
    assert rules(found) == {"unannotated"}
    drawn = sorted((tmp_path / "out").rglob("*.png"))
    assert [path.relative_to(tmp_path / "out").as_posix() for path in drawn] == [
        "train/good/000.png",
        "train/good/001.png",
    ]
    height, width, _ = np.asarray(Image.open(drawn[0])).shape
    assert width == 24 * 33  # large enough to see
    assert height > 16 * 33  # with names below


def test_pieces_of_a_label_map_are_its_connected_areas(dataset: Dataset, tmp_path: Path) -> None:
    folder = LabelFolder(tmp_path / "maps", dataset.root)
    labels = np.zeros((16, 24), np.uint8)
    labels[2:5, 2:5] = labels[2:5, 8:11] = labels[9:, 3:9] = 1
    folder.write(next(iter(dataset.select(split="train"))), labels, labelled=True)
    found = checked(dataset, tmp_path / "maps")
    assert found.components[0].pieces == 3
    assert found.uncovered == pytest.approx((labels == 0).mean())


@pytest.mark.parametrize(
    ("shapes", "rule", "words"),
    [
        ([PLATE, SCREW, polygon("nut", (3, 2, 9, 9))], "overlap", "screw and nut overlap in part"),
        ([PLATE, SCREW, SCREW], "duplicate-part", "screw is drawn twice"),
        ([PLATE, polygon("nut", (60, 60, 90, 90))], "empty-part", "nut has a piece without a pixel in 1 pic"),
        ([PLATE, SCREW], "single-example", "screw is annotated in one picture only"),
        ([PLATE, SCREW], "unstated-order", "the smaller component claims a pixel first"),
        ([polygon("plate", (0, 0, 23, 7)), polygon("nut", (0, 9, 23, 15))], "gaps", "belong to no component"),
        ([polygon("a", (0, 0, 11, 15)), polygon("b", (13, 0, 23, 14)), polygon("b", (12, 0, 12, 14)),
          polygon("c", (14, 15, 23, 15)), polygon("c", (12, 15, 12, 15))], "specks", "1 specks"),
    ],
)  # fmt: skip
def test_what_is_drawn_amiss_is_told(
    dataset: Dataset, write: Write, tmp_path: Path, shapes: list[dict[str, Any]], rule: str, words: str
) -> None:
    write("train/good/000.json", *shapes)
    found = checked(dataset, tmp_path / "annotations")
    assert any(words in issue.message for issue in found.issues if issue.rule == rule)


def test_nested_parts_and_shared_borders_are_no_overlap(
    dataset: Dataset, write: Write, tmp_path: Path
) -> None:
    write("train/good/000.json", PLATE, polygon("nut", (2, 2, 12, 12)), polygon("screw", (12, 2, 22, 12)))
    assert "overlap" not in rules(checked(dataset, tmp_path / "annotations"))


def test_an_order_that_hides_a_component_is_told(dataset: Dataset, write: Write, tmp_path: Path) -> None:
    write("train/good/000.json", PLATE, SCREW)
    write_order(
        tmp_path / "annotations" / ORDER, [Component("plate"), Component("screw"), Component("washer")]
    )
    found = checked(dataset, tmp_path / "annotations")
    assert issue_of(found, "covered").message == "Others claim all of screw in 1 pictures."
    assert issue_of(found, "never-annotated").message == "No picture shows washer."


def test_all_that_cannot_be_used_is_listed_at_once(dataset: Dataset, write: Write, tmp_path: Path) -> None:
    place = tmp_path / "annotations"
    write("train/good/000.json", PLATE, SCREW)
    write("train/good/001.json", polygon("scrw", (1, 1, 3, 3)))
    write("train/good/002.json", PLATE, imageWidth=99)
    write("train/good/003.json", {"label": "nut", "points": [[1, 1], [2, 2]], "shape_type": "polygon"})
    write("train/good/004.json").write_text("")
    write("train/good/005.json").write_text("null")
    write("train/good/050.json", PLATE)
    write_order(place / ORDER, [Component("screw"), Component("nut"), Component("plate")])
    found = checked(dataset, place)
    errors = [f"{issue.message} {issue.fix}" for issue in found.issues if issue.severity == "error"]
    assert len(errors) == 5
    for words in (
        'Did you mean "screw"',
        "got 99x16",
        "polygon: 2 points",
        "004.json, line 1: expected JSON",
        "005.json, line 1: expected annotations, got null alone",
    ):
        assert any(words in error for error in errors)
    assert "050.json has no picture" in issue_of(found, "unmatched").message
    assert issue_of(found, "unannotated").message == "5 good training pictures are not annotated."


def test_annotations_of_other_pictures_alone_are_an_error(
    dataset: Dataset, write: Write, tmp_path: Path
) -> None:
    write("elsewhere.json", PLATE)
    found = checked(dataset, tmp_path / "annotations")
    assert issue_of(found, "no-match").severity == "error"
    assert found.annotated == 0
