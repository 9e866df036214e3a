"""The whole page, with as many pictures as its budget holds, and what its templates may call."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files
from math import isfinite
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from flawscope.files import write_text
from flawscope.metrics.ranking import auroc
from flawscope.report import charts
from flawscope.report.content import NOT_SHOWN, Figure, ReportContent, ReportItem
from flawscope.report.markup import data_uri, decimal, number, plural, printable, share
from flawscope.runtime.overlay import colour_map
from flawscope.runtime.prediction import Decision
from flawscope.runtime.record import Record

PICTURE_BUDGET = 24_000_000

_ORDER = {"reject": 0, "review": 1, "accept": 2}
_MARKS = {Decision.ACCEPT: "✓", Decision.REVIEW: "?", Decision.REJECT: "✕"}


def write_report(path: Path, content: ReportContent, *, picture_budget: int = PICTURE_BUDGET) -> Path:
    """Write one HTML file that needs nothing else: style, script, charts and pictures are inside.

    Pictures, each with the chart of what moved its score, take at most `picture_budget` bytes; where they
    would take more, misses and then the highest scores keep theirs, and the page says so. The page's policy
    forbids every request and every script but its own.

    Returns `path`.

    Raises:
        OutputError: the file cannot be written.
    """
    write_text(path, render(content, picture_budget=picture_budget))
    return path


def render(content: ReportContent, *, picture_budget: int = PICTURE_BUDGET) -> str:
    """The page as text (see `write_report`)."""
    content, shown = _within_budget(content, picture_budget)
    items = sorted(content.items, key=lambda item: _place(item.record))
    return framed(
        "report.html.jinja",
        content=content,
        items=items,
        rows={item.record.path: f"p{index}" for index, item in enumerate(items)},
        shown=shown,
        order=_ORDER,
    )


def framed(template: str, *, scripted: bool = True, **values: Any) -> str:
    """A page that stands in the frame of all pages, with its style, its script, if any, and its policy."""
    script = asset("report.js") if scripted else Markup()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = environment().get_template(template)
    return page.render(**values, style=asset("report.css"), script=script, digest=digest)


def _place(record: Record) -> tuple[int, float, str]:
    return _ORDER[str(record.decision)], -record.rank, record.path


def _within_budget(content: ReportContent, budget: int) -> tuple[ReportContent, int]:
    """The content with pictures for as many items as the budget holds, and how many have any then."""
    items, spent, shown = list(content.items), 0, 0
    wrong = {index for index, item in enumerate(items) if item.record.missed or item.record.false_reject}
    for index in sorted(range(len(items)), key=lambda index: (index not in wrong, -items[index].record.rank)):
        item, views = items[index], items[index].views
        pictures = (views.thumbnail, views.overlay, *(inset.picture for inset in views.insets))
        size = sum(map(len, pictures)) * 4 // 3 + len(charts.contribution_chart(item))  # base64
        if spent + size > budget:
            items[index] = replace(item, views=NOT_SHOWN)
            continue
        spent += size
        shown += bool(views.thumbnail)
    return replace(content, items=tuple(items)), shown


@cache
def environment() -> Environment:
    """The templates of `report/templates`, and what they may call; a name that they do not get is an error.

    Everything that they write is escaped, except Markup, which comes from charts and assets alone.
    """
    made = Environment(
        loader=PackageLoader("flawscope.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (number, decimal, share, plural, data_uri, verdicts)
    drawn = [function for name, function in vars(charts).items() if re.fullmatch("[a-z]+_chart", name)]
    made.filters |= {function.__name__: function for function in filters}
    made.globals |= {function.__name__: function for function in (*drawn, auroc_against, interval)}
    heat = ["#{:02x}{:02x}{:02x}".format(*colour) for colour in colour_map()[::32].tolist()]
    made.globals |= {"marks": _MARKS, "heat": heat}
    return made


def asset(name: str) -> Markup:
    """A style sheet or script of this package, as it stands."""
    return Markup((files("flawscope.report") / name).read_text(encoding="utf-8"))  # noqa: S704 - ours


def verdicts(items: Sequence[ReportItem]) -> dict[Decision, int]:
    """How many pictures have each verdict."""
    return {decision: sum(item.record.decision is decision for item in items) for decision in Decision}


def auroc_against(good: Sequence[ReportItem], items: Sequence[ReportItem]) -> float:
    """How surely these pictures score above the good ones."""
    labels = [0] * len(good) + [1] * len(items)
    return auroc(labels, [item.record.rank for item in (*good, *items)])


def interval(figure: Figure) -> str:
    """The figure's 95 % interval in words; empty without one."""
    if not isfinite(figure.low + figure.high):
        return ""
    return f"95 %: {figure.low:.3f} to {figure.high:.3f}"
