"""`flawscope export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flawscope.cli import options
from flawscope.cli.console import Bars, print_json, say

EXAMPLES = """Examples:

  flawscope export models/bracket --out station/bracket

  flawscope export models/bracket --out station/bracket --sign factory.key

The exported folder holds the graph, its thresholds and its provenance, without the training weights. A
signature tells where it comes from: `inspect --trust` takes no model without it. `calibrate` ends it."""


def export(
    model: options.Model,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to make for the station.")],
    sign: Annotated[
        Path | None,
        typer.Option("--sign", metavar="KEY", help="Private Ed25519 key in PEM that signs the copy."),
    ] = None,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
) -> None:
    """Copy a model for the station, without its training weights; the copy is checked against the model."""
    from flawscope.runtime import engine_table
    from flawscope.station.deploy import deploy

    station = deploy(model, out, sign=sign, overwrite=overwrite, progress=Bars(quiet=as_json))
    size = sum(entry.bytes for entry in station.manifest.files.values())
    if as_json:
        print_json(
            {
                "model": station.folder,
                "bytes": size,
                "signed": sign is not None,
                "engines": station.manifest.engines(),
            }
        )
        return
    say(f"Model: {station.folder} ({size / 1e6:.1f} MB){', signed' if sign is not None else ''}")
    say("\n".join(engine_table.lines(station.manifest.engines())))
