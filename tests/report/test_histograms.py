"""Histograms side by side, measured off the drawing."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from flawscope.errors import InputError
from flawscope.report.histograms import histogram_panel

GROUPS = {"good": [0.0, 0.0, 0.0, 1.0], "seen defective": [1.0, 2.0], "unseen defective": [2.0]}


def stairs(drawn: str) -> list[list[float]]:
    """Heights of each group's stair above the ground, in drawing order."""
    lines = re.findall(r'class="group"[^>]* d="M[\d.]+ ([\d.]+)(.*?)Z"', drawn)
    return [
        [float(base) - float(height) for height in re.findall(r"V([\d.]+)H", line)] for base, line in lines
    ]


def test_heights_are_shares_of_each_group() -> None:
    good, seen, unseen = stairs(histogram_panel({"SegAD": GROUPS}))
    assert len(good) == 40
    assert sorted(height for height in good if height) == pytest.approx([52.5, 157.5])  # of 210: 1/4, 3/4
    assert sorted(height for height in seen if height) == pytest.approx([105, 105])
    assert [height for height in unseen if height] == [210]


def test_columns_stand_side_by_side_and_wrap_after_three() -> None:
    columns = {f"column {index}": GROUPS for index in range(4)}
    drawn = histogram_panel(columns)
    ET.fromstring(drawn)  # noqa: S314 - our own text
    places = re.findall(r"translate\((\d+) (\d+)\)\"><text", drawn)
    assert len({x for x, _ in places}) == 3
    assert places[3][0] == places[0][0]
    assert int(places[3][1]) > int(places[0][1])
    assert drawn.count(">good<") == 1


def test_groups_keep_their_colours_from_column_to_column() -> None:
    drawn = histogram_panel({"a": {"good": [1.0, 2.0], "unseen": [3.0]}, "b": {"unseen": [1.0]}})
    good, unseen, again = re.findall(r'class="group" fill="(#\w+)"', drawn)
    assert unseen == again != good


def test_empty_groups_are_left_out_and_equal_scores_drawn() -> None:
    drawn = histogram_panel({"a": {"good": [1.0] * 3, "seen": []}})
    assert len(stairs(drawn)) == 1
    assert "nan" not in drawn


def test_an_outlier_does_not_press_the_rest_into_one_bin() -> None:
    scores = [index / 500 for index in range(500)]
    good = stairs(histogram_panel({"a": {"good": [*scores, 1e6]}}))[0]
    assert sum(height > 0 for height in good) > 30


def test_titles_and_groups_stay_text_and_long_titles_wrap() -> None:
    drawn = histogram_panel({"<b>" + " word" * 30: {"<i>": [1.0, 2.0]}})
    ET.fromstring(drawn)  # noqa: S314 - our own text
    titles = re.findall(r'class="title"[^>]*>(.*?)</text>', drawn)
    assert len(titles) == 2
    assert titles[0].endswith("…")


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({}, "0 columns"),
        ({"a": {str(index): [1.0] for index in range(7)}}, "7 groups"),
        ({"a": {"good": []}}, "got none"),
        ({"a": {"good": [1.0, float("nan")]}}, "finite"),
    ],
)
def test_what_cannot_be_drawn_is_refused(columns: dict[str, dict[str, list[float]]], words: str) -> None:
    with pytest.raises(InputError, match=words):
        histogram_panel(columns)
