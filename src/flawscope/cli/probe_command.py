"""`flawscope station-probe`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flawscope.cli import options
from flawscope.cli.console import Bars, print_json, say
from flawscope.files import typed, writable_file

EXAMPLES = """Examples:

  flawscope station-probe --out line1.json

  flawscope station-probe --model models/bracket --out line1.json

Run it on the station; `flawscope export MODEL --for line1.json --out NEW` then chooses the engine by it.
Without --model, engines are compared by a small built-in graph, which tells less than the model itself."""


def station_probe(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="MACHINE.json", help="File to write.")],
    model: Annotated[
        list[Path] | None,
        typer.Option("--model", help="Model folder to time in each engine; may be repeated."),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Write down what this machine can run, and how fast: `export --for` chooses the engine by it."""
    from flawscope.station.machines import probe, write_machine

    writable_file(out)
    found = probe(model or (), Bars(quiet=as_json))
    write_machine(found, out)
    if as_json:
        print_json(found)
        return
    say(f"{found.processor}, {found.cores} cores; units: {', '.join(found.units) or 'not told'}")
    for name, speeds in (("built-in graph", found.probe), *((one.name, one.speeds) for one in found.models)):
        times = (f"{row.engine} {row.precision} {row.milliseconds:.1f} ms" for row in speeds.rows)
        say(f"{name}: {', '.join(times)}")
    say(f"Next: flawscope export MODEL --for {typed(out)} --out NEW")
