"""`flawscope calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flawscope.cli.console import Bars, console, print_json

EXAMPLES = """Examples:

  flawscope calibrate models/bracket --false-rejects 0.5% --confidence 95%

  flawscope calibrate models/bracket --normals new_good_pictures/

Changing the rate re-reads the stored scores; it neither retrains nor re-exports."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("calibrate", epilog=EXAMPLES)(calibrate)


def calibrate(
    model: Annotated[Path, typer.Argument(help="Model folder.")],
    false_rejects: Annotated[
        str | None,
        typer.Option("--false-rejects", help="Share of good pictures that may be rejected, e.g. 0.5%."),
    ] = None,
    confidence: Annotated[
        str | None, typer.Option("--confidence", help="How sure the promise is, e.g. 95%.")
    ] = None,
    promise: Annotated[str | None, typer.Option("--promise", help="with_confidence or on_average.")] = None,
    normals: Annotated[
        list[str] | None,
        typer.Option("--normals", help="Good pictures to add: folder, file or pattern; may be repeated."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Change the bound on false rejects of a trained model, or strengthen it with more good pictures."""
    from flawscope.calibration import parse_rate
    from flawscope.false_rejects import check_promise
    from flawscope.workflow.calibrate import calibrate as run_calibration
    from flawscope.workflow.sources import collect

    if promise is not None:
        check_promise(promise)
    result = run_calibration(
        model,
        alpha=None if false_rejects is None else parse_rate(false_rejects),
        delta=None if confidence is None else 1 - parse_rate(confidence),
        promise=promise,  # type: ignore[arg-type]
        normals=collect(normals) if normals else (),
        progress=Bars(quiet=as_json),
    )
    calibration = result.bundle.manifest.calibration
    if as_json:
        print_json(
            {
                "model": str(model),
                "added": result.added,
                "known": result.known,
                "scores": len(calibration.scores),
                "reject_threshold": calibration.reject_threshold,
                "review_threshold": calibration.review_threshold,
                "promise": calibration.statement(),
            }
        )
        return
    if normals:
        known = f" {result.known} were known to the model and left out." if result.known else ""
        console.print(f"{result.added} good pictures added.{known}", markup=False)
    console.print(calibration.statement(), markup=False)
