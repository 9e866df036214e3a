"""`flawscope distill`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from flawscope.cli import options
from flawscope.cli.console import print_json, say
from flawscope.cli.signals import interruptible_run
from flawscope.files import typed

EXAMPLES = """Examples:

  flawscope distill pictures/nature --out my_teacher.safetensors

  flawscope distill pictures/nature --out pdn_m.safetensors --student pdn_m --device cuda

  flawscope distill pictures/nature --out mine.safetensors --teacher resnet18 --set crop=0.5 --set flips=true

  flawscope distill pictures/nature --evaluate pdn_s --teacher resnet18 --features layers

Keys of --set: channels, student_layer, student_size, teacher_size, enlarge, crop, flips, grey, batch,
learning_rate, weight_decay, schedule, statistics, held_out, compile, weights; docs/teachers.md tells each."""


def distill(
    folder: Annotated[Path, typer.Argument(help="Folder of natural pictures; folders in it are read, too.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Weights file to make, .safetensors; a card lies beside."),
    ] = None,
    evaluate: Annotated[
        str | None,
        typer.Option(
            "--evaluate", help="Make nothing; measure this teacher (a name or file) on the pictures."
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option("--teacher", help="Networks to imitate, joined by commas (default: wide_resnet101_2)."),
    ] = None,
    layers: Annotated[
        str | None, typer.Option("--layers", help="Their layers: layer2,layer3; a slash between teachers.")
    ] = None,
    features: Annotated[
        str | None,
        typer.Option("--features", help="patchcore (default): pooled and projected; layers: as they are."),
    ] = None,
    student: Annotated[
        str | None, typer.Option("--student", help="pdn_s (default), pdn_m, or any backbone that fits.")
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Training steps (default: 60000).")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Set any other option: KEY=VALUE, see below; may be repeated."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", help="With --evaluate: most pictures, drawn by the seed.")
    ] = None,
    device: options.Device = "cpu",
    precision: options.PrecisionName = "auto",
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
) -> None:
    """Distil pretrained networks into a small teacher network for EfficientAD, over any natural pictures."""
    from flawscope.distill.cards import NEXT
    from flawscope.distill.run import distill_teacher, evaluate_teacher, parse_options
    from flawscope.errors import OptionError
    from flawscope.training.settings import settled

    named = {"teacher": teacher, "layers": layers, "features": features, "student": student, "steps": steps}
    wishes = parse_options(settled({}, named, settings or []))
    if (out is None) == (evaluate is None):
        got = "neither" if out is None else "both"
        fix = "Run: flawscope distill FOLDER --out my_teacher.safetensors"
        raise OptionError("distill", expected="either --out or --evaluate", got=got, fix=fix)
    number_format = options.precision(precision)
    with interruptible_run(seed=seed, device=device, precision=number_format, quiet=as_json) as (run, watch):
        if out is None:
            figures = evaluate_teacher(str(evaluate), folder, wishes, run, watch, limit=limit)
            _show(figures.r2, {"teacher": evaluate, "pictures": figures.pictures}, "r2", as_json=as_json)
            return
        result = distill_teacher(folder, out, wishes, run, watch, overwrite=overwrite)
    about = {"weights": result.weights, "card": result.card, "pictures": result.counts}
    _show(result.r2, about | {"seconds": round(result.seconds, 3)}, "held_out_r2", as_json=as_json)
    if not as_json:
        say(f"Next: {NEXT.format(weights=typed(result.weights))}")


def _show(r2: dict[str, float], about: dict[str, Any], name: str, *, as_json: bool) -> None:
    if as_json:
        print_json(about | {name: {layer: round(value, 6) for layer, value in r2.items()}})
        return
    for key, value in about.items():
        say(f"{key}: {value}")
    figures = ", ".join(f"{layer} {value:.3f}" for layer, value in r2.items())
    say(f"R²: {figures or 'not measured, nothing was held out'}")
