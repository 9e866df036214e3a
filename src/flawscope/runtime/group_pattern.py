"""Patterns over names that cannot take for ever: their time is bounded by a name's length.

Python's regular expressions try every way to divide a text among repeats. Repeats within repeats, as in
`(a+)+`, have a number of ways that doubles with each letter; those are refused, and so are more than three
open repeats, whose time grows with the fifth power of a name's length. Three of them take seconds at most on
the longest name that a file can have, and milliseconds on usual ones.
"""

from __future__ import annotations

import re
from pathlib import PurePath

from flawscope.errors import OptionError

LAYOUT = "layout"  # how groups of a layout are called where others have a pattern or a table
NONE = "none"
TABLE = re.compile(r"(?P<table>.+\.(?:csv|tsv|txt)):(?P<column>[^/\\:]+)", re.IGNORECASE)
LONGEST = 200  # characters of a pattern
MOST_OPEN = 3  # repeats without an upper end below `_WIDE`
_WIDE = 10  # times from which a bounded repeat counts as an open one
_PIECE = re.compile(  # an escape, a set, a group's begin, a repeat, or any character
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\??|(?P<sign>[*+?])[?+]?"
    r"|\{(?P<low>\d*)(?P<comma>,?)(?P<high>\d*)\}[?+]?|.",
    re.DOTALL,
)


def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern, ready to search with.

    Raises:
        OptionError: it is none, is empty or too long, is found in any name, or might take very long.
    """
    if not pattern or len(pattern) > LONGEST:
        raise _refused(f"1 to {LONGEST} characters", f"{len(pattern)}", "Write a shorter one.")
    try:
        found = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        fix = "A part's number is [0-9]+; what names the part stands in (parentheses)."
        raise _refused("a regular expression", f"{pattern!r}: {error}", fix) from error
    if slow := _slow(pattern):
        fix = r"Write it plainly, such as part_([0-9]+) or (.+)_[a-z]\.png."
        raise _refused("a pattern whose time is bounded", f"{pattern!r}, {slow}", fix)
    if found.search("") is not None:
        fix = "Let it ask for at least one character."
        raise _refused("a pattern that some names do not hold", f"{pattern!r}, which all do", fix)
    return found


def found_in(pattern: re.Pattern[str], path: str) -> str | None:
    """What a pattern names in a file's name, or in its path where the pattern holds a slash.

    That is its first capture group, or the whole match; None where there is none.
    """
    text = PurePath(path).as_posix() if "/" in pattern.pattern else PurePath(path).name
    found = pattern.search(text)
    return None if found is None else found[1 if pattern.groups else 0] or None


def pattern_of(grouped_by: str) -> str:
    """The pattern of `Calibration.grouped_by`; empty where that is none, a table or a layout."""
    none = grouped_by in ("", LAYOUT, NONE) or TABLE.fullmatch(grouped_by) is not None
    return "" if none else grouped_by


def _refused(expected: str, got: str, fix: str) -> OptionError:
    return OptionError("groups' pattern", expected=expected, got=got, fix=fix)


def _slow(pattern: str) -> str:
    """Why a valid pattern might take very long; empty where it cannot."""
    opened, closed = 0, False  # closed: before lies a group in which something repeats or chooses
    within = [False]  # for each group that is open, whether something in it does
    if re.search(r"\\[1-9]|\(\?P=", pattern):
        return "which refers to what it found before"
    for found in _PIECE.finditer(pattern):
        piece, most = found[0], _most(found)
        if most is not None:
            if most > 1 and closed:
                return "which repeats what itself repeats or chooses"
            opened += most >= _WIDE
            within[-1] = True
        elif piece.startswith("("):
            within.append(False)
        elif piece == "|":
            within[-1] = True
        closed = piece == ")" and len(within) > 1 and within.pop()
        within[-1] |= closed
    return f"with {opened} open repeats" if opened > MOST_OPEN else ""


def _most(piece: re.Match[str]) -> float | None:
    """How often a repeat repeats at most; None for what is no repeat."""
    if piece["sign"]:
        return 1.0 if piece["sign"] == "?" else float("inf")
    if piece["low"] or piece["high"] or piece["comma"]:
        return float(piece["high"] or ("inf" if piece["comma"] else piece["low"]))
    return None
