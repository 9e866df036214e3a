"""A benchmark's charts as SVG files: losses over the steps, measures over a swept option."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flawscope.benchmark.measures import MEASURES
from flawscope.benchmark.plan import Outcome, Planned
from flawscope.benchmark.rows import Chart
from flawscope.report.histograms import histogram_panel
from flawscope.report.markup import number
from flawscope.report.svg import COLOURS, Axis, horizontal, own_file, path, text, vertical

_WIDTH, _HEIGHT = 760, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 44, 60
_ROW = 18  # pixels of a row of the legend
_MOST_POINTS = 400


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart: points in rising x; `dashed` for figures that are not ours."""

    name: str
    points: tuple[tuple[float, float], ...]
    dashed: bool = False


def draw(outcome: Outcome) -> dict[str, str]:
    """SVG text by file name, of those charts for which something has been measured."""
    found: dict[str, str] = {}
    for index, chart in enumerate(outcome.benchmark.charts):
        name = f"{chart.kind}-{index + 1}.svg"
        if chart.kind == "histograms":
            if columns := score_columns(outcome, chart):
                found[name] = histogram_panel(columns)
            continue
        lines = lines_of(outcome, chart)
        if lines:
            across = chart.label or chart.key if chart.kind == "sweep" else "training step"
            up = f"{chart.loss} loss" if chart.kind == "losses" else "percent"
            found[name] = line_chart(chart.title, across, up, lines)
    return found


def lines_of(outcome: Outcome, chart: Chart) -> list[Line]:
    """A chart's lines, of those for which two points or more have been measured."""
    lines = _sweep(outcome, chart) if chart.kind == "sweep" else _losses(outcome, chart)
    return [line for line in lines if len(line.points) > 1]


def score_columns(outcome: Outcome, chart: Chart) -> dict[str, dict[str, list[float]]]:
    """Scores by row and group of the chart's rows, each of its first finished seed."""
    rows, columns = {row.label: row for row in outcome.benchmark.rows}, {}
    for label in chart.rows:
        scores = [planned.scores for planned in outcome.of(rows[label]) if planned.result is not None]
        if scores and scores[0] is not None:
            columns[label] = scores[0].groups()
    return columns


def line_chart(title: str, across: str, up: str, lines: Sequence[Line]) -> str:
    """Lines over a common axis as one SVG file with its own style.

    The vertical axis is logarithmic where all values are positive and span more than a factor of 20.
    """
    values = [y for line in lines for _, y in line.points]
    logarithmic = min(values) > 0 and max(values) > 20 * min(values)
    scale = math.log10 if logarithmic else float
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    x_axis = Axis.over([x for line in lines for x, _ in line.points], _LEFT, right)
    y_axis = Axis.over([scale(value) for value in values], bottom, _TOP, room=0.05)
    shapes = [
        text(_LEFT, 24, title, class_="title"),
        horizontal(x_axis, bottom, across, x_axis.ticks(6, lambda x: number(x, 6)), top=_TOP),
        vertical(
            y_axis, _LEFT, up, y_axis.ticks(5, lambda y: number(10**y if logarithmic else y, 3)), right=right
        ),
    ]
    for index, line in enumerate(lines):
        look = {"stroke": COLOURS[index % len(COLOURS)]} | (
            {"stroke_dasharray": "5 4"} if line.dashed else {}
        )
        points = "L".join(f"{x_axis(x):.1f} {y_axis(scale(y)):.1f}" for x, y in line.points)
        foot = _HEIGHT + 12 + _ROW * index  # of the legend's line, below the axes
        shapes += [
            path("line", f"M{points}", **look),
            path("line", f"M{_LEFT} {foot - 4}h22", **look),
            text(_LEFT + 30, foot, line.name),
        ]
    return own_file(_WIDTH, _HEIGHT + _ROW * len(lines) + 4, title, *shapes)


def _losses(outcome: Outcome, chart: Chart) -> list[Line]:
    """One line a row, of its first seed, averaged to at most 400 points."""
    lines = []
    for row in outcome.benchmark.rows:
        for planned in outcome.of(row)[:1]:
            records = [entry for entry in planned.losses if {"step", "total", chart.loss} <= set(entry)]
            points = [(entry["step"], entry[chart.loss]) for entry in records]
            if chart.kind == "shares":
                weight = 100 * (_value(planned, chart.key) or 0)
                records = [entry for entry in records if entry["total"] > 0]
                points = [(entry["step"], weight * entry[chart.loss] / entry["total"]) for entry in records]
            lines.append(Line(row.label, _thinned([point for point in points if math.isfinite(point[1])])))
    return lines


def _thinned(points: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    width = -(-len(points) // _MOST_POINTS) or 1
    groups = [points[start : start + width] for start in range(0, len(points), width)]
    return tuple(
        (sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups
    )


def _sweep(outcome: Outcome, chart: Chart) -> list[Line]:
    """Ours and the paper's figures over the swept number; ours is the mean over the seeds."""
    found: dict[tuple[str, bool], list[tuple[float, float]]] = {}
    for row in outcome.benchmark.rows:
        runs = outcome.of(row)
        place = _value(runs[0], chart.key) if runs else None
        if place is None:
            continue
        results = [result for planned in runs if (result := planned.result) is not None]
        for measure in outcome.benchmark.measures:
            name = MEASURES[measure]
            values = [result.measures[measure] for result in results if measure in result.measures]
            if values:
                found.setdefault((name, False), []).append((place, 100 * sum(values) / len(values)))
            if (published := getattr(row.paper, measure)) is not None:
                found.setdefault((f"{name}, paper", True), []).append((place, published))
    return [Line(name, tuple(sorted(points)), dashed) for (name, dashed), points in found.items()]


def _value(planned: Planned, key: str) -> float | None:
    """The number under a dotted key of the row's recipe, with every option of the method."""
    node: Any = planned.recipe.model_dump(mode="json") | {"options": dict(planned.options)}
    for step in key.split("."):
        node = node.get(step) if isinstance(node, dict) else None
    return float(node) if isinstance(node, int | float) and not isinstance(node, bool) else None
