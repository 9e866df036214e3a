"""Charts as inline SVG: scores with thresholds, ROC and PRO curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from flawscope.metrics.ranking import roc_curve
from flawscope.report.content import Curve, ReportContent, ReportItem
from flawscope.report.markup import number, text

_WIDTH, _LEFT, _RIGHT = 960, 128, 24
_HALF, _ROW, _TOP, _FOOT = 120, 22, 42, 44
_BINS = 60
_MOST_KINDS = 16
_LABEL = 150  # pixels that a threshold's label takes
_SIDE, _MARGIN = 300, 60

Spans = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class _Axis:
    """Maps scores to horizontal pixels."""

    low: float
    high: float

    def __call__(self, score: float) -> float:
        return _LEFT + (score - self.low) / (self.high - self.low) * (_WIDTH - _LEFT - _RIGHT)


def score_chart(content: ReportContent) -> str:
    """Histogram of good (above the line) and defective (below) scores, a strip for each kind, thresholds.

    Without truth: one histogram. Where some defect kinds are seen in training and others not, each has bars
    of its own.
    """
    axis = _axis(content)
    groups = content.by_kind()
    upper = content.good if content.judged else content.items
    lower = _lower(content)
    middle = _TOP + _HALF
    base = middle + (_HALF if lower else 0)
    strips = dict(list(groups.items())[:_MOST_KINDS]) if len(groups) > 1 else {}
    bottom = base + (14 + _ROW * len(strips) if strips else 0)
    edges = np.linspace(axis.low, axis.high, _BINS + 1)
    places = [axis(edge) for edge in edges]
    counts = [
        np.histogram([item.score for item in part], edges)[0]
        for part in (upper, *(part for _, part in lower))
    ]
    tallest = max(1, *(int(part.max()) for part in counts))
    parts = [
        _zones(content, axis, bottom),
        _bars(
            "good" if content.judged else "all", _spans(places, 0, 1), middle, -_HALF * counts[0] / tallest
        ),
        *(
            _bars(name, _spans(places, index, len(lower)), middle, _HALF * found / tallest)
            for index, ((name, _), found) in enumerate(zip(lower, counts[1:], strict=True))
        ),
        _label(12, _TOP + 16, f"{len(upper)} {'good' if content.judged else 'pictures'}"),
        _lower_labels(content, base),
        f'<path class="axis" d="M{_LEFT} {middle}H{_WIDTH - _RIGHT}"/>',
        *(
            _strip(name, items, axis, base + 14 + _ROW * row, withheld=content.withheld(items))
            for row, (name, items) in enumerate(strips.items())
        ),
        _ticks(axis, bottom),
        _thresholds(content, axis, bottom),
    ]
    title = "Scores of all pictures with the review and reject thresholds"
    return _svg(_WIDTH, bottom + _FOOT, title, parts)


def _axis(content: ReportContent) -> _Axis:
    scores = [item.score for item in content.items] + [content.review_threshold, content.reject_threshold]
    low, high = min(scores), max(scores)
    room = 0.03 * (high - low) or 0.5
    return _Axis(low - room, high + room)


def _zones(content: ReportContent, axis: _Axis, bottom: float) -> str:
    borders = [axis.low, content.review_threshold, content.reject_threshold, axis.high]
    places = [f"{axis(border):.1f}" for border in borders]
    return "".join(
        f'<path class="zone {name}" d="M{start} {_TOP}H{stop}V{bottom}H{start}Z"/>'
        for name, start, stop in zip(("accept", "review", "reject"), places, places[1:], strict=False)
    )


def _lower(content: ReportContent) -> list[tuple[str, tuple[ReportItem, ...]]]:
    """What stands below the line, each with the name of its colour."""
    if not content.unseen:
        return [("defective", content.defective)] if content.defective else []
    return [("defective", tuple(item for item in content.defective if item.seen)), ("unseen", content.unseen)]


def _lower_labels(content: ReportContent, base: float) -> str:
    """How many are defective and, where both occur, of seen and of unseen kinds, each with its colour."""
    if not content.defective:
        return ""
    whole = f"{len(content.defective)} defective"
    if not content.unseen:
        return _label(12, base - 8, whole)
    lines = [_label(12, base - 44, whole)]
    for (name, items), foot in zip(_lower(content), (base - 26, base - 8), strict=True):
        words = f"{len(items)} {'unseen' if name == 'unseen' else 'seen'}"
        lines.append(f'<path class="bars {name}" d="M12 {foot - 9}h9v9h-9Z"/>{_label(27, foot, words)}')
    return "".join(lines)


def _spans(places: Sequence[float], part: int, parts: int) -> Spans:
    """Left and right end of bars that take one of several equal parts of each bin."""
    return [
        (left + (right - left) * part / parts, left + (right - left) * (part + 1) / parts)
        for left, right in pairwise(places)
    ]


def _bars(name: str, spans: Spans, base: float, heights: NDArray[np.floating]) -> str:
    bars = [
        f"M{left:.1f} {base}v{height:.1f}H{right - 1:.1f}V{base}Z"
        for height, (left, right) in zip(heights, spans, strict=True)
        if height
    ]
    return f'<path class="bars {name}" d="{"".join(bars)}"/>'


def _strip(name: str, items: Sequence[ReportItem], axis: _Axis, top: float, *, withheld: bool) -> str:
    marks = "".join(f"M{axis(item.score):.1f} {top + 4}v{_ROW - 8}" for item in items)
    shown = name if len(name) <= 17 else f"{name[:16]}…"
    side = "unseen" if withheld else "good" if items[0].defective is False else "defective"
    return (
        f"<g><title>{text(name)}: {len(items)}</title>{_label(12, top + 15, shown)}"
        f'<path class="strip {side}" d="{marks}"/></g>'
    )


def _ticks(axis: _Axis, bottom: float) -> str:
    marks = [
        f'<path class="axis" d="M{axis(value):.1f} {bottom}v5"/>'
        f'<text x="{axis(value):.1f}" y="{bottom + 19}" text-anchor="middle">{number(value)}</text>'
        for value in nice_ticks(axis.low, axis.high)
    ]
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    name = f'<text class="name" x="{middle}" y="{bottom + 38}" text-anchor="middle">anomaly score</text>'
    return f'<path class="axis" d="M{_LEFT} {bottom}H{_WIDTH - _RIGHT}"/>{"".join(marks)}{name}'


def _thresholds(content: ReportContent, axis: _Axis, bottom: float) -> str:
    review, reject = axis(content.review_threshold), axis(content.reject_threshold)
    return (
        f'<path class="threshold review" d="M{review:.1f} {_TOP - 4}V{bottom}"/>'
        f'<text class="threshold review" x="{review - 5:.1f}" y="{_TOP - 10}" text-anchor="end">'
        f"review beyond {number(content.review_threshold)}</text>"
        f'<path class="threshold reject" d="M{reject:.1f} {_TOP - 4}V{bottom}"/>'
        f'<text class="threshold reject" {_beside(reject)}>'
        f"reject beyond {number(content.reject_threshold)}</text>"
    )


def _beside(place: float) -> str:
    """Where the reject threshold's label stands: right of its line, or at the border left and higher."""
    if place + _LABEL > _WIDTH:
        return f'x="{place + 5:.1f}" y="{_TOP - 22}" text-anchor="end"'
    return f'x="{place + 5:.1f}" y="{_TOP - 10}"'


def roc_chart(content: ReportContent) -> str:
    """ROC curve of good against defective, with the two thresholds as operating points."""
    labels = [bool(item.defective) for item in content.judged]
    found = roc_curve(labels, [item.score for item in content.judged])
    points = []
    for name, threshold in (("reject", content.reject_threshold), ("review", content.review_threshold)):
        rates = [
            sum(item.score > threshold for item in part) / len(part)
            for part in (content.good, content.defective)
        ]
        points.append((name, rates[0], rates[1]))
    curve = Curve(found.fpr.tolist(), found.tpr.tolist())
    return _curve_chart(curve, "false rejects among good", "defects found", points)


def pro_chart(curve: Curve) -> str:
    """Per-region overlap over the false positive rate of good pixels, up to the curve's limit."""
    return _curve_chart(curve, "false positive rate of pixels", "mean overlap of regions", [])


def _curve_chart(curve: Curve, across: str, up: str, points: Sequence[tuple[str, float, float]]) -> str:
    x = np.asarray(curve.x, np.float64) / curve.limit
    y = np.asarray(curve.y, np.float64)
    ends = float(np.interp(1.0, x, y))
    x, y = np.append(x[x < 1], 1.0), np.append(y[x < 1], ends)
    places = np.round(2 * np.stack([_MARGIN + x * _SIDE, 12 + (1 - y) * _SIDE], axis=1)) / 2  # half pixels
    kept = places[np.append(True, (np.diff(places, axis=0) != 0).any(axis=1))]
    line = "L".join(f"{a:g} {b:g}" for a, b in kept)
    right, bottom = _MARGIN + _SIDE, 12 + _SIDE
    grid = []
    for step in range(5):
        a, b = _MARGIN + step * _SIDE / 4, bottom - step * _SIDE / 4
        grid.append(
            f'<path class="grid" d="M{a:g} 12V{bottom}M{_MARGIN} {b:g}H{right}"/>'
            f'<text x="{a:g}" y="{bottom + 17}" text-anchor="middle">{step * curve.limit / 4:g}</text>'
            f'<text x="{_MARGIN - 7}" y="{b + 4:g}" text-anchor="end">{step / 4:g}</text>'
        )
    dots = "".join(
        f'<circle class="point {name}" r="5.5" '
        f'cx="{_MARGIN + a * _SIDE:.1f}" cy="{12 + (1 - b) * _SIDE:.1f}">'
        f"<title>{name} threshold: {100 * b:.1f} % found, {100 * a:.1f} % false</title></circle>"
        for name, a, b in points
    )
    names = (
        '<g class="name" text-anchor="middle">'
        f'<text x="{_MARGIN + _SIDE / 2}" y="{bottom + 36}">{across}</text>'
        f'<text transform="translate(14 {12 + _SIDE / 2}) rotate(-90)">{up}</text></g>'
    )
    area = f'<path class="area" d="M{_MARGIN} {bottom}L{line}L{right} {bottom}Z"/>'
    return _svg(
        right + 14,
        bottom + 44,
        f"{up} against {across}",
        [*grid, area, f'<path class="curve" d="M{line}"/>', dots, names],
    )


def nice_ticks(low: float, high: float, wanted: int = 8) -> list[float]:
    """Round values within [low, high], about `wanted` of them, in steps of 1, 2 or 5 times a power of ten.

    >>> nice_ticks(0.3, 2.2, 4)
    [0.5, 1.0, 1.5, 2.0]
    """
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= raw)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [float(f"{index * step:.12g}") for index in range(first, last + 1)]


def _label(x: float, y: float, words: str) -> str:
    return f'<text class="name" x="{x}" y="{y}">{text(words)}</text>'


def _svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    box = f"0 0 {width:g} {height:g}"
    return f'<svg viewBox="{box}" role="img" aria-label="{text(title)}">{"".join(parts)}</svg>'
