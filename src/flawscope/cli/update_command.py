"""`flawscope update`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flawscope.cli import options
from flawscope.cli.comparisons import end_unless_passed, gated_json, show_gated
from flawscope.cli.console import note, print_json, promised, say
from flawscope.cli.signals import interruptible_run
from flawscope.files import typed

if TYPE_CHECKING:
    from flawscope.training.update import UpdateResult

EXAMPLES = """Examples:

  flawscope update models/bracket --normals wrongly_rejected/

  flawscope update models/bracket --normals wrongly_rejected/ --calibration good_pictures/

  flawscope update models/bracket --normals wrongly_rejected/ --out models/bracket-2

  flawscope update models/bracket --normals wrongly_rejected/ --groups 'lot_b_([0-9]+)_'

  flawscope update models/bracket --normals wrongly_rejected/ --gate GATE.yaml

  flawscope update models/efficient --normals wrongly_rejected/ --retrain

Pictures that calibrate the model may not teach it, and are left out by content. Calibration follows, since
every score changes: on the pictures that calibrated before, found in the folder that the model was trained
on, and on those of --calibration. A model that counts parts finds those of new pictures as it found those
of the old ones, unless --groups names them. Without --out the model changes in its place, with --gate only
if what it has become passes; `rollback` brings back what it was."""


def update(
    model: options.Model,
    normals: Annotated[
        list[str],
        typer.Option("--normals", help="Good pictures to teach: folder, file or pattern; may be repeated."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the new model; else MODEL itself changes.")
    ] = None,
    calibration: Annotated[
        list[str] | None,
        typer.Option("--calibration", help="Further good pictures to calibrate on; may be repeated."),
    ] = None,
    groups: options.Groups = None,
    growth: Annotated[
        str | None,
        typer.Option("--growth", help="Share of its limit by which a memory bank may grow; by default 25%."),
    ] = None,
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Train again on the old pictures and the new ones.")
    ] = False,
    device: options.DeviceOfRecipe = None,
    overwrite: options.Overwrite = False,
    gate: options.Gate = None,
    as_json: options.AsJson = False,
) -> None:
    """Teach a trained model good pictures that it rejects wrongly."""
    from flawscope.nn.run import GROWTH
    from flawscope.station.gate import read_gate
    from flawscope.training.update import update as run_update

    share = _growth(growth)
    with interruptible_run(quiet=as_json) as (_, watch):
        result = run_update(
            model,
            normals,
            out,
            calibration=calibration or (),
            groups=options.groups(groups),
            retrain=retrain,
            growth=GROWTH if share is None else share,
            device=device,
            watch=dataclasses.replace(watch, say=note),
            overwrite=overwrite,
            gate=None if gate is None else read_gate(gate),
        )
    _show(result, as_json=as_json)
    if result.gated is not None and not as_json:
        show_gated(result.gated, model)
    end_unless_passed(result.gated)


def _growth(text: str | None) -> float | None:
    """A share such as 50% or 0.5, at least 0; None where none was given."""
    from flawscope.errors import OptionError

    if text is None:
        return None
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1000:
        raise OptionError("--growth", expected="a share such as 50% or 0.5", got=repr(text), fix="Say 50%.")
    return share


def _show(result: UpdateResult, *, as_json: bool) -> None:
    manifest = result.bundle.manifest
    if as_json:
        print_json(
            {
                "model": result.bundle.folder,
                "taught": result.taught,
                "known": result.known,
                "calibrating": result.calibrating,
                "rejected": dict(zip(("before", "now"), result.rejected, strict=True)),
                "normal": dict(zip(("before", "now"), result.normal, strict=True)),
                "banks": {
                    name: dict(zip(("before", "now"), size, strict=True))
                    for name, size in result.banks.items()
                },
                "calibrated": result.calibrated,
                "missing": result.missing,
                "retrained": result.retrained,
                "unsigned": result.unsigned,
                "seconds": round(result.seconds, 1),
                **promised(manifest.calibration),
                **gated_json(result.gated),
            }
        )
        return
    say("\n".join(_lines(result)))
    if result.unsigned:
        note("The model is no longer signed: `flawscope export MODEL --out NEW --sign KEY` signs a copy.")


def _lines(result: UpdateResult) -> list[str]:
    """What changed, for people."""
    before, now = result.rejected
    way = "Trained again with" if result.retrained else "Taught"
    lines = [
        f"Model: {result.bundle.folder}",
        f"{way} {result.taught} good picture{'s' if result.taught != 1 else ''}: "
        f"it has learnt from {result.normal[1]}, before from {result.normal[0]}.",
    ]
    if result.known:
        lines.append(f"{result.known} were left out that it had learnt from, or that came twice.")
    if result.calibrating:
        lines.append(f"{result.calibrating} were left out that calibrate it: they may not teach.")
    lines += [f"Bank {name}: {size} members, before {old}." for name, (old, size) in result.banks.items()]
    lines.append(
        f"Of the taught pictures it rejected {before} and rejects {now} now. It knows them: inspect others "
        "like them to see what that gains."
    )
    if now and not result.retrained:
        lines.append("--growth 50% lets banks take in more of them; --retrain trains again with them.")
    told = f"Calibrated again on {result.calibrated} good pictures, in {result.seconds:.0f} s altogether."
    lines.append(told)
    if result.missing:
        pictures = "picture that" if result.missing == 1 else "pictures that"
        lines.append(
            f"{result.missing} {pictures} calibrated it before count no more. To add them again: flawscope "
            f"calibrate {typed(result.bundle.folder)} --normals FOLDER"
        )
    return [*lines, result.statement]
