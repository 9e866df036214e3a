"""Text, numbers and pictures as HTML that nothing in a file's name or content can break out of."""

from __future__ import annotations

import base64
import html
from math import isfinite

from flawscope.runtime.prediction import Decision

MARKS = {Decision.ACCEPT: "✓", Decision.REVIEW: "?", Decision.REJECT: "✕"}

_SIGNATURES = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"RIFF": "webp"}


def text(value: object) -> str:
    """Escaped for element content and quoted attributes.

    Characters that do not print (controls, direction overrides, broken surrogates) become U+FFFD, so that a
    name reads as what it is.

    >>> text('<a href="x">')
    '&lt;a href=&quot;x&quot;&gt;'
    """
    printable = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value))
    return html.escape(printable, quote=True)


def number(value: float, digits: int = 4) -> str:
    """Significant digits, with a true minus sign; a dash for what is no number.

    >>> number(-0.123456)
    '−0.1235'
    """
    return f"{value:.{digits}g}".replace("-", "−") if isfinite(value) else "–"


def share(part: int, whole: int) -> str:
    """A part as a percentage.

    >>> share(1, 8)
    '12.5 %'
    """
    if not whole:
        return "–"
    return f"{100 * part / whole:.1f}".removesuffix(".0") + " %"


def plural(count: int, noun: str) -> str:
    """Count and noun.

    >>> plural(1, "picture"), plural(1200, "picture")
    ('1 picture', '1\xa0200 pictures')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}".replace(",", "\N{NO-BREAK SPACE}")


def data_uri(picture: bytes) -> str:
    """A PNG, JPEG or WebP file as a data address; empty for anything else."""
    for signature, kind in _SIGNATURES.items():
        if picture.startswith(signature):
            return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
    return ""


def image(picture: bytes, alternative: str) -> str:
    """An image element, or a blank of the same size where there is no picture."""
    address = data_uri(picture)
    if not address:
        return '<span class="blank" aria-hidden="true"></span>'
    return f'<img src="{address}" alt="{text(alternative)}" loading="lazy" decoding="async">'


def badge(decision: Decision) -> str:
    """A verdict as word, mark and colour, so that none of the three is needed."""
    return f'<span class="badge {decision}"><i aria-hidden="true">{MARKS[decision]}</i>{decision}</span>'


def verdict_bar(counts: dict[Decision, int]) -> str:
    """Shares of the verdicts as one bar."""
    parts = "".join(
        f'<span class="{decision}" style="flex-grow:{count}"></span>'
        for decision, count in counts.items()
        if count
    )
    said = ", ".join(f"{count} {decision}" for decision, count in counts.items())
    return f'<div class="bar" role="img" aria-label="{said}" title="{said}">{parts}</div>'
