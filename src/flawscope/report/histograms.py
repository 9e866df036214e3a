"""Histograms of scores side by side, as one SVG file: how well several methods part the same groups."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from flawscope.errors import InputError
from flawscope.report.charts import nice_ticks
from flawscope.report.markup import number, text

_COLOURS = ("#2f7fc1", "#d9691e", "#8a4fbf", "#1f8a5f", "#5c6675")  # the first three as in the report
_WIDTH, _HEIGHT, _LEFT, _GAP = 300, 210, 72, 20
_LINE, _TOP, _FOOT, _HEAD = 17, 44, 56, 30
_MOST_ACROSS = 3
_TITLE = 38  # characters of a title's line
_BINS = 40
_TAIL = 0.01  # of a group at either end, drawn in the outermost bins
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#5c6675}.title{font-weight:600;fill:#1b2230}"
    ".grid{stroke:#e3e7ed;fill:none}.axis{stroke:#8b94a3;fill:none}"
    ".group{fill-opacity:.22;stroke-width:1.6;stroke-linejoin:round}"
)

Groups = Mapping[str, Sequence[float]]


def histogram_panel(columns: Mapping[str, Groups]) -> str:
    """One histogram a column (detector, classifier, SegAD, …) of the same groups' scores (figure 6 of SegAD).

    Args:
        columns: by title, the scores of each group (good, defective of seen kinds, of unseen kinds, …).
            Groups take their colours in the order in which they first come; empty ones are left out.

    Returns:
        SVG text with its own style. Each column has its own axes; heights are shares of a group's pictures,
        so that groups of different size compare. The outermost bins hold what lies beyond the middle 98 % of
        each group.

    Raises:
        InputError: no column, more than five groups, a column without scores, or scores that are not finite.
    """
    groups = list(dict.fromkeys(name for found in columns.values() for name in found))
    _check(columns, groups)
    colours = dict(zip(groups, _COLOURS, strict=False))
    panels = [_Panel(title, found) for title, found in columns.items()]
    across = min(len(panels), _MOST_ACROSS)
    legend, needed = _legend(colours)
    parts = [legend]
    for index, panel in enumerate(panels):
        row, column = divmod(index, across)
        place = f"{column * (_LEFT + _WIDTH + _GAP)} {_HEAD + row * (_TOP + _HEIGHT + _FOOT)}"
        parts.append(f'<g transform="translate({place})">{panel.draw(colours)}</g>')
    width = max(across * (_LEFT + _WIDTH + _GAP), needed)
    height = _HEAD + -(-len(panels) // across) * (_TOP + _HEIGHT + _FOOT)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="Histograms of scores"><style>{_STYLE}</style>'
        f'<path fill="#fff" d="M0 0H{width}V{height}H0Z"/>{"".join(parts)}</svg>\n'
    )


def _check(columns: Mapping[str, Groups], groups: Sequence[str]) -> None:
    if not columns or len(groups) > len(_COLOURS):
        raise InputError(
            "histograms",
            expected=f"a column or more, and at most {len(_COLOURS)} groups",
            got=f"{len(columns)} columns, {len(groups)} groups",
            fix="Draw fewer groups at once." if columns else "Name the scores to draw.",
        )
    for title, found in columns.items():
        scores = np.array([score for part in found.values() for score in part], np.float64)
        if not len(scores) or not np.isfinite(scores).all():
            raise InputError(
                f"histogram {title}",
                expected="finite scores",
                got="some that are not" if len(scores) else "none",
                fix="Leave the column out." if not len(scores) else "Leave these pictures out.",
            )


@dataclass(frozen=True, slots=True)
class _Panel:
    """One column's histogram, its corner at (0, 0)."""

    title: str
    groups: Groups

    @property
    def edges(self) -> NDArray[np.float64]:
        """Ends of the bins, (41,)."""
        known = [np.asarray(part, np.float64) for part in self.groups.values() if len(part)]
        low = min(float(np.quantile(part, _TAIL)) for part in known)
        high = max(float(np.quantile(part, 1 - _TAIL)) for part in known)
        room = 0.03 * (high - low) or 0.5
        return np.linspace(low - room, high + room, _BINS + 1)

    def shares(self, group: str) -> NDArray[np.float64]:
        """Share of the group's pictures in each bin, (40,)."""
        edges = self.edges
        inside = np.clip(np.asarray(self.groups[group], np.float64), edges[0], edges[-1])
        return np.histogram(inside, edges)[0] / len(inside)

    def draw(self, colours: Mapping[str, str]) -> str:
        shares = {name: self.shares(name) for name, part in self.groups.items() if len(part)}
        tallest = max(float(part.max()) for part in shares.values())
        edges, bottom, right = self.edges, _TOP + _HEIGHT, _LEFT + _WIDTH
        places = _LEFT + (edges - edges[0]) / (edges[-1] - edges[0]) * _WIDTH
        title = textwrap.wrap(self.title, _TITLE, max_lines=2, placeholder="…")
        parts = [
            f'<text class="title" x="{_LEFT}" y="{_TOP - 11 - _LINE * above}">{text(line)}</text>'
            for above, line in enumerate(reversed(title))
        ]
        for value in nice_ticks(0.0, tallest, 6):
            up = bottom - value / tallest * _HEIGHT
            parts.append(f'<path class="grid" d="M{_LEFT} {up:.1f}H{right}"/>')
            parts.append(_text(_LEFT - 7, up + 4, f"{100 * value:g} %", "end"))
        for group, colour in colours.items():
            if group in shares:
                heights = bottom - shares[group] / tallest * _HEIGHT
                parts.append(_outline(places, heights, bottom, colour))
        for value in nice_ticks(edges[0], edges[-1], 5):
            across = _LEFT + (value - edges[0]) / (edges[-1] - edges[0]) * _WIDTH
            parts.append(f'<path class="axis" d="M{across:.1f} {bottom}v5"/>')
            parts.append(_text(across, bottom + 19, number(value), "middle"))
        parts.append(f'<path class="axis" d="M{_LEFT} {bottom}H{right}"/>')
        parts.append(_text(_LEFT + _WIDTH / 2, bottom + 40, "anomaly score", "middle"))
        name = _text(0, 0, "share of the group's pictures", "middle")
        parts.append(f'<g transform="translate(18 {_TOP + _HEIGHT / 2}) rotate(-90)">{name}</g>')
        return "".join(parts)


def _outline(places: NDArray[np.float64], heights: NDArray[np.float64], bottom: float, colour: str) -> str:
    """A histogram as one filled stair."""
    steps = "".join(
        f"V{height:.1f}H{right:.1f}" for height, (_, right) in zip(heights, pairwise(places), strict=True)
    )
    line = f"M{places[0]:.1f} {bottom}{steps}V{bottom}Z"
    return f'<path class="group" fill="{colour}" stroke="{colour}" d="{line}"/>'


def _legend(colours: Mapping[str, str]) -> tuple[str, int]:
    """One line with each group's colour and name, and how far it reaches."""
    parts, left = [], _LEFT
    for name, colour in colours.items():
        parts.append(
            f'<path fill="{colour}" d="M{left} 11h11v11h-11Z"/>{_text(left + 17, 21, name, "start")}'
        )
        left += 44 + 8 * len(name)
    return "".join(parts), left


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text(words)}</text>'
