"""What a report shows, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from flawscope.data.samples import GOOD
from flawscope.report.content import Curve, Facts, Figure, ReportContent, ReportItem
from flawscope.runtime.overlay import to_webp_bytes
from flawscope.runtime.prediction import Decision, Finding
from flawscope.runtime.record import Record, Truth, Views

REVIEW, REJECT = 2.0, 3.0
PICTURE = to_webp_bytes(np.full((24, 24, 3), 120, np.uint8))


def item(name: str, score: float, defective: bool | None = None, kind: str | None = None) -> ReportItem:
    decision = Decision.REJECT if score > REJECT else Decision.REVIEW if score > REVIEW else Decision.ACCEPT
    record = Record(
        path=f"parts/{name}",
        score=score,
        p_value=0.02,
        decision=decision,
        truth=None if defective is None else Truth(kind=kind or GOOD, defective=defective),
        findings=(Finding(f"finding of {name}"),),
    )
    return ReportItem(record, Views(PICTURE, PICTURE))


def changed(item: ReportItem, **values: object) -> ReportItem:
    """The item with other values in its record."""
    return replace(item, record=item.record.model_copy(update=values))


def withheld(item: ReportItem, yes: bool) -> ReportItem:
    """The item as one of a kind that training may not see, or may."""
    assert item.record.truth is not None
    return changed(item, truth=item.record.truth.model_copy(update={"seen": not yes}))


def content(*items: ReportItem, **more: object) -> ReportContent:
    parts: dict[str, object] = {
        "title": "Screw",
        "subtitle": "PatchCore",
        "created": "2026-11-23 02:00",
        "items": items,
        "review_threshold": REVIEW,
        "reject_threshold": REJECT,
        "promise": "At most 1 % of good parts are rejected.",
    }
    return ReportContent(**(parts | more))  # type: ignore[arg-type]


def judged() -> ReportContent:
    return content(
        item("g1.png", 1.0, False, "good"),
        item("g2.png", 2.5, False, "good"),
        item("g3.png", 3.5, False, "good"),
        item("s1.png", 1.5, True, "scratch"),
        item("s2.png", 5.0, True, "scratch"),
        item("d1.png", 2.2, True, "dent"),
        figures=(Figure("Image AUROC", 0.7654, 0.61, 0.89, "1 is perfect"),),
        pro=Curve([0.0, 0.1, 0.3], [0.0, 0.8, 1.0], 0.8123, 0.3),
        unreadable=(("parts/cut.jpg", "damaged"),),
        provenance=(Facts("Model", (("Method", "patchcore"),)),),
        version="0.1.0",
    )
