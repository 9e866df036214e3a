"""`flawscope export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flawscope.cli import options
from flawscope.cli.console import Bars, console, print_json

EXAMPLES = """Examples:

  flawscope export models/bracket --out station/bracket

The exported folder holds the graph, its thresholds and its provenance, without the training weights."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export", epilog=EXAMPLES)(export)


def export(
    model: options.Model,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to make for the station.")],
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
) -> None:
    """Copy a model for the station, without its training weights; the copy is checked against the model."""
    from flawscope.station.deploy import deploy

    station = deploy(model, out, overwrite=overwrite, progress=Bars(quiet=as_json))
    figures = [entry.model_dump(mode="json") for entry in station.manifest.parity]
    size = sum(entry.bytes for entry in station.manifest.files.values())
    if as_json:
        print_json({"model": str(station.folder), "bytes": size, "parity": figures})
        return
    console.print(f"Model: {station.folder} ({size / 1e6:.1f} MB)", markup=False)
    for entry in station.manifest.parity:
        console.print(entry.statement(), markup=False)
