"""`flawscope drift`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flawscope.cli import options
from flawscope.cli.console import Bars, note, print_json, say

if TYPE_CHECKING:
    from flawscope.station.replay import Replay

EXAMPLES = """Examples:

  flawscope drift results

  flawscope drift results --alpha 5% --out drift.html

  flawscope drift results --restart

The pictures are followed in the order in which they were inspected, from the first of the model in use or
from the last --restart. Say that once what an alarm named is mended, or is as it shall be from now on."""


def drift(
    results: Annotated[Path, typer.Argument(help="Folder that inspect --out wrote.")],
    alpha: Annotated[
        str,
        typer.Option("--alpha", help="Chance that good pictures of an unchanged line ever raise an alarm."),
    ] = "1%",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Chart to write: a name that ends in .svg or .html.")
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Watch what is inspected from now on as a new stream.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Follow an inspection's pictures again for drift: what has changed, and since when."""
    from flawscope.report.drift_chart import write_drift
    from flawscope.runtime.calibration import parse_rate
    from flawscope.station.replay import replay
    from flawscope.station.replay import restart as start_over

    found = replay(results, parse_rate(alpha, "--alpha"), Bars(quiet=as_json))
    if out is not None:
        write_drift(out, found, title=results.resolve().name)
    if restart:
        start_over(results)
    if as_json:
        print_json(found.to_json())
    else:
        _show(found, out)
    if restart:
        note("A new stream begins with the next picture.")


def _show(found: Replay, out: Path | None) -> None:
    from flawscope.report.markup import plural
    from flawscope.runtime.false_rejects import percent

    for alarm in found.alarms:
        say(alarm.text)
    watched = ", ".join(found.drift.names)
    counts = f"{plural(found.drift.pictures, 'picture')}, {plural(len(found.alarms), 'alarm')}"
    told = f"{counts}. Watched: {watched}."
    if found.drift.promised:
        rate = percent(found.alpha)
        say(f"{told} Good pictures of an unchanged line ever raise one with a chance of at most {rate}.")
    else:
        say(f"{told} They are hints: the model counts parts, which its pictures' names do not tell.")
    if out is not None:
        say(f"Chart: {out}")
