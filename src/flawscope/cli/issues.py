"""Findings of checks, printed for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from flawscope.cli.console import console, printable, say

if TYPE_CHECKING:
    from flawscope.data.checks.issues import Issue

_LISTED = 5


def summary(issues: Sequence[Issue]) -> str:
    """How many findings there are, and how many must be mended before training."""
    errors = sum(issue.severity == "error" for issue in issues)
    return f"{len(issues)} finding{'' if len(issues) == 1 else 's'}, {errors} to mend"


def show_issues(issues: Iterable[Issue]) -> None:
    """Each finding with its severity, what to do, and the first files that it is about."""
    for issue in issues:
        style = {"error": "bold red", "warning": "yellow", "note": "dim"}[issue.severity]
        console.print(f"{issue.severity:<8}", style=style, end="")
        say(f"{issue.message} {issue.fix}")
        for file in issue.files[:_LISTED]:
            say(f"          {printable(str(file))}")
        if len(issue.files) > _LISTED:
            say(f"          and {len(issue.files) - _LISTED} more (--json lists all)")
