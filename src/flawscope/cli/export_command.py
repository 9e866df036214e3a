"""`flawscope export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flawscope.cli.console import Bars, console, print_json

EXAMPLES = """Examples:

  flawscope export models/bracket --out station/bracket

The exported folder holds the graph, its thresholds and its provenance, without the training weights."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export", epilog=EXAMPLES)(export)


def export(
    model: Annotated[Path, typer.Argument(help="Model folder made by `flawscope train`.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to make for the station.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the model in --out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Copy a model for the station, without its training weights; the copy is checked against the model."""
    from flawscope.station.deploy import deploy

    made = deploy(model, out, overwrite=overwrite, progress=Bars(quiet=as_json))
    figures = [entry.model_dump(mode="json") for entry in made.manifest.parity]
    size = sum(entry.bytes for entry in made.manifest.files.values())
    if as_json:
        print_json({"model": str(made.folder), "bytes": size, "parity": figures})
        return
    console.print(f"Model: {made.folder} ({size / 1e6:.1f} MB)", markup=False)
    for entry in made.manifest.parity:
        console.print(entry.statement(), markup=False)
