"""What every page is rendered with: the templates, and what they may call.

Everything that a template writes is escaped, except Markup, which comes from charts and assets alone. A name
that a template does not get is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from math import isfinite

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from flawscope.metrics.ranking import auroc
from flawscope.report import charts
from flawscope.report.content import Figure, ReportItem
from flawscope.report.markup import data_uri, decimal, number, plural, printable, share
from flawscope.runtime.overlay import colour_map
from flawscope.runtime.prediction import Decision

MARKS = {Decision.ACCEPT: "✓", Decision.REVIEW: "?", Decision.REJECT: "✕"}


@cache
def environment() -> Environment:
    """The templates of `report/templates`, autoescaped."""
    made = Environment(
        loader=PackageLoader("flawscope.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        function.__name__: function for function in (number, decimal, share, plural, data_uri, verdicts)
    }
    made.globals |= {
        "marks": MARKS,
        "heat": ["#{:02x}{:02x}{:02x}".format(*colour) for colour in colour_map()[::32].tolist()],
        "auroc_against": auroc_against,
        "interval": interval,
        "score_chart": charts.score_chart,
        "roc_chart": charts.roc_chart,
        "pro_chart": charts.pro_chart,
        "contribution_chart": charts.contribution_chart,
        "scatter_chart": charts.scatter_chart,
    }
    return made


def asset(name: str) -> Markup:
    """A style sheet or script of this package, as it stands."""
    return Markup((files("flawscope.report") / name).read_text(encoding="utf-8"))  # noqa: S704 - ours


def verdicts(items: Sequence[ReportItem]) -> dict[Decision, int]:
    """How many pictures have each verdict."""
    return {decision: sum(item.decision is decision for item in items) for decision in Decision}


def auroc_against(good: Sequence[ReportItem], items: Sequence[ReportItem]) -> float:
    """How surely these pictures score above the good ones."""
    labels = [0] * len(good) + [1] * len(items)
    return auroc(labels, [item.score for item in (*good, *items)])


def interval(figure: Figure) -> str:
    """The figure's 95 % interval in words; empty without one."""
    if figure.low is None or figure.high is None or not isfinite(figure.low + figure.high):
        return ""
    return f"95 %: {figure.low:.3f} to {figure.high:.3f}"
