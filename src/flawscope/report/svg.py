"""What all charts are drawn with: axes, ticks, legends and text, as SVG that no name can break out of."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from flawscope.report.markup import number, printable

COLOURS = ("#2f7fc1", "#d9691e", "#8a4fbf", "#1f8a5f", "#c8372d", "#5c6675")  # the first three as in the page
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#5c6675}.title{font-weight:600;fill:#1b2230}"
    ".grid{stroke:#e3e7ed;fill:none}.axis{stroke:#8b94a3;fill:none}"
    ".group{fill-opacity:.22;stroke-width:1.6;stroke-linejoin:round}"
    ".line{fill:none;stroke-width:2;stroke-linejoin:round}"
)

Ticks = Sequence[tuple[float, str]]  # each value and how it reads
Places = TypeVar("Places", float, NDArray[np.float64])


def element(tag: str, *inside: object, **attributes: object) -> Markup:
    """One element. Content and attributes are escaped, whatever they hold; Markup passes as it is.

    Attributes are named with underscores for dashes, `class_` for class.

    >>> str(element("text", "<a>", class_="name", text_anchor="end", x=2.25))
    '<text class="name" text-anchor="end" x="2.2">&lt;a&gt;</text>'
    """
    given = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{_escaped(value)}"' for name, value in attributes.items()
    )
    return Markup(f"<{tag}{given}>{''.join(map(_escaped, inside))}</{tag}>")  # noqa: S704 - escaped above


def _escaped(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.1f}".removesuffix(".0")
    return escape(printable(value))


def path(kind: str, line: str, **attributes: object) -> Markup:
    """A path of a class that the style sheet knows."""
    return element("path", class_=kind, **attributes, d=line)


def text(x: float, y: float, words: str, anchor: str = "start", **attributes: object) -> Markup:
    """One line of text, its foot at y; `anchor` is what stands at x: its start, middle or end."""
    return element("text", words, **attributes, x=x, y=y, text_anchor=anchor)


def short(words: str, longest: int) -> str:
    """At most so many characters, the last a ellipsis where some are missing.

    >>> short("scratches", 8)
    'scratch…'
    """
    return words if len(words) <= longest else f"{words[: longest - 1]}…"


@dataclass(frozen=True, slots=True)
class Axis:
    """Maps values in [low, high] to places between two ends, in pixels."""

    low: float
    high: float
    start: float
    stop: float

    @classmethod
    def over(cls, values: Sequence[float], start: float, stop: float, *, room: float = 0.0) -> Axis:
        """An axis that holds all values, with a share of their range to spare at both ends."""
        low, high = min(values), max(values)
        margin = room * (high - low) or (0.5 if low == high else 0.0)
        return cls(low - margin, high + margin, start, stop)

    def __call__(self, value: Places) -> Places:
        return self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start)

    def ticks(self, wanted: int, reads: Callable[[float], str] = number) -> Ticks:
        """About so many round values, and how they read."""
        return [(value, reads(value)) for value in nice_ticks(self.low, self.high, wanted)]


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


def horizontal(axis: Axis, bottom: float, name: str, ticks: Ticks, *, top: float | None = None) -> Markup:
    """An axis along the bottom: marks on a line or, where `top` is given, grid lines from there."""
    parts = []
    for value, words in ticks:
        x = axis(value)
        mark = f"M{x:.1f} {bottom}v5" if top is None else f"M{x:.1f} {top}V{bottom}"
        parts += [path("axis" if top is None else "grid", mark), text(x, bottom + 18, words, "middle")]
    if top is None:
        parts.append(path("axis", f"M{axis.start} {bottom}H{axis.stop}"))
    parts.append(text((axis.start + axis.stop) / 2, bottom + 37, name, "middle", class_="name"))
    return Markup().join(parts)


def vertical(axis: Axis, left: float, name: str, ticks: Ticks, *, right: float) -> Markup:
    """An axis at the left with grid lines to `right`; its name stands upright at the drawing's edge."""
    parts = []
    for value, words in ticks:
        y = axis(value)
        parts += [path("grid", f"M{left} {y:.1f}H{right}"), text(left - 7, y + 4, words, "end")]
    turned = f"translate(15 {(axis.start + axis.stop) / 2:g}) rotate(-90)"
    return Markup().join([*parts, text(0, 0, name, "middle", class_="name", transform=turned)])


def drawing(width: float, height: float, title: str, *parts: Markup) -> Markup:
    """A chart inside a page, whose style sheet colours it."""
    return element("svg", *parts, viewBox=f"0 0 {width:g} {height:g}", role="img", aria_label=title)


def own_file(width: float, height: float, title: str, *parts: Markup) -> str:
    """A chart as a file of its own: its style inside, on white."""
    inside = (element("style", _STYLE), element("path", fill="#fff", d=f"M0 0H{width}V{height}H0Z"), *parts)
    box = {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {width:g} {height:g}"}
    return element("svg", *inside, **box, role="img", aria_label=title) + "\n"
