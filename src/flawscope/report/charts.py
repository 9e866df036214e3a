"""A report's charts: scores with thresholds, ROC and PRO curves, what moved a score, embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from flawscope.metrics.ranking import roc_curve
from flawscope.report.content import Curve, ReportContent, ReportItem, Scatter
from flawscope.report.markup import number, plural
from flawscope.report.svg import Axis, drawing, element, horizontal, path, short, text, vertical

_WIDTH, _LEFT, _RIGHT = 960, 128, 24
_HALF, _ROW, _TOP, _FOOT = 120, 22, 42, 44
_BINS = 60
_MOST_KINDS = 16
_LABEL = 150  # pixels that a threshold's label takes
_SIDE, _MARGIN, _ROOF = 300, 60, 12  # of a curve's square
_MOVED, _EDGE, _MOVE, _BAR = 360, 6, 36, 10  # what moved a score: width, margin, a row's height, a bar's
_CLOUD, _RIM = 340, 10  # an embedding's side and margin

Spans = Sequence[tuple[float, float]]


def score_chart(content: ReportContent) -> Markup:
    """Histogram of good (above the line) and defective (below) scores, a strip for each kind, thresholds.

    Without truth: one histogram; it holds all that is not known to be defective where the truth of some is
    known, and strips show which those are. Where some defect kinds are seen in training and others not, each
    has bars of its own.
    """
    thresholds = [content.review_threshold, content.reject_threshold]
    scores = [item.record.rank for item in content.items]
    axis = Axis.over(scores + thresholds, _LEFT, _WIDTH - _RIGHT, room=0.03)
    groups = content.by_kind()
    named, upper = _upper(content)
    lower = _lower(content)
    middle = _TOP + _HALF
    base = middle + (_HALF if lower else 0)
    strips = list(groups.items())[:_MOST_KINDS] if len(groups) > 1 or content.partly_judged else []
    more = len(groups) - len(strips) if strips else 0
    bottom = base + (14 + _ROW * (len(strips) + (more > 0)) if strips else 0)
    edges = np.linspace(axis.low, axis.high, _BINS + 1)
    places = axis(edges)
    drawn = [[item.record.rank for item in items] for _, items in (("", upper), *lower)]
    heights = [np.histogram(scores, edges)[0] for scores in drawn]
    scale = _HALF / max(1, *(int(counts.max()) for counts in heights))
    parts = [
        *_zones(content, axis, bottom),
        _bars(named, _spans(places, 0, 1), middle, -scale * heights[0]),
        *(
            _bars(name, _spans(places, index, len(lower)), middle, scale * counts)
            for index, ((name, _), counts) in enumerate(zip(lower, heights[1:], strict=True))
        ),
        _label(12, _TOP + 16, f"{len(upper)} {'good' if named == 'good' else 'pictures'}"),
        *_lower_labels(content, base),
        path("axis", f"M{_LEFT} {middle}H{_WIDTH - _RIGHT}"),
        *(
            _strip(name, items, axis, base + 14 + _ROW * row, withheld=content.withheld(items))
            for row, (name, items) in enumerate(strips)
        ),
        _label(12, bottom - 7, f"and {plural(more, 'kind')} more, in the table below") if more else Markup(),
        horizontal(axis, bottom, "anomaly score", axis.ticks(8)),
        *_thresholds(content, axis, bottom),
    ]
    title = "Scores of all pictures with the review and reject thresholds"
    return drawing(_WIDTH, bottom + _FOOT, title, *parts)


def _label(x: float, y: float, words: str) -> Markup:
    return text(x, y, words, class_="name")


def _zones(content: ReportContent, axis: Axis, bottom: float) -> list[Markup]:
    borders = (axis.low, content.review_threshold, content.reject_threshold, axis.high)
    spans = pairwise(f"{axis(border):.1f}" for border in borders)
    return [
        path(f"zone {name}", f"M{start} {_TOP}H{stop}V{bottom}H{start}Z")
        for name, (start, stop) in zip(("accept", "review", "reject"), spans, strict=True)
    ]


def _upper(content: ReportContent) -> tuple[str, tuple[ReportItem, ...]]:
    """What stands above the line, with the name of its colour."""
    if content.judged and not content.partly_judged:
        return "good", content.good
    return "all", tuple(item for item in content.items if not item.record.defective)


def _lower(content: ReportContent) -> list[tuple[str, tuple[ReportItem, ...]]]:
    """What stands below the line, each with the name of its colour."""
    if not content.unseen:
        return [("defective", content.defective)] if content.defective else []
    return [("defective", tuple(item for item in content.defective if item.seen)), ("unseen", content.unseen)]


def _lower_labels(content: ReportContent, base: float) -> list[Markup]:
    """How many are defective and, where both occur, of seen and of unseen kinds, each with its colour."""
    if not content.defective:
        return []
    whole = f"{len(content.defective)} defective"
    if not content.unseen:
        return [_label(12, base - 8, whole)]
    labels = [_label(12, base - 44, whole)]
    for (name, items), foot in zip(_lower(content), (base - 26, base - 8), strict=True):
        words = f"{len(items)} {'unseen' if name == 'unseen' else 'seen'}"
        labels += [path(f"bars {name}", f"M12 {foot - 9}h9v9h-9Z"), _label(27, foot, words)]
    return labels


def _spans(places: NDArray[np.float64], index: int, count: int) -> Spans:
    """Left and right end of bars that take one of `count` equal shares of each bin."""
    return [
        (left + (right - left) * index / count, left + (right - left) * (index + 1) / count)
        for left, right in pairwise(places)
    ]


def _bars(name: str, spans: Spans, base: float, heights: NDArray[np.floating]) -> Markup:
    bars = [
        f"M{left:.1f} {base}v{height:.1f}H{right - 1:.1f}V{base}Z"
        for height, (left, right) in zip(heights, spans, strict=True)
        if height
    ]
    return path(f"bars {name}", "".join(bars))


def _strip(name: str, items: Sequence[ReportItem], axis: Axis, top: float, *, withheld: bool) -> Markup:
    marks = "".join(f"M{axis(item.record.rank):.1f} {top + 4}v{_ROW - 8}" for item in items)
    side = "unseen" if withheld else "good" if items[0].record.defective is False else "defective"
    title = element("title", f"{name}: {len(items)}")
    return element("g", title, _label(12, top + 15, short(name, 17)), path(f"strip {side}", marks))


def _thresholds(content: ReportContent, axis: Axis, bottom: float) -> list[Markup]:
    """Both lines with their labels, which stay within the drawing and do not meet."""
    review, reject = axis(content.review_threshold), axis(content.reject_threshold)
    crowded = reject + _LABEL > _WIDTH
    label = (reject + 5, _TOP - 22, "end") if crowded else (reject + 5, _TOP - 10, "start")
    found = []
    for name, x, threshold, (left, foot, anchor) in (
        ("review", review, content.review_threshold, (review - 5, _TOP - 10, "end")),
        ("reject", reject, content.reject_threshold, label),
    ):
        kind, words = f"threshold {name}", f"{name} beyond {number(threshold)}"
        found += [path(kind, f"M{x:.1f} {_TOP - 4}V{bottom}"), text(left, foot, words, anchor, class_=kind)]
    return found


def roc_chart(content: ReportContent) -> Markup:
    """ROC curve of good against defective, with the two thresholds as operating points."""
    labels = [bool(item.record.defective) for item in content.judged]
    found = roc_curve(labels, [item.record.rank for item in content.judged])
    points = []
    for name, threshold in (("reject", content.reject_threshold), ("review", content.review_threshold)):
        false, true = (
            sum(item.record.rank > threshold for item in items) / len(items)
            for items in (content.good, content.defective)
        )
        points.append((name, false, true))
    curve = Curve(found.fpr.tolist(), found.tpr.tolist())
    return _curve_chart(curve, "false rejects among good", "defects found", points)


def pro_chart(curve: Curve) -> Markup:
    """Per-region overlap over the false positive rate of good pixels, up to the curve's limit."""
    return _curve_chart(curve, "false positive rate of pixels", "mean overlap of regions", [])


def _curve_chart(curve: Curve, across: str, up: str, points: Sequence[tuple[str, float, float]]) -> Markup:
    right, bottom = _MARGIN + _SIDE, _ROOF + _SIDE
    x_axis, y_axis = Axis(0.0, curve.limit, _MARGIN, right), Axis(0.0, 1.0, bottom, _ROOF)
    x, y = np.asarray(curve.x, np.float64), np.asarray(curve.y, np.float64)
    inside = x <= curve.limit
    ends = float(np.interp(curve.limit, x, y))  # at a rise its upper end
    x, y = np.append(x[inside], curve.limit), np.append(y[inside], ends)
    places = np.round(2 * np.stack([x_axis(x), y_axis(y)], axis=1)) / 2  # (n, 2), half pixels
    kept = places[np.append(True, (np.diff(places, axis=0) != 0).any(axis=1))]
    line = "L".join(f"{a:g} {b:g}" for a, b in kept)
    dots = []
    for name, false, true in points:
        said = element("title", f"{name} threshold: {100 * true:.1f} % found, {100 * false:.1f} % false")
        dots.append(element("circle", said, class_=f"point {name}", r=5.5, cx=x_axis(false), cy=y_axis(true)))
    quarters = [step / 4 for step in range(5)]
    below = [(quarter * curve.limit, f"{quarter * curve.limit:g}") for quarter in quarters]
    beside = [(quarter, f"{quarter:g}") for quarter in quarters]
    return drawing(
        right + 14,
        bottom + 44,
        f"{up} against {across}",
        horizontal(x_axis, bottom, across, below, top=_ROOF),
        vertical(y_axis, _MARGIN, up, beside, right=right),
        path("area", f"M{_MARGIN} {bottom}L{line}L{right} {bottom}Z"),
        path("curve", f"M{line}"),
        *dots,
    )


def contribution_chart(item: ReportItem) -> Markup:
    """What moved one picture's score: a bar to the right for what raises it, to the left for what lowers it.

    Below stands the sum. Empty where the picture is not shown or the method tells none.
    """
    bars = item.record.contributions
    if not bars or not item.views.thumbnail:
        return Markup()
    axis = Axis.over([0.0, *(value for _, value in bars)], _EDGE, _MOVED - _EDGE)
    zero = axis(0.0)
    rows = []
    for row, (label, value) in enumerate(bars):
        top, length = _MOVE * row, axis(value) - zero
        sign, side = ("+", "up") if value > 0 else ("", "down")
        rows.append(
            element(
                "g",
                element("title", label),
                text(_EDGE, top + 15, short(label, 44), class_="name"),
                text(_MOVED - _EDGE, top + 15, f"{sign}{number(value, 3)}", "end"),
                path(f"moved {side}", f"M{zero:.1f} {top + 21}h{length:.1f}v{_BAR}H{zero:.1f}Z"),
                path("axis", f"M{zero:.1f} {top + 19}v{_BAR + 4}"),
            )
        )
    bottom = _MOVE * len(bars)
    start = item.record.rank - sum(value for _, value in bars)
    total = f"start {number(start, 3)}, with all of these score {number(item.record.rank)}"
    return drawing(_MOVED, bottom + 26, "What moved the score", *rows, text(_EDGE, bottom + 18, total))


def scatter_chart(embedding: Scatter) -> Markup:
    """Normal and anomalous patches as points; near ones are alike."""
    axis = Axis(0.0, 1.0, _RIM, _CLOUD - _RIM)
    clouds = (("good", embedding.normal), ("defective", embedding.anomalous))
    dots = (
        path(f"dots {name}", "".join(f"M{axis(x):.1f} {axis(y):.1f}h0" for x, y in points))
        for name, points in clouds
    )
    return drawing(_CLOUD, _CLOUD, embedding.title, *dots)
