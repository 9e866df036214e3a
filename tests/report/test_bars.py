"""Signed bars of contributions, measured off the drawing."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from flawscope.report.charts import contribution_chart
from flawscope.report.content import ReportContent, ReportItem
from flawscope.report.page import render
from flawscope.runtime.overlay import to_webp_bytes
from flawscope.runtime.prediction import Decision
from flawscope.runtime.record import Record, Views

ITEM = ReportItem(
    Record(path="a.png", score=2.5, p_value=0.1, decision=Decision.REJECT),
    Views(to_webp_bytes(np.zeros((2, 2, 3), np.uint8))),
)


def changed(**values: object) -> ReportItem:
    return replace(ITEM, record=ITEM.record.model_copy(update=values))


def chart(*bars: tuple[str, float]) -> str:
    return contribution_chart(changed(contributions=bars))


def test_bars_grow_from_zero_in_proportion() -> None:
    drawn = chart(("a", 3.0), ("b", -1.0), ("c", 0.5))
    ET.fromstring(drawn)  # noqa: S314 - our own text
    found = re.findall(r'class="moved (\w+)" d="M([\d.]+) [\d.]+h([-\d.]+)v10H([\d.]+)Z"', drawn)
    assert [side for side, *_ in found] == ["up", "down", "up"]
    assert {float(start) for _, start, _, _ in found} == {93.0}  # 6 + 348 · 1 / 4
    assert [float(length) for _, _, length, _ in found] == [261.0, -87.0, 43.5]


def test_values_and_the_sum_are_written() -> None:
    drawn = chart(("a", 3.0), ("b", -1.25))
    assert ">+3<" in drawn
    assert ">−1.25<" in drawn
    assert "start 0.75, with all of these score 2.5" in drawn


def test_no_contributions_draw_nothing_and_zeros_do() -> None:
    assert contribution_chart(ITEM) == ""
    assert "nan" not in chart(("a", 0.0), ("b", 0.0))


@pytest.mark.parametrize("label", ["<script>alert(1)</script>", "a" * 200])
def test_labels_stay_text_and_short(label: str) -> None:
    drawn = chart((label, 1.0))
    ET.fromstring(drawn)  # noqa: S314 - our own text
    assert "<script" not in drawn
    shown = re.findall(r'class="name"[^>]*>(.*?)</text>', drawn)[0]
    assert len(shown.replace("&lt;", "<").replace("&gt;", ">")) <= 44


def test_bars_count_towards_the_budget_and_leave_with_their_pictures() -> None:
    moved = tuple((f"segment {index} · patchcore · mean", 1.0) for index in range(9))
    items = tuple(changed(path=f"{score}.png", score=score, contributions=moved) for score in (4.0, 5.0))
    content = ReportContent(
        title="Screw",
        subtitle="SegAD",
        created="2026-11-23",
        items=items,
        review_threshold=2.0,
        reject_threshold=3.0,
        promise="",
    )
    assert render(content).count("<figcaption>What moved") == 2
    rows = render(content, picture_budget=len(contribution_chart(items[0])) + 1000).split("<tr id=")[1:]
    assert ["<figcaption>What moved" in row for row in rows] == [True, False]
