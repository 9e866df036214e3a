"""A benchmark's charts as SVG files: losses over the steps, measures over a swept option."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flawscope.benchmark.measures import MEASURES
from flawscope.benchmark.plan import Outcome, Planned
from flawscope.benchmark.rows import Chart
from flawscope.report.charts import nice_ticks
from flawscope.report.histograms import histogram_panel
from flawscope.report.markup import number, text

_WIDTH, _HEIGHT = 760, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 44, 60
_COLOURS = ("#2f5fd0", "#d9691e", "#1f8a5f", "#8a4fbf", "#c8372d", "#5c6675")
_MOST_POINTS = 400
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#5c6675}.title{font-weight:600;fill:#1b2230}"
    ".grid{stroke:#e3e7ed;fill:none}.line{fill:none;stroke-width:2;stroke-linejoin:round}"
)


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
    columns = {}
    for row in outcome.benchmark.rows:
        scores = [planned.scores for planned in outcome.of(row) if planned.result is not None]
        if row.label in chart.rows and scores and scores[0] is not None:
            columns[row.label] = scores[0].groups()
    return {label: columns[label] for label in chart.rows if label in columns}


def line_chart(title: str, across: str, up: str, lines: Sequence[Line]) -> str:
    """Lines over a common axis as one SVG file with its own style.

    The vertical axis is logarithmic where all values are positive and span more than a factor of 20.
    """
    values = [y for line in lines for _, y in line.points]
    places = [x for line in lines for x, _ in line.points]
    logarithmic = min(values) > 0 and max(values) > 20 * min(values)
    scale = math.log10 if logarithmic else float
    x_axis = _Axis.over(places, _LEFT, _WIDTH - _RIGHT)
    y_axis = _Axis.over([scale(value) for value in values], _HEIGHT - _BOTTOM, _TOP, room=0.05)
    parts = [f'<text class="title" x="{_LEFT}" y="24">{text(title)}</text>']
    for value in nice_ticks(x_axis.low, x_axis.high, 6):
        place = x_axis(value)
        parts.append(f'<path class="grid" d="M{place:.1f} {_TOP}V{_HEIGHT - _BOTTOM}"/>')
        parts.append(_text(place, _HEIGHT - _BOTTOM + 18, number(value, 6), "middle"))
    for value in nice_ticks(y_axis.low, y_axis.high, 5):
        place = y_axis(value)
        parts.append(f'<path class="grid" d="M{_LEFT} {place:.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(_text(_LEFT - 8, place + 4, number(10**value if logarithmic else value, 3), "end"))
    for index, line in enumerate(lines):
        colour = _COLOURS[index % len(_COLOURS)]
        path = "L".join(f"{x_axis(x):.1f} {y_axis(scale(y)):.1f}" for x, y in line.points)
        dash = ' stroke-dasharray="5 4"' if line.dashed else ""
        parts.append(f'<path class="line" stroke="{colour}"{dash} d="M{path}"/>')
    parts += _legend(lines)
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 24, across, "middle"))
    parts.append(f'<g transform="translate(16 {_HEIGHT / 2}) rotate(-90)">{_text(0, 0, up, "middle")}</g>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{text(title)}"><style>{_STYLE}</style>'
        f'<path fill="#fff" d="M0 0H{_WIDTH}V{_HEIGHT}H0Z"/>{"".join(parts)}</svg>\n'
    )


@dataclass(frozen=True, slots=True)
class _Axis:
    """Maps values in [low, high] to places between two ends."""

    low: float
    high: float
    start: float
    stop: float

    @classmethod
    def over(cls, values: Sequence[float], start: float, stop: float, room: float = 0.0) -> _Axis:
        low, high = min(values), max(values)
        margin = room * (high - low) or (0.5 if low == high else 0.0)
        return cls(low - margin, high + margin, start, stop)

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start)


def _losses(outcome: Outcome, chart: Chart) -> list[Line]:
    """One line a row, of its first seed, averaged to at most 400 points."""
    lines = []
    for row in outcome.benchmark.rows:
        for planned in outcome.of(row)[:1]:
            records = [entry for entry in planned.losses if {"step", "total", chart.loss} <= set(entry)]
            points = [(entry["step"], entry[chart.loss]) for entry in records]
            if chart.kind == "shares":
                weight = 100 * (_value(planned, chart.key) or 0)
                points = [
                    (entry["step"], weight * entry[chart.loss] / entry["total"])
                    for entry in records
                    if entry["total"] > 0
                ]
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
    for part in key.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return float(node) if isinstance(node, int | float) and not isinstance(node, bool) else None


def _legend(lines: Sequence[Line]) -> list[str]:
    parts, top = [], _TOP + 16
    for index, line in enumerate(lines):
        place, colour = top + 18 * index, _COLOURS[index % len(_COLOURS)]
        dash = ' stroke-dasharray="5 4"' if line.dashed else ""
        right = _WIDTH - _RIGHT - 8
        parts.append(f'<path class="line" stroke="{colour}"{dash} d="M{right - 22} {place - 4}h22"/>')
        parts.append(_text(right - 28, place, line.name, "end"))
    return parts


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text(words)}</text>'
