"""How many findings a check tells of."""

from __future__ import annotations

from pathlib import Path

from flawscope.cli.issues import summary
from flawscope.data.checks.issues import found


def test_findings_are_counted_in_words() -> None:
    error, note = (found(rule, Path("a.png"), "One.") for rule in ("unreadable", "unannotated"))
    assert summary([]) == "0 findings, 0 to mend"
    assert summary([error]) == "1 finding, 1 to mend"
    assert summary([error, note]) == "2 findings, 1 to mend"
