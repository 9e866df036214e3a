"""`flawscope train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flawscope.cli import options
from flawscope.cli.console import print_json, promised, say
from flawscope.cli.signals import interruptible_run
from flawscope.files import typed

if TYPE_CHECKING:
    from flawscope.training.recipe import Recipe
    from flawscope.training.train import TrainResult

EXAMPLES = """Examples:

  flawscope train pictures/good

  flawscope train pictures/good --out models/bracket --false-rejects 0.5%

  flawscope train mvtec/screw --method padim --set options.backbone=resnet18

  flawscope train pictures/good --method segad --defects pictures/defects

  flawscope train bags --method csad --annotations annotations

  flawscope train bags --method committee --budget 20ms

  flawscope train large/good --tiling none

  flawscope train pictures/good --groups 'part([0-9]+)_' --judge part

  flawscope train --recipe models/bracket/recipe.yaml --out models/bracket-2 --set seed=1"""


def train(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of good pictures, or a data set in a known layout.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Model folder to make (default: models/NAME).")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            "-m",
            help="A name from `flawscope methods` (default: joined_banks, in a committee with csad where "
            "parts recur).",
        ),
    ] = None,
    recipe: options.Recipe = None,
    settings: options.Settings = None,
    layout: options.Layout = None,
    product: options.Product = None,
    defects: Annotated[
        Path | None,
        typer.Option("--defects", help="Folder of defective pictures, for methods that learn from some."),
    ] = None,
    annotations: options.Annotations = None,
    natural: Annotated[
        Path | None,
        typer.Option("--natural", help="Folder of natural pictures, for methods that learn from some."),
    ] = None,
    groups: options.Groups = None,
    judge: options.Judge = None,
    tiling: options.Tiling = None,
    false_rejects: Annotated[
        str | None,
        typer.Option("--false-rejects", help="Share of good pictures that may be rejected (default: 1%)."),
    ] = None,
    confidence: Annotated[
        str | None, typer.Option("--confidence", help="How sure that promise is (default: 95%).")
    ] = None,
    engine: options.EngineOfModel = None,
    engine_precision: options.EnginePrecision = None,
    budget: Annotated[
        str | None,
        typer.Option(
            "--budget", help="Most time a picture may take, e.g. 20ms; a committee leaves members out for it."
        ),
    ] = None,
    seed: options.SeedOfRecipe = None,
    device: options.DeviceOfRecipe = None,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
) -> None:
    """Learn from good pictures; makes a model folder that inspects anywhere, without GPU or network."""
    from flawscope.training.train import train as run_training

    resolved = _recipe(
        recipe,
        settings or [],
        {
            "data.folder": str(folder) if folder else None,
            "data.layout": layout,
            "data.product": product,
            "data.defects": str(defects) if defects else None,
            "data.annotations": str(annotations) if annotations else None,
            "data.natural": str(natural) if natural else None,
            "data.groups": groups,
            "method": method,
            "tiling": options.tiling(tiling),
            "calibration.false_rejects": options.rate(false_rejects, "--false-rejects"),
            "calibration.confidence": options.rate(confidence, "--confidence"),
            "calibration.judge": options.judge(judge),
            "engine.name": engine,
            "engine.precision": engine_precision,
            "options.budget": options.milliseconds(budget),
            "seed": seed,
            "device": device,
        },
    )
    target = out or Path("models") / (resolved.data.product or resolved.data.folder.resolve().name)
    with interruptible_run(
        seed=resolved.seed, device=resolved.device, precision=resolved.precision, quiet=as_json
    ) as (run, watch):
        result = run_training(resolved, target, run, watch, overwrite=overwrite)
    _show(result, as_json=as_json)


def _recipe(path: Path | None, settings: list[str], named: dict[str, Any]) -> Recipe:
    from flawscope.errors import OptionError
    from flawscope.training.recipe import Recipe
    from flawscope.training.settings import read_recipe, settled

    values = settled(read_recipe(path) if path else {}, named, settings)
    data = values.get("data")
    if not data or (isinstance(data, dict) and data.get("folder") in (None, "")):
        raise OptionError(
            "train",
            expected="a folder of good pictures, or a recipe that names one",
            got="neither",
            fix="Run: flawscope train FOLDER",
        )
    return Recipe.parse(values)


def _show(result: TrainResult, *, as_json: bool) -> None:
    from flawscope.runtime import engine_table

    manifest = result.bundle.manifest
    if as_json:
        print_json(
            {
                "model": result.bundle.folder,
                "method": manifest.method,
                "pictures": result.counts,
                "tiling": result.proposal.to_json(),
                "how_seen": result.proposal.sentence or None,
                "seconds": {name: round(value, 3) for name, value in result.seconds.items()},
                **promised(manifest.calibration),
                "engines": manifest.engines(),
            }
        )
        return
    counts = ", ".join(f"{count} {role.replace('_', ' ')}" for role, count in result.counts.items() if count)
    say(f"Model: {result.bundle.folder}")
    say(f"Pictures: {counts}; {result.seconds['total']:.1f} s in all.")
    say(result.statement)
    say("\n".join(engine_table.lines(manifest.engines(), of=manifest.timed)))
    say(f"Next: flawscope inspect {typed(result.bundle.folder)} PICTURES --out results")
