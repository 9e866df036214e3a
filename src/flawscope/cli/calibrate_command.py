"""`flawscope calibrate`."""

from __future__ import annotations

from typing import Annotated

import typer

from flawscope.cli import options
from flawscope.cli.comparisons import end_unless_passed, gated_json, show_gated
from flawscope.cli.console import Bars, note, print_json, promised, say

EXAMPLES = """Examples:

  flawscope calibrate models/bracket --false-rejects 0.5% --confidence 95%

  flawscope calibrate models/bracket --normals new_good_pictures/

  flawscope calibrate models/bracket --normals new_good_pictures/ --groups 'part([0-9]+)_'

  flawscope calibrate models/bracket --local-weight 0.7 --normals good_pictures/

  flawscope calibrate station/bracket --engine auto --normals good_pictures/

  flawscope calibrate models/bracket --normals new_good_pictures/ --gate GATE.yaml

Changing the rate re-reads the stored scores. Turning a knob or taking another engine changes the scores:
those of --normals replace them. So they do where --groups says which show one part and nobody has said so
before; such pictures count once. Nothing is trained or exported again. The model before is kept: `rollback`
returns to it. With --gate the change takes place only if it passes. A signature ends with any of it:
`export --sign` makes a signed copy."""


def calibrate(
    model: options.Model,
    false_rejects: options.FalseRejectsOfModel = None,
    confidence: options.ConfidenceOfModel = None,
    promise: Annotated[str | None, typer.Option("--promise", help="with_confidence or on_average.")] = None,
    normals: Annotated[
        list[str] | None,
        typer.Option("--normals", help="Good pictures to add: folder, file or pattern; may be repeated."),
    ] = None,
    groups: options.Groups = None,
    judge: options.Judge = None,
    local_weight: Annotated[
        float | None,
        typer.Option("--local-weight", help="Share of the local map, for models with this knob."),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Turn a knob of the model: NAME=VALUE; may be repeated.")
    ] = None,
    engine: options.EngineOfModel = None,
    engine_precision: options.EnginePrecision = None,
    gate: options.Gate = None,
    as_json: options.AsJson = False,
) -> None:
    """Change the bound on false rejects of a trained model, strengthen it, turn its knobs, or its engine."""
    from flawscope.runtime.engine_table import lines
    from flawscope.runtime.engines import candidates
    from flawscope.runtime.false_rejects import check_promise
    from flawscope.station.calibrate import calibrate as run_calibration
    from flawscope.station.gate import read_gate
    from flawscope.station.sources import collect_good

    if promise is not None:
        check_promise(promise)
    scalars = _knobs(settings or [], local_weight)
    sure = options.rate(confidence, "--confidence")
    asked = engine is not None or engine_precision is not None
    engines = candidates(engine or "auto", engine_precision or "auto") if asked else ()  # type: ignore[arg-type]
    result = run_calibration(
        model,
        alpha=options.rate(false_rejects, "--false-rejects"),
        delta=None if sure is None else 1 - sure,
        promise=promise,  # type: ignore[arg-type]
        normals=collect_good(normals, tell=note) if normals else (),
        groups=options.groups(groups),
        judge=options.judge(judge),
        scalars=scalars,
        engines=engines,
        gate=None if gate is None else read_gate(gate),
        progress=Bars(quiet=as_json),
    )
    manifest = result.bundle.manifest
    calibration = manifest.calibration
    if as_json:
        print_json(
            {
                "model": model,
                "added": result.added,
                "known": result.known,
                "replaced": result.replaced,
                "unsigned": result.unsigned,
                **({"told": result.told} if result.told else {}),
                **({"not_kept": result.unkept} if result.unkept else {}),
                "scalars": manifest.scalar_values(),
                "scores": len(calibration.scores),
                **({"parts": calibration.count} if calibration.groups else {}),
                **promised(calibration),
                "engines": manifest.engines(),
                **gated_json(result.gated),
            }
        )
        end_unless_passed(result.gated)
        return
    for line in result.told:
        note(line)
    if normals:
        parts = ", or others of their part," if calibration.groups else ""
        known = f" {result.known} were known to the model{parts} and left out." if result.known else ""
        values = ", ".join(f"{name} {manifest.scalar_values()[name]:g}" for name in scalars)
        given = f" with {values}" if scalars else f" in {manifest.engine} {manifest.precision}"
        scored = f"scored{given}, in place of {result.replaced} scores" if result.replaced else "added"
        say(f"{result.added} good pictures {scored}.{known}")
    say(calibration.statement())
    if engines:
        say("\n".join(lines(manifest.engines(), of=manifest.timed)))
    if result.unkept:
        note(f"The model before was not kept, so no rollback returns to it: {result.unkept}")
    if result.gated is not None:
        show_gated(result.gated, model)
        end_unless_passed(result.gated)
    if result.unsigned:
        note("The model is no longer signed: `flawscope export MODEL --out NEW --sign KEY` signs a copy.")


def _knobs(settings: list[str], local_weight: float | None) -> dict[str, float]:
    """Values by name; each knob at most once."""
    from flawscope.errors import OptionError

    values = {} if local_weight is None else {"local_weight": local_weight}
    for setting in settings:
        name, _, text = setting.partition("=")
        try:
            value = float(text)
        except ValueError:
            value = None
        if value is None or not name or name in values:
            raise OptionError(
                f"--set {setting!r}",
                expected="NAME=VALUE such as local_weight=0.7, each name once",
                got="a name that has a value already" if name in values else "no name or no number",
                fix="Write the knob's name, an equals sign and a number.",
            )
        values[name] = value
    return values
