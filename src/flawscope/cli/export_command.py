"""`flawscope export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flawscope.cli import options
from flawscope.cli.console import Bars, print_json, say

EXAMPLES = """Examples:

  flawscope export models/bracket --out station/bracket

The exported folder holds the graph, its thresholds and its provenance, without the training weights."""


def export(
    model: options.Model,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to make for the station.")],
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
) -> None:
    """Copy a model for the station, without its training weights; the copy is checked against the model."""
    from flawscope.station.deploy import deploy

    station = deploy(model, out, overwrite=overwrite, progress=Bars(quiet=as_json))
    size = sum(entry.bytes for entry in station.manifest.files.values())
    if as_json:
        print_json({"model": station.folder, "bytes": size, "parity": station.manifest.parity})
        return
    say(f"Model: {station.folder} ({size / 1e6:.1f} MB)")
    for entry in station.manifest.parity:
        say(entry.statement())
