"""One part on one page: picture, heatmap, verdict, and all that the verdict rests on."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

from flawscope import __version__
from flawscope.files import write_text
from flawscope.report.content import Facts, ReportItem
from flawscope.report.markup import plural
from flawscope.report.page import framed
from flawscope.runtime import chain
from flawscope.runtime.in_force import InForce
from flawscope.runtime.record import Views
from flawscope.station.audit import Audit
from flawscope.station.part import Part

_LISTED = 24  # pictures of a calibration that are named
_DIGITS = 12  # of a hash that is named beside others


def write_part(path: Path, part: Part, views: Views, *, shown: str, audit: Audit) -> Path:
    """Write one HTML file that needs nothing else (see `report.page.write_report`); returns `path`.

    Args:
        path: of the page.
        part: what the results tell of it.
        views: its picture and heatmap, where they can be shown.
        shown: where those come from, or why they lack.
        audit: of the results that the part is told by.

    Raises:
        OutputError: the file cannot be written.
    """
    write_text(path, render_part(part, views, shown=shown, audit=audit))
    return path


def render_part(part: Part, views: Views, *, shown: str, audit: Audit) -> str:
    """The page as text (see `write_part`)."""
    record, model = part.record, part.in_force
    return framed(
        "part.html.jinja",
        scripted=False,
        part=part,
        record=record,
        item=None if record.decision is None else ReportItem(record, views),
        views=views,
        shown=shown,
        audit=audit,
        model=model,
        facts=tuple(_facts(part)),
        calibrated=() if model is None else model.calibrated_on[:_LISTED],
        unlisted=0 if model is None else max(len(model.calibrated_on) - _LISTED, 0),
        digits=_DIGITS,
        entry=chain.canonical(part.row.entry),
        created=datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        version=__version__,
    )


def _facts(part: Part) -> Iterator[Facts]:
    row = part.row
    yield Facts(
        "Entry in the chain",
        (
            ("Row", str(row.number)),
            ("Entered", str(row.entry.get("at", ""))),
            ("Picture sha256", part.record.picture or "none: the file could not be read"),
            ("Made with", part.record.model),
            ("Hash of the row before", row.previous),
            ("Hash of this row", row.hash),
        ),
    )
    if conditions := part.record.conditions:
        told = tuple((name, f"{value:.4g}") for name, value in conditions.items())
        yield Facts("Conditions of the picture", told)
    if part.in_force is not None:
        yield Facts("Model", tuple(_model(part.in_force)))


def _model(model: InForce) -> Iterator[tuple[str, str]]:
    yield "Model", model.name
    yield "Version", model.version
    yield "Method", model.method
    yield "Trained", model.created
    yield "Calibrated on", plural(model.scores, "score") + " of good pictures"
    yield "Review above", f"{model.review_threshold:.6g}"
    yield "Reject above", f"{model.reject_threshold:.6g}"
    yield "Engine", model.engine
    for sentence in model.parity:
        yield "Parity", sentence
    yield "Model sha256", model.model
    yield "Calibration sha256", model.calibration
    yield "Manifest sha256", model.manifest
    yield "flawscope", model.runtime
