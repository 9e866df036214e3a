"""One part's page: all of it in one file, whatever names and notes hold."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flawscope.report.part import render_part, write_part
from flawscope.runtime.chain import Row, following
from flawscope.runtime.overlay import to_webp_bytes
from flawscope.runtime.prediction import Decision, Finding
from flawscope.runtime.record import Inset, Record, Views
from flawscope.station.audit import Audit, Problem
from flawscope.station.part import Part
from flawscope.station.reviews import Review
from in_force import in_force

PICTURE = to_webp_bytes(np.full((24, 24, 3), 120, np.uint8))
VIEWS = Views(PICTURE, PICTURE, (Inset(PICTURE, "a pair"),))
ODD = "<script>alert(1)</script>.png"
MODEL = in_force(
    promise="At most 1 % of good parts are rejected.",
    scores=40,
    calibrated_on=tuple((f"good{index}.png", f"{index:064x}") for index in range(40)),
    parity=("openvino fp32 on 4 pictures: scores differ by 1e-6.",),
)


@pytest.fixture
def part() -> Part:
    record = Record(
        path=f"line1/{ODD}",
        model=MODEL.identity,
        score=2.5,
        p_value=0.01,
        decision=Decision.REJECT,
        findings=(Finding("unusual area"),),
        contributions=(("edge", 1.5),),
        picture="1" * 64,
        conditions={"brightness": 0.5},
    )
    entry = {"kind": "picture", "at": "2026-11-27T07:00:00.000+00:00", "record": record.to_json()}
    before: Row | None = following(None, entry)
    row = following(before, entry)
    made = Review(3, "2026-11-27", record.path, 2, record.picture, "good", "Ana", "a <b>shadow</b>")
    given = (made, replace(made, picture="2" * 64))
    return Part(row, record, (row,), MODEL, given, VIEWS, "same", Path(record.path))


def test_the_page_tells_all_that_the_verdict_rests_on(part: Part, tmp_path: Path) -> None:
    audit = Audit(rows=Audit().rows, head="f" * 64)
    path = write_part(tmp_path / "part.html", part, VIEWS, shown="Drawn again.", audit=audit)
    page = path.read_text(encoding="utf-8")
    told = ["Reject", "2.5", "At most 1 % of good parts are rejected.", "unusual area", "Drawn again."]
    told += ["good0.png</bdi> 000000000000", "and 16 more", "scores differ by 1e-6", "abacus 1.0 fp32"]
    told += [
        "<dt>brightness</dt><dd>0.5</dd>",
        "What moved the score",
        "a pair",
        "of the picture that was there before",
        "by Ana",
    ]
    told += [part.row.hash, part.row.previous, MODEL.model, MODEL.calibration, "1" * 64, "f" * 64]
    assert [words for words in told if words not in page] == []
    assert page.count("data:image/webp") == 3


def test_an_earlier_picture_that_could_not_be_read_is_told(part: Part) -> None:
    failed = following(None, {"kind": "picture", "at": "06:00", "record": {"path": "a.png", "error": "no."}})
    page = render_part(replace(part, earlier=(failed,)), VIEWS, shown="", audit=Audit())
    assert "<td>06:00</td><td>not inspected</td>" in page


def test_nothing_in_it_is_code_or_leads_outside(part: Part) -> None:
    page = render_part(part, VIEWS, shown="", audit=Audit())
    assert "<script>alert" not in page
    assert "<b>shadow" not in page
    assert re.findall(r"(?:src|href)=\"(?!data:)", page) == []
    assert "default-src 'none'" in page


def test_what_lacks_is_said(part: Part) -> None:
    failed = part.record.model_copy(
        update={"error": "picture: no.", "score": None, "p_value": None, "decision": None}
    )
    bare = replace(part, record=failed, in_force=None, reviews=(), earlier=(), views=Views(), file="changed")
    problem = Problem(7, "row 7 was removed")
    page = render_part(bare, Views(), shown="Not shown: gone.", audit=Audit(problem=problem))
    told = [
        "could not be inspected: picture: no.",
        "Not shown: gone.",
        "not as they were written: row 7 was removed",
    ]
    told += ["The file at this place has other bytes", "does not tell what the record was made with"]
    assert [words for words in told if words not in page] == []
