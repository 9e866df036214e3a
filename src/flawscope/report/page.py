"""The whole page: style, sections, the table of pictures, and the one script that sorts and filters it."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from flawscope.files import write_text
from flawscope.report import sections
from flawscope.report.bars import contribution_chart
from flawscope.report.content import ReportContent, ReportItem
from flawscope.report.embedding import scatter_section
from flawscope.report.markup import badge, image, number, plural, text
from flawscope.runtime.overlay import colour_map
from flawscope.runtime.prediction import Decision

PICTURE_BUDGET = 24_000_000

_COLUMNS = (("name", "Name"), ("decision", "Verdict"), ("score", "Score"), ("p", "p-value"))
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
    rows = {item.path: f"p{index}" for index, item in enumerate(items)}
    style, script = _asset("report.css"), _asset("report.js")
    body = "".join(
        (
            sections.header(content),
            sections.scores(content),
            sections.accuracy(content),
            sections.kinds(content),
            sections.misses(content, rows),
            scatter_section(content.scatters),
            _pictures(content, items, shown),
            sections.unreadable(content),
            sections.provenance(content),
        )
    )
    made_by = f"flawscope {text(content.version)}".strip()
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(script)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{text(content.title)} – inspection report</title><style>{style}</style></head>"
        f"<body><main>{body}</main><footer>Made by {made_by}. "
        "This file holds all it shows and sends nothing anywhere.</footer>"
        f"{_DIALOG}<script>{script}</script></body></html>\n"
    )


def _within_budget(content: ReportContent, budget: int) -> tuple[ReportContent, int]:
    """The content with pictures for as many items as the budget holds, and how many those are."""
    telling = sorted(
        range(len(content.items)),
        key=lambda index: (
            not (content.items[index].missed or content.items[index].false_reject),
            -content.items[index].score,
        ),
    )
    items, spent, shown = list(content.items), 0, 0
    for index in telling:
        item = items[index]
        pictures = (item.thumbnail, item.overlay, *(inset.picture for inset in item.insets))
        size = sum(map(len, pictures)) * 4 // 3 + len(contribution_chart(item))  # base64
        if spent + size > budget:
            items[index] = replace(item, thumbnail=b"", overlay=b"", insets=(), contributions=())
            continue
        spent += size
        shown += 1
    return replace(content, items=tuple(items)), shown


def _pictures(content: ReportContent, items: list[ReportItem], shown: int) -> str:
    if not items:
        return ""
    truth = bool(content.judged)
    heads = "".join(
        f'<th data-key="{key}"><button type="button">{label}</button></th>'
        for key, label in (*_COLUMNS, *((("kind", "Truth"),) if truth else ()))
    )
    body = "".join(_row(item, f"p{index}", truth) for index, item in enumerate(items))
    hint = f"Pictures of {shown} items are inside this file." if shown < len(items) else "Click to enlarge."
    return (
        f'<section id="pictures"><div class="head"><h2>All pictures</h2><p class="hint">{hint}</p></div>'
        f'{_filters(content)}<div class="scroll"><table class="items"><thead><tr>'
        f"<th>Picture and heatmap{_legend()}</th>{heads}<th>Findings</th></tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
        '<p class="empty" hidden>No picture fits these filters.</p></section>'
    )


def _row(item: ReportItem, row: str, truth: bool) -> str:
    name = text(item.name)
    kind = item.kind or {True: "defective", False: "good", None: ""}[item.defective]
    wrong = " wrong" if item.missed or item.false_reject else ""
    known = (
        f'<td data-value="{text(kind)}" class="kind{wrong}"><bdi>{text(kind) or "–"}</bdi></td>'
        if truth
        else ""
    )
    findings = "".join(f"<li>{text(finding)}</li>" for finding in item.findings)
    return (
        f'<tr id="{row}" data-decision="{item.decision}" data-kind="{text(kind)}">'
        f'<td class="look"><button type="button" class="pair" data-open="{row}" aria-label="Enlarge {name}">'
        f"{image(item.thumbnail, item.name)}{image(item.overlay, 'heatmap')}</button>{_insets(item)}</td>"
        f'<td data-value="{name}" class="file"><bdi>{name}</bdi>'
        f"<small><bdi>{text(item.path)}</bdi></small></td>"
        f'<td data-value="{_ORDER[item.decision]}">{badge(item.decision)}</td>'
        f'<td data-value="{item.score!r}" class="n">{number(item.score)}</td>'
        f'<td data-value="{item.p_value!r}" class="n">{number(item.p_value, 2)}</td>{known}'
        f'<td class="findings"><ul>{findings}</ul>{_moved(item)}</td></tr>'
    )


def _insets(item: ReportItem) -> str:
    """Further small pictures, each with what it shows."""
    figures = "".join(
        f"<figure>{image(inset.picture, inset.about)}<figcaption>{text(inset.about)}</figcaption></figure>"
        for inset in item.insets
    )
    return f'<div class="insets">{figures}</div>' if figures else ""


def _moved(item: ReportItem) -> str:
    """What moved the score, folded in the table and beside the heatmap where the picture is enlarged."""
    chart = contribution_chart(item)
    if not chart:
        return ""
    title = "What moved the score"
    return (
        f'<details class="moves"><summary>{title}</summary>'
        f"<figure><figcaption>{title}</figcaption>{chart}</figure></details>"
    )


def _filters(content: ReportContent) -> str:
    buttons = [
        f'<button type="button" aria-pressed="true" data-filter="">All <b>{len(content.items)}</b></button>',
        *(
            f'<button type="button" aria-pressed="false" data-filter="{decision}" class="{decision}">'
            f"{str(decision).capitalize()} <b>{content.count(decision)}</b></button>"
            for decision in _ORDER
        ),
    ]
    kinds = "".join(f'<option value="{text(kind)}">{text(kind)}</option>' for kind in content.by_kind())
    select = (
        f'<select aria-label="Kind"><option value="">every kind</option>{kinds}</select>' if kinds else ""
    )
    return (
        '<div class="filters" role="group" aria-label="Filters">'
        f'<span class="chips">{"".join(buttons)}</span>{select}'
        '<input type="search" placeholder="name or finding" aria-label="Search">'
        f"<output>{plural(len(content.items), 'picture')}</output></div>"
    )


def _legend() -> str:
    """The overlay's colours from weak to strong."""
    stops = ", ".join("#{:02x}{:02x}{:02x}".format(*colour) for colour in colour_map()[::32].tolist())
    return (
        '<span class="legend" role="img" aria-label="heatmap colours, weak to strong">weak'
        f'<i style="background:linear-gradient(90deg, transparent, {stops})"></i>strong</span>'
    )


def _policy(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def _asset(name: str) -> str:
    return (files("flawscope.report") / name).read_text(encoding="utf-8")


_DIALOG = (
    '<dialog aria-label="Picture"><div class="bar-top"><strong><bdi></bdi></strong>'
    '<span class="place"></span>'
    '<button type="button" data-step="-1" aria-label="Previous">‹</button>'
    '<button type="button" data-step="1" aria-label="Next">›</button>'
    '<button type="button" data-close aria-label="Close">✕</button></div>'
    '<div class="views"></div><div class="about"></div></dialog>'
)
