"""Comparisons of two models and gates, printed for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from flawscope.cli.console import cell, console, note, say, table_of
from flawscope.files import typed

if TYPE_CHECKING:
    from flawscope.station.compare import Comparison
    from flawscope.station.gate import Check
    from flawscope.station.gated import Gated

GATE_FAILED = 9  # exit code
_LISTED = 12  # flips; the report shows all


def show_comparison(found: Comparison) -> None:
    """Print figures and flips as tables."""
    if found.known:
        note(f"{found.known} pictures left out, because one of the models has seen them.")
    if found.said:
        note(found.said)
    counts = found.counts()
    for pair in found.pairs:
        if (error := pair.old.error or pair.new.error) is not None:
            note(f"unreadable: {error}")
    title = f"{found.dataset.name}: {counts['good']} good, {counts['defective']} defective"
    table = table_of("figure", "old", "new", "change", title=cell(title))
    gone, come = -counts["new_miss"], counts["new_find"]
    found_by = [str(counts["defective"] - side.misses) for side in (found.old, found.new)]
    table.add_row("defects found", *found_by, f"{gone} {come:+d}" if gone or come else "none")
    worse, better = counts["new_false_reject"], -counts["mended_false_reject"]
    rejected = [str(side.false_rejects) for side in (found.old, found.new)]
    table.add_row("good parts rejected", *rejected, f"{worse:+d} {better}" if worse or better else "none")
    difference = found.auroc_difference
    if difference is not None and found.old.auroc is not None and found.new.auroc is not None:
        interval = f"{difference.value:+.4f} (95 %: {difference.low:+.4f} to {difference.high:+.4f})"
        table.add_row("image AUROC", f"{found.old.auroc.value:.4f}", f"{found.new.auroc.value:.4f}", interval)
    times = [f"{side.milliseconds:.1f}" for side in (found.old, found.new)]
    table.add_row("ms a picture", *times, f"{found.latency_ratio:.2f} times")
    console.print(table)
    flips = counts["flipped"]
    told = "1 verdict flips" if flips == 1 else f"{flips} verdicts flip"
    say(f"{told}; McNemar's exact test: p = {found.p_value:.3g}.")
    for pair in found.flips[:_LISTED]:
        say(f"  {pair.kind}: {pair.path}")
    if len(found.flips) > _LISTED:
        say(f"  and {len(found.flips) - _LISTED} more (--out shows all)")


def show_checks(checks: Sequence[Check]) -> None:
    """Print each bound of a gate, and whether the new model passes."""
    for check in checks:
        say(f"{'holds' if check.passed else 'FAILS'}  {check.key}: {check.found}")
    if checks:
        failed = sum(not check.passed for check in checks)
        of = f"{failed} of {len(checks)} bound{'' if len(checks) == 1 else 's'}"
        say("The gate is passed." if not failed else f"The gate fails: {of}.")


def show_gated(gated: Gated, model: Path) -> None:
    """Print the comparison, the bounds, and what is in use now."""
    show_comparison(gated.comparison)
    show_checks(gated.checks)
    if gated.passed:
        say(f"In use: {model}, version {gated.candidate}.")
        say(f"Back again: flawscope rollback {typed(model)} --to {gated.before}")
    else:
        say(f"In use: {model}, version {gated.before}, as before. The candidate is at {gated.folder}.")
        say(f"Look: flawscope compare {typed(model)} {typed(gated.folder)} --gate GATE --out comparison")


def gated_json(gated: Gated | None) -> dict[str, Any]:
    """What a gate made of a candidate, for JSON; nothing without a gate."""
    from flawscope.report.comparison import comparison_json

    if gated is None:
        return {}
    compared = comparison_json(gated.comparison, gated.checks)
    place = {"before": gated.before, "version": gated.candidate, "in_use": gated.passed}
    return {**place, "folder": gated.folder, "comparison": compared}


def end_unless_passed(gated: Gated | None) -> None:
    """End with the exit code of a gate that does not hold, where there is one and it does not."""
    if gated is not None and not gated.passed:
        raise typer.Exit(GATE_FAILED)
