"""The report: one file, all of its content, nothing from outside, whatever the files are called."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from flawscope.errors import InputError, OutputError
from flawscope.report.content import Facts, Figure, ReportItem, Scatter
from flawscope.report.page import environment, render, write_report
from flawscope.runtime.prediction import Finding
from flawscope.runtime.record import Inset, Record, Truth, Views
from reported import PICTURE, changed, content, item, judged


class Seen(HTMLParser):
    """Tags, attributes and text of a page; raises on unbalanced blocks."""

    VOID = frozenset({"meta", "img", "input", "br", "link"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.text += data + " "


def test_evaluation_holds_every_part(tmp_path: Path) -> None:
    path = write_report(tmp_path / "deep" / "report.html", judged())
    seen = Seen(path.read_text(encoding="utf-8"))
    words = " ".join(seen.text.split())
    for expected in (
        "Screw",
        "At most 1 % of good parts are rejected.",
        "2 of 3 defective parts",
        "1 of 3 good parts",
        "Image AUROC 0.765 95 %: 0.610 to 0.890",
        "area, normalised: 0.812",
        "Defective, but accepted 1",
        "Good, but rejected 1",
        "finding of s2.png",
        "parts/cut.jpg damaged",
        "Method patchcore",
        "flawscope 0.1.0",
    ):
        assert expected in words
    assert [tag for tag, _ in seen.tags].count("svg") == 3


def test_kinds_are_counted_and_ranked_by_hand() -> None:
    table = re.search(r'<table class="kinds">.*?</table>', render(judged()), re.DOTALL)
    assert table is not None
    rows = re.findall(r"<tr><th>(.*?)</th>(.*?)</tr>", table[0])
    cells = {kind: re.findall(r"<td class=.n.>(.*?)</td>", row) for kind, row in rows if kind != "Kind"}
    assert cells == {
        "good": ["3", "1", "1", "1", "–"],
        "dent": ["1", "0", "1", "0", "0.333"],
        "scratch": ["2", "1", "0", "1", "0.667"],
    }


def test_inspection_without_truth_shows_no_accuracy() -> None:
    seen = Seen(render(content(item("a.png", 1.0), item("b.png", 4.0))))
    for absent in ("Accuracy", "Worst misses", "By kind", "Truth", "defective", "AUROC"):
        assert absent not in seen.text
    assert "Most anomalous" in seen.text
    assert [tag for tag, _ in seen.tags].count("svg") == 1


def test_defective_pictures_alone_and_good_ones_alone() -> None:
    bad = Seen(render(content(item("a.png", 1.0, True, "dent")))).text
    assert "Defective, but accepted" in bad
    assert "ROC curve" not in bad
    good = Seen(render(content(item("a.png", 1.0, False, "good")))).text
    assert "No good part was rejected." in good
    assert "defective part" not in good


def test_nothing_inspected_is_still_a_report() -> None:
    words = Seen(render(content(unreadable=(("a.png", "an empty file"),)))).text
    assert "Not inspected" in words
    assert "an empty file" in words


HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>\u202egnp.\udce4\n.png'


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    nasty = replace(
        judged(),
        title=HOSTILE,
        subtitle=HOSTILE,
        note=HOSTILE,
        promise=HOSTILE,
        items=(
            changed(
                replace(
                    item(HOSTILE, 4.0, True, HOSTILE),
                    views=Views(PICTURE, PICTURE, (Inset(PICTURE, HOSTILE),)),
                ),
                findings=(Finding(HOSTILE),),
                contributions=((HOSTILE, 1.0),),
                truth=Truth(kind=HOSTILE, defective=True, seen=False),
            ),
            *judged().items,
        ),
        scatters=(Scatter(HOSTILE, ((0.0, 1.0),), ((1.0, 0.0),)),),
        version=HOSTILE,
        unreadable=((HOSTILE, HOSTILE),),
        provenance=(Facts(HOSTILE, ((HOSTILE, HOSTILE),)),),
        figures=(Figure(HOSTILE, 0.5, about=HOSTILE),),
    )
    page = write_report(tmp_path / "r.html", nasty).read_text(encoding="utf-8")
    seen = Seen(page)
    assert [tag for tag, _ in seen.tags].count("script") == 1
    assert not any(name.startswith("on") for _, attributes in seen.tags for name in attributes)
    assert all((attributes["src"] or "").startswith("data:") for tag, attributes in seen.tags if tag == "img")
    assert "\u202e" not in page
    assert page.count("&lt;script&gt;alert(1)") == page.count("alert(1)") > 20


def test_nothing_but_charts_and_assets_passes_unescaped() -> None:
    template = environment().from_string("<b>{{ name }}</b>{{ about(name) }}")
    assert template.render(name="<i>\n", about=str.upper) == "<b>&lt;i&gt;\ufffd</b>&lt;I&gt;\ufffd"
    with pytest.raises(UndefinedError, match="name"):
        template.render()


def test_embeddings_are_drawn_point_by_point() -> None:
    drawing = Scatter("16-pixel patches", ((0.0, 1.0), (0.5, 0.5)), ((1.0, 0.0),))
    page = render(replace(judged(), scatters=(drawing,)))
    clouds = dict(re.findall(r'class="dots (\w+)" d="(.*?)"', page))
    assert clouds == {"good": "M10.0 330.0h0M170.0 170.0h0", "defective": "M330.0 10.0h0"}
    assert "16-pixel patches" in page
    assert "as the model sees them" not in render(judged())


def test_thousands_of_pictures_are_counted_in_groups_of_digits() -> None:
    many = content(*(changed(item("a.png", 1.0), path=str(index)) for index in range(1200)))
    page = render(many, picture_budget=0)
    assert ">1\xa0200</span>" in page
    assert ">1\xa0200 pictures</output>" in page


def test_nothing_is_asked_from_outside_and_only_our_script_runs() -> None:
    page = render(judged())
    seen = Seen(page)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", page)
    assert not any(tag in ("link", "iframe", "object", "base") for tag, _ in seen.tags)
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    policies = [attributes["content"] for _, attributes in seen.tags if "http-equiv" in attributes]
    assert policies == [
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    ]


def test_foreign_bytes_are_never_embedded_as_pictures() -> None:
    page = render(content(replace(item("a.png", 1.0), views=Views(b"<svg onload=alert(1)>"))))
    assert "<img" not in page
    assert "onload" not in page


def test_pictures_stay_within_the_budget_misses_first() -> None:
    many = content(
        *(item(f"g{index}.png", 1.0 + index / 100, False, "good") for index in range(20)),
        item("missed.png", 0.5, True, "dent"),
    )
    one = len(PICTURE) * 2 * 4 // 3
    page = render(many, picture_budget=2 * one)
    shown = re.findall(r'<tr id="p\d+".*\n.*?alt="(.*?)"', page)
    assert set(shown) == {"missed.png", "g19.png"}
    assert "Pictures of 2 items are inside this file." in page
    assert page.count("<tr id=") == 21


def test_items_that_came_without_pictures_do_not_count_as_shown() -> None:
    bare = (replace(item(f"b{index}.png", 1.0), views=Views()) for index in range(3))
    page = render(content(*bare, item("a.png", 2.0), item("c.png", 3.0)))
    assert "Pictures of 2 items are inside this file." in page


def test_rows_begin_with_rejects_by_score() -> None:
    names = re.findall(r'class="file"><bdi>(.*?)</bdi>', render(judged()))
    assert names == ["s2.png", "g3.png", "g2.png", "d1.png", "s1.png", "g1.png"]


def test_items_must_hold_a_verdict_and_the_file_be_writable(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a verdict, got an error: truncated"):
        ReportItem(Record(path="a.png", error="truncated"))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError):
        write_report(tmp_path / "file" / "report.html", judged())


@pytest.mark.browser
def test_browser_runs_our_script_and_no_other(tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
    if browser is None:
        pytest.skip("no Chromium on this machine")
    hostile = "<script>document.title='owned'</script>"
    plain = changed(item("b.png", 1.0), contributions=(("segment 3 · patchcore · mean", -0.5),))
    path = write_report(tmp_path / "report.html", content(item(hostile, 4.0), plain))
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync"
    flags += " --disable-background-networking --disable-component-update --dump-dom"
    command = [browser, *flags.split(), f"--user-data-dir={tmp_path / 'profile'}", f"{path.as_uri()}#p1"]
    page = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout  # noqa: S603
    assert re.search(r"<title>Screw .*?</title>", page)
    dialog = re.search(r"<dialog[^>]* open.*?</dialog>", page, re.DOTALL)
    assert dialog is not None
    assert "b.png" in dialog[0]
    assert "2 of 2" in dialog[0]
    assert re.search(r"<figure>.*segment 3 · patchcore · mean.*</svg>", dialog[0])
    assert "<script>document" not in page
