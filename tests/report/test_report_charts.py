"""Charts of the report: histograms, curves, ticks."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from flawscope.report.charts import pro_chart, roc_chart, score_chart
from flawscope.report.content import Curve
from flawscope.report.page import render
from flawscope.report.svg import nice_ticks
from reported import content, item, judged, withheld


def test_the_reject_label_stays_within_the_chart_where_the_threshold_is_the_highest() -> None:
    for threshold, anchored in ((0.5, False), (9.0, True)):
        chart = score_chart(content(item("a.png", 0.1), item("b.png", 1.0), reject_threshold=threshold))
        label = chart[: chart.index("reject beyond")].rpartition("<text")[2]
        assert ('text-anchor="end"' in label) == anchored


def test_score_chart_places_thresholds_on_its_axis() -> None:
    chart = score_chart(judged())
    zones = [float(x) for x in re.findall(r'class="zone \w+" d="M([\d.]+) ', chart)]
    end = float(re.findall(r'class="zone reject" d="M[\d.]+ \d+H([\d.]+)V', chart)[0])
    # scores 1 to 5 with 3 % room: review 2.0 and reject 3.0 lie at these shares of the axis
    shares = [(x - zones[0]) / (end - zones[0]) for x in zones[1:]]
    assert shares == pytest.approx([(2 - 0.88) / 4.24, (3 - 0.88) / 4.24], abs=1e-3)


def test_withheld_kinds_have_bars_strips_and_a_key_of_their_own() -> None:
    items = tuple(withheld(item, item.kind == "dent") for item in judged().items)
    page = render(replace(judged(), items=items))
    assert ("2 seen" in page, "1 unseen" in page) == (True, True)
    assert re.findall(r'class="strip (\w+)"', page) == ["good", "unseen", "defective"]
    assert re.findall(r"<th>(\w+)<small>withheld from training", page) == ["dent"]
    bars = re.findall(r'class="bars (defective|unseen)" d="(M[^"]*V162Z)"', page)
    assert [(name, drawn.count("Z")) for name, drawn in bars] == [("defective", 2), ("unseen", 1)]


def test_pictures_that_nobody_has_reviewed_stay_in_the_histogram() -> None:
    reviewed = item("a.png", 4.0, False, "good")
    page = render(content(reviewed, item("b.png", 1.0), item("c.png", 5.0)))
    assert ("3 pictures" in page, "1 good<" in page) == (True, False)
    assert "Of 1 picture whose truth is known:" in page
    assert re.findall(r'class="strip (\w+)"', page) == ["good"]
    assert "whose truth is known" not in render(judged())


@pytest.mark.parametrize("seen", [True, False])
def test_none_is_told_apart_where_all_are_alike(seen: bool) -> None:
    page = render(replace(judged(), items=tuple(withheld(item, not seen) for item in judged().items)))
    assert [name in page for name in ("withheld", "bars unseen", "strip unseen")] == [False] * 3


def test_kinds_beyond_those_that_have_strips_are_counted() -> None:
    kinds = [item(f"{index}.png", 1.0 + index, True, f"kind {index:02}") for index in range(18)]
    chart = score_chart(content(*kinds, item("g.png", 0.5, False)))
    assert (chart.count('class="strip '), "and 3 kinds more, in the table below" in chart) == (16, True)
    assert "in the table below" not in score_chart(content(*kinds[:15], item("g.png", 0.5, False)))


def test_equal_scores_and_thresholds_make_a_chart() -> None:
    alike = content(*[item("a.png", 2.0)] * 3, review_threshold=2.0, reject_threshold=2.0)
    assert "nan" not in score_chart(alike)
    assert "nan" not in render(alike)


def test_roc_marks_the_thresholds() -> None:
    chart = roc_chart(judged())
    assert "reject threshold: 33.3 % found, 33.3 % false" in chart
    assert "review threshold: 66.7 % found, 66.7 % false" in chart


def test_a_curve_that_rises_at_its_right_end_rises_there_alone() -> None:
    """A defect that scores below all good pictures: the ROC curve runs level, and then straight up."""
    items = (item("a.png", 1.0, True, "dent"), item("b.png", 2.0, False), item("c.png", 3.0, True, "dent"))
    assert 'class="curve" d="M60 312L60 162L360 162L360 12"' in roc_chart(content(*items))
    beyond = pro_chart(Curve([0.0, 0.1, 0.4], [0.0, 0.5, 0.8], limit=0.3))
    assert 'class="curve" d="M60 312L160 162L360 102"' in beyond


def test_long_curves_are_thinned_to_the_screen() -> None:
    x = np.linspace(0, 1, 200_000)
    chart = pro_chart(Curve(x.tolist(), np.sqrt(x).tolist(), 0.6, 0.3))
    assert len(chart) < 30_000


def test_ticks_are_round() -> None:
    assert nice_ticks(-0.3, 1.1, 7) == [-0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert nice_ticks(1e-9, 5e-9, 4) == [1e-9, 2e-9, 3e-9, 4e-9, 5e-9]
