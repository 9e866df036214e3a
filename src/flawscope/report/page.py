"""The whole page, with as many pictures as its budget holds."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from pathlib import Path

from flawscope.files import write_text
from flawscope.report.charts import contribution_chart
from flawscope.report.content import ReportContent
from flawscope.report.environment import asset, environment
from flawscope.runtime.prediction import Decision

PICTURE_BUDGET = 24_000_000

_ORDER = {Decision.REJECT: 0, Decision.REVIEW: 1, Decision.ACCEPT: 2}


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
    items = sorted(content.items, key=lambda item: (_ORDER[item.decision], -item.score, item.path))
    script = asset("report.js")
    return (
        environment()
        .get_template("report.html.jinja")
        .render(
            content=content,
            items=items,
            rows={item.path: f"p{index}" for index, item in enumerate(items)},
            shown=shown,
            order=_ORDER,
            style=asset("report.css"),
            script=script,
            digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )


def _within_budget(content: ReportContent, budget: int) -> tuple[ReportContent, int]:
    """The content with pictures for as many items as the budget holds, and how many those are."""
    items, spent, shown = list(content.items), 0, 0
    telling = sorted(
        enumerate(content.items),
        key=lambda pair: (not (pair[1].missed or pair[1].false_reject), -pair[1].score),
    )
    for index, item in telling:
        pictures = (item.thumbnail, item.overlay, *(inset.picture for inset in item.insets))
        size = sum(map(len, pictures)) * 4 // 3 + len(contribution_chart(item))  # base64
        if spent + size > budget:
            items[index] = replace(item, views=None)
            continue
        spent += size
        shown += 1
    return replace(content, items=tuple(items)), shown
