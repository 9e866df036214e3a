"""`flawscope train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flawscope.cli.console import Bars, console, note, print_json, stop_on_interrupt

if TYPE_CHECKING:
    from flawscope.training.recipe import Recipe
    from flawscope.training.train import TrainResult

EXAMPLES = """Examples:

  flawscope train pictures/good

  flawscope train pictures/good --out models/bracket --false-rejects 0.5%

  flawscope train mvtec/screw --method padim --set options.backbone=resnet18

  flawscope train pictures/good --method segad --defects pictures/defects

  flawscope train --recipe models/bracket/recipe.yaml --out models/bracket-2 --set seed=1"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train", epilog=EXAMPLES)(train)


def train(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of good pictures, or a data set in a known layout.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Model folder to make (default: models/NAME).")
    ] = None,
    method: Annotated[
        str | None, typer.Option("--method", "-m", help="A name from `flawscope methods`.")
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option("--recipe", "-r", help="YAML recipe; the options here override it.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Set one recipe key: KEY=VALUE; may be repeated.")
    ] = None,
    layout: Annotated[
        str | None, typer.Option("--layout", help="Layout name; recognised by looking otherwise.")
    ] = None,
    product: Annotated[
        str | None, typer.Option("--product", help="Product, where there are several.")
    ] = None,
    defects: Annotated[
        Path | None,
        typer.Option("--defects", help="Folder of defective pictures, for methods that learn from some."),
    ] = None,
    natural: Annotated[
        Path | None,
        typer.Option("--natural", help="Folder of natural pictures, for methods that learn from some."),
    ] = None,
    false_rejects: Annotated[
        str | None,
        typer.Option("--false-rejects", help="Share of good pictures that may be rejected, e.g. 1%."),
    ] = None,
    confidence: Annotated[
        str | None, typer.Option("--confidence", help="How sure the promise is, e.g. 95%.")
    ] = None,
    engine: Annotated[
        str | None, typer.Option("--engine", help="What will run the model: onnxruntime or openvino.")
    ] = None,
    engine_precision: Annotated[
        str | None, typer.Option("--engine-precision", help="Its number format: fp32 or bf16.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Source of all randomness.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="cpu, cuda, cuda:1 …")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the model in --out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Learn from good pictures; makes a model folder that inspects anywhere, without GPU or network."""
    from flawscope.nn.run import Run
    from flawscope.training.train import train as run_training

    resolved = _recipe(
        recipe,
        settings or [],
        {
            "data.folder": str(folder) if folder else None,
            "data.layout": layout,
            "data.product": product,
            "data.defects": str(defects) if defects else None,
            "data.natural": str(natural) if natural else None,
            "method": method,
            "calibration.false_rejects": _rate(false_rejects),
            "calibration.confidence": _rate(confidence),
            "engine.name": engine,
            "engine.precision": engine_precision,
            "seed": seed,
            "device": device,
        },
    )
    target = out or Path("models") / (resolved.data.product or resolved.data.folder.resolve().name)
    with stop_on_interrupt() as stop:
        run = Run(
            seed=resolved.seed,
            device=resolved.device,
            precision=resolved.precision,
            progress=Bars(quiet=as_json),
            stop=stop,
        )
        result = run_training(
            resolved, target, run, overwrite=overwrite, announce=_quiet if as_json else note
        )
    _show(result, as_json=as_json)


def _quiet(text: str) -> None:
    del text


def _rate(text: str | None) -> float | None:
    from flawscope.runtime.calibration import parse_rate

    return None if text is None else parse_rate(text)


def _recipe(path: Path | None, settings: list[str], named: dict[str, Any]) -> Recipe:
    from flawscope.errors import OptionError
    from flawscope.training.recipe import Recipe
    from flawscope.training.settings import read_recipe, settled

    values = settled(read_recipe(path) if path else {}, named, settings)
    if not values.get("data") or (isinstance(values["data"], dict) and not values["data"].get("folder")):
        raise OptionError(
            "train",
            expected="a folder of good pictures, or a recipe that names one",
            got="neither",
            fix="Run: flawscope train FOLDER",
        )
    return Recipe.parse(values)


def _show(result: TrainResult, *, as_json: bool) -> None:
    manifest = result.bundle.manifest
    calibration = manifest.calibration
    if as_json:
        print_json(
            {
                "model": str(result.bundle.folder),
                "method": manifest.method,
                "pictures": result.counts,
                "seconds": {name: round(value, 3) for name, value in result.seconds.items()},
                "reject_threshold": calibration.reject_threshold,
                "review_threshold": calibration.review_threshold,
                "promise": result.statement,
                "parity": [figures.model_dump(mode="json") for figures in manifest.parity],
            }
        )
        return
    counts = ", ".join(f"{count} {role.replace('_', ' ')}" for role, count in result.counts.items() if count)
    console.print(f"Model: {result.bundle.folder}", markup=False)
    console.print(f"Pictures: {counts}; {result.seconds['total']:.1f} s in all.", markup=False)
    console.print(result.statement, markup=False)
    console.print(f"Next: flawscope inspect {result.bundle.folder} PICTURES --out results", markup=False)
