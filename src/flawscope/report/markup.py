"""How values read in pages and charts: text that shows what it is, numbers, shares, pictures."""

from __future__ import annotations

import base64
from math import isfinite
from typing import TypeVar

from markupsafe import Markup

Value = TypeVar("Value")

_SIGNATURES = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"RIFF": "webp"}
_SPACE = "\N{NO-BREAK SPACE}"
_KEPT = f"{_SPACE}\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"


def printable(value: Value) -> Value | str:
    """Text without characters that do not print; anything else, and Markup, as it is.

    Controls, direction overrides and broken surrogates become U+FFFD, so that a name reads as what it is.
    Joiners of scripts and emoji stay.

    >>> printable("a\\n.png"), printable(2)
    ('a\N{REPLACEMENT CHARACTER}.png', 2)
    """
    if not isinstance(value, str) or isinstance(value, Markup) or value.isprintable():
        return value
    return "".join(c if c.isprintable() or c in _KEPT else "\N{REPLACEMENT CHARACTER}" for c in value)


def number(value: float, digits: int = 4) -> str:
    """Significant digits, with a true minus sign; a dash for what is no number.

    >>> number(-0.123456)
    '−0.1235'
    """
    return f"{value:.{digits}g}".replace("-", "−") if isfinite(value) else "–"


def decimal(value: float) -> str:
    """Three decimals; a dash for what is no number."""
    return f"{value:.3f}" if isfinite(value) else "–"


def share(count: int, whole: int) -> str:
    """A count as a percentage of the whole; 0 % and 100 % for none and all alone.

    >>> share(1, 8), share(1, 3000), share(2999, 3000)
    ('12.5 %', '< 0.1 %', '> 99.9 %')
    """
    if not whole:
        return "–"
    rounded = f"{100 * count / whole:.1f}".removesuffix(".0")
    if 0 < count < whole:
        rounded = {"0": "< 0.1", "100": "> 99.9"}.get(rounded, rounded)
    return f"{rounded} %"


def plural(count: int, noun: str = "") -> str:
    """Count and noun.

    >>> plural(1, "picture"), plural(1200, "picture"), plural(1200)
    ('1 picture', '1\xa0200 pictures', '1\xa0200')
    """
    counted = f"{count:,}".replace(",", _SPACE)
    return f"{counted} {noun}{'' if count == 1 else 's'}" if noun else counted


def data_uri(picture: bytes) -> str:
    """A PNG, JPEG or WebP file as a data address; empty for anything else."""
    for signature, kind in _SIGNATURES.items():
        if picture.startswith(signature):
            return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
    return ""
