"""Histograms of scores side by side, as one SVG file: how well several methods part the same groups."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from flawscope.errors import InputError
from flawscope.report.svg import COLOURS, Axis, element, horizontal, own_file, path, text, vertical

_WIDTH, _HEIGHT, _LEFT, _GAP = 300, 210, 72, 20
_LINE, _TOP, _FOOT, _HEAD = 17, 44, 56, 30
_MOST_ACROSS = 3
_TITLE = 38  # characters of a title's line
_BINS = 40
_TAIL = 0.01  # of a group at either end, drawn in the outermost bins

Groups = Mapping[str, Sequence[float]]


def histogram_panel(columns: Mapping[str, Groups]) -> str:
    """One histogram a column (a model, or a way of scoring) of the same groups' scores.

    Args:
        columns: by title, the scores of each group (good, defective of seen kinds, of unseen kinds, …).
            Groups take their colours in the order in which they first come; empty ones are left out.

    Returns:
        SVG text with its own style. Each column has its own axes; heights are shares of a group's pictures,
        so that groups of different size compare. The outermost bins hold what lies beyond the middle 98 % of
        each group.

    Raises:
        InputError: no column, more than six groups, a column without scores, or scores that are not finite.
    """
    groups = list(dict.fromkeys(name for found in columns.values() for name in found))
    _check(columns, groups)
    colours = dict(zip(groups, COLOURS, strict=False))
    across = min(len(columns), _MOST_ACROSS)
    legend, needed = _legend(colours)
    parts = [legend]
    for index, (title, found) in enumerate(columns.items()):
        row, column = divmod(index, across)
        place = f"translate({column * (_LEFT + _WIDTH + _GAP)} {_HEAD + row * (_TOP + _HEIGHT + _FOOT)})"
        parts.append(element("g", *_histogram(title, found, colours), transform=place))
    width = max(across * (_LEFT + _WIDTH + _GAP), needed)
    height = _HEAD + -(-len(columns) // across) * (_TOP + _HEIGHT + _FOOT)
    return own_file(width, height, "Histograms of scores", *parts)


def _check(columns: Mapping[str, Groups], groups: Sequence[str]) -> None:
    if not columns or len(groups) > len(COLOURS):
        raise InputError(
            "histograms",
            expected=f"a column or more, and at most {len(COLOURS)} groups",
            got=f"{len(columns)} columns, {len(groups)} groups",
            fix="Draw fewer groups at once." if columns else "Name the scores to draw.",
        )
    for title, found in columns.items():
        scores = np.array([score for members in found.values() for score in members], np.float64)
        if not len(scores) or not np.isfinite(scores).all():
            raise InputError(
                f"histogram {title}",
                expected="finite scores",
                got="some that are not" if len(scores) else "none",
                fix="Leave the column out." if not len(scores) else "Leave these pictures out.",
            )


def _histogram(title: str, groups: Groups, colours: Mapping[str, str]) -> list[Markup]:
    """One column, its corner at (0, 0)."""
    bottom, right = _TOP + _HEIGHT, _LEFT + _WIDTH
    known = {name: np.asarray(scores, np.float64) for name, scores in groups.items() if len(scores)}
    tails = [float(np.quantile(scores, end)) for scores in known.values() for end in (_TAIL, 1 - _TAIL)]
    x_axis = Axis.over(tails, _LEFT, right, room=0.03)
    edges = np.linspace(x_axis.low, x_axis.high, _BINS + 1)
    shares = {
        name: np.histogram(np.clip(scores, edges[0], edges[-1]), edges)[0] / len(scores)
        for name, scores in known.items()
    }  # (40,) each
    y_axis = Axis(0.0, max(float(heights.max()) for heights in shares.values()), bottom, _TOP)
    lines = textwrap.wrap(title, _TITLE, max_lines=2, placeholder="…")
    heads = enumerate(reversed(lines))
    titles = [text(_LEFT, _TOP - 11 - _LINE * above, line, class_="title") for above, line in heads]
    ticks = y_axis.ticks(6, lambda share: f"{100 * share:g} %")
    upright = vertical(y_axis, _LEFT, "share of the group's pictures", ticks, right=right)
    drawn = [(shares[group], colour) for group, colour in colours.items() if group in shares]
    stairs = [_stair(x_axis(edges), y_axis(heights), bottom, colour) for heights, colour in drawn]
    return [*titles, upright, *stairs, horizontal(x_axis, bottom, "anomaly score", x_axis.ticks(5))]


def _stair(places: NDArray[np.float64], heights: NDArray[np.float64], bottom: float, colour: str) -> Markup:
    """A histogram as one filled stair."""
    steps = "".join(
        f"V{height:.1f}H{right:.1f}" for height, (_, right) in zip(heights, pairwise(places), strict=True)
    )
    return path("group", f"M{places[0]:.1f} {bottom}{steps}V{bottom}Z", fill=colour, stroke=colour)


def _legend(colours: Mapping[str, str]) -> tuple[Markup, int]:
    """One line with each group's colour and name, and how far it reaches."""
    parts, left = [], _LEFT
    for name, colour in colours.items():
        parts += [element("path", fill=colour, d=f"M{left} 11h11v11h-11Z"), text(left + 17, 21, name)]
        left += 44 + 8 * len(name)
    return Markup().join(parts), left
