"""`flawscope export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flawscope.cli import options
from flawscope.cli.console import Bars, note, print_json, promised, say
from flawscope.files import typed

EXAMPLES = """Examples:

  flawscope export models/bracket --out station/bracket

  flawscope export models/bracket --out station/bracket --sign factory.key

  flawscope export models/bracket --out station/bracket --for line1.json

The exported folder holds the graph, its thresholds and its provenance, without the training weights. A
signature tells where it comes from: `inspect --trust` takes no model without it. `calibrate` ends it.
--for tells which engine is fastest on a station that `station-probe` measured; with --normals, the copy is
calibrated on it, where it runs here, too."""


def export(
    model: options.Model,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to make for the station.")],
    sign: Annotated[
        Path | None,
        typer.Option("--sign", metavar="KEY", help="Private Ed25519 key in PEM that signs the copy."),
    ] = None,
    machine: Annotated[
        Path | None,
        typer.Option("--for", metavar="MACHINE.json", help="Choose the engine for this station."),
    ] = None,
    normals: Annotated[
        list[str] | None,
        typer.Option("--normals", help="With --for: good pictures to calibrate on; may be repeated."),
    ] = None,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
) -> None:
    """Copy a model for the station, without its training weights; the copy is checked against the model."""
    from flawscope.runtime import engine_table
    from flawscope.station.deploy import deploy, engine_for
    from flawscope.station.sources import collect_good

    station = deploy(
        model,
        out,
        sign=sign,
        machine=machine,
        normals=collect_good(normals, tell=note) if normals else (),
        overwrite=overwrite,
        progress=Bars(quiet=as_json),
    )
    chosen = None if machine is None else engine_for(station, machine)
    size = sum(entry.bytes for entry in station.manifest.files.values())
    if as_json:
        print_json(
            {
                "model": station.folder,
                "bytes": size,
                "signed": sign is not None,
                "engines": station.manifest.engines(),
                "station": None if chosen is None else {"engine": chosen[0][0], "precision": chosen[0][1]},
                **promised(station.manifest.calibration),
            }
        )
        return
    say(f"Model: {station.folder} ({size / 1e6:.1f} MB){', signed' if sign is not None else ''}")
    say("\n".join(engine_table.lines(station.manifest.engines(), of=station.manifest.timed)))
    if chosen is not None:
        (name, precision), told = chosen
        say(f"Fastest on that station: {name} {precision}, {told}.")
        if (name, precision) != (station.manifest.engine, station.manifest.precision):
            how = f"--engine {name} --engine-precision {precision} --normals FOLDER"
            say(f"Its scores are others. On the station: flawscope calibrate {typed(station.folder)} {how}")
    if normals:
        say(station.manifest.calibration.statement())
