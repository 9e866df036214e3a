"""The page of a comparison: what flipped, picture by picture, and what the gate says."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from pathlib import Path

import flawscope
from flawscope.files import writable_folder, write_text
from flawscope.metrics import Interval
from flawscope.report.content import Figure
from flawscope.report.page import framed
from flawscope.station.compare import Comparison
from flawscope.station.gate import Check

PAGE, FIGURES = "report.html", "comparison.json"


def comparison_report(found: Comparison, checks: Sequence[Check] | None, folder: Path) -> Path:
    """Write report.html and comparison.json into `folder`; returns the page. `checks` is None without a gate.

    Raises:
        OutputError: the folder cannot be written.
    """
    writable_folder(folder)
    values = comparison_json(found, checks)
    write_text(folder / FIGURES, json.dumps(values, indent=2) + "\n")
    text = framed(
        "comparison.html.jinja",
        found=found,
        counts=found.counts(),
        checks=checks,
        figures=_figures(found),
        created=datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        version=flawscope.__version__,
    )
    write_text(folder / PAGE, text)
    return folder / PAGE


def comparison_json(found: Comparison, checks: Sequence[Check] | None) -> dict[str, object]:
    """Plain values for JSON; with a gate its checks, and whether all of them hold."""
    if checks is None:
        return found.to_json()
    gate = {"passed": all(check.passed for check in checks), "checks": [check.to_json() for check in checks]}
    return {**found.to_json(), "gate": gate}


def _figures(found: Comparison) -> tuple[Figure, ...]:
    measured: list[tuple[str, Interval | None, str]] = [
        ("Image AUROC, old", found.old.auroc, "how surely a defective picture scores above a good one"),
        ("Image AUROC, new", found.new.auroc, "likewise"),
        ("Difference", found.auroc_difference, "new minus old, of the same pictures in each round"),
        (
            "McNemar's p",
            Interval(found.p_value),
            "chance of so uneven a change, were neither right more often",
        ),
    ]
    return tuple(Figure(label, *one, about=about) for label, one, about in measured if one is not None)
