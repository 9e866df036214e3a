"""`flawscope distill`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flawscope.cli.console import Bars, console, print_json, stop_on_interrupt

if TYPE_CHECKING:
    from flawscope.nn.run import RunPrecision

EXAMPLES = """Examples:

  flawscope distill pictures/nature --out my_teacher.safetensors

  flawscope distill pictures/nature --out pdn_m.safetensors --student pdn_m --device cuda

  flawscope distill pictures/nature --out mine.safetensors --teacher resnet18 --features layers

  flawscope distill pictures/nature --evaluate pdn_s --teacher resnet18 --features layers"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("distill", epilog=EXAMPLES)(distill)


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
        str | None,
        typer.Option("--layers", help="Their layers: layer2,layer3; a slash between teachers."),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option("--features", help="patchcore (default): pooled and projected; layers: as they are."),
    ] = None,
    channels: Annotated[
        int | None, typer.Option("--channels", help="Features of a patch (default: 384, or the layers' sum).")
    ] = None,
    student: Annotated[
        str | None, typer.Option("--student", help="pdn_s (default), pdn_m, or any backbone that fits.")
    ] = None,
    student_layer: Annotated[
        str | None, typer.Option("--student-layer", help="Output layer of a backbone as student.")
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Training steps (default: 60000).")] = None,
    batch: Annotated[int | None, typer.Option("--batch", help="Pictures a step (default: 16).")] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", help="Adam's (default: 0.0001).")
    ] = None,
    weight_decay: Annotated[
        float | None, typer.Option("--weight-decay", help="Adam's (default: 0.00001).")
    ] = None,
    schedule: Annotated[
        str | None, typer.Option("--schedule", help="constant (default) or cosine learning rate.")
    ] = None,
    grey: Annotated[
        float | None, typer.Option("--grey", help="Probability of a grey picture (default: 0.1).")
    ] = None,
    crop: Annotated[
        float | None,
        typer.Option("--crop", help="Smallest side of random crops, as a share (default: 1, none)."),
    ] = None,
    flips: Annotated[bool, typer.Option("--flips", help="Mirror half of the pictures.")] = False,
    student_size: Annotated[
        int | None, typer.Option("--student-size", help="Side of the student's picture (default: 256).")
    ] = None,
    teacher_size: Annotated[
        str | None,
        typer.Option("--teacher-size", help="Of the teachers', or one each by commas (default: 512)."),
    ] = None,
    enlarge: Annotated[
        bool,
        typer.Option("--enlarge", help="Show the teachers the student's pixels enlarged, no finer ones."),
    ] = False,
    statistics: Annotated[
        int | None, typer.Option("--statistics", help="Pictures for mean and deviation (default: 10000).")
    ] = None,
    held_out: Annotated[
        float | None, typer.Option("--held-out", help="Share kept for measuring R² (default: 0.05).")
    ] = None,
    compiled: Annotated[bool, typer.Option("--compile", help="Compile the networks; for CUDA.")] = False,
    weights: Annotated[
        str | None, typer.Option("--weights", hidden=True, help="pretrained, or random for tests.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", help="With --evaluate: most pictures, drawn by the seed.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1 …")] = "cpu",
    precision: Annotated[
        str, typer.Option("--precision", help="auto, fp32 or bf16; auto: bf16 where the hardware has it.")
    ] = "auto",
    seed: Annotated[int, typer.Option("--seed", help="Source of all randomness.", min=0)] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file in --out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Distil pretrained networks into a small teacher network for EfficientAD, over any natural pictures."""
    from flawscope.distill.cards import NEXT
    from flawscope.distill.run import distill_teacher, evaluate_teacher, parse_options
    from flawscope.nn.run import Run

    given: dict[str, Any] = {
        "teacher": _listed(teacher),
        "layers": tuple(tuple(group.split(",")) for group in layers.split("/")) if layers else None,
        "features": features,
        "channels": channels,
        "student": student,
        "student_layer": student_layer,
        "steps": steps,
        "batch": batch,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "schedule": schedule,
        "grey": grey,
        "crop": crop,
        "flips": flips or None,
        "student_size": student_size,
        "teacher_size": _listed(teacher_size),
        "enlarge": enlarge or None,
        "statistics": statistics,
        "held_out": held_out,
        "compile": compiled or None,
        "weights": weights,
    }
    options = parse_options({name: value for name, value in given.items() if value is not None})
    _check(out, evaluate)
    with stop_on_interrupt() as stop:
        run = Run(
            seed=seed, device=device, precision=_precision(precision), progress=Bars(quiet=as_json), stop=stop
        )
        if out is None:
            figures = evaluate_teacher(str(evaluate), folder, options, run, limit=limit)
            _show(figures.r2, {"teacher": evaluate, "pictures": figures.pictures}, "r2", as_json=as_json)
            return
        made = distill_teacher(folder, out, options, run, overwrite=overwrite)
    about = {"weights": str(made.weights), "card": str(made.card), "pictures": made.counts}
    _show(made.r2, about | {"seconds": round(made.seconds, 3)}, "held_out_r2", as_json=as_json)
    if not as_json:
        console.print(f"Next: {NEXT.format(weights=made.weights)}", markup=False)


def _listed(text: str | None) -> tuple[str, ...] | None:
    return tuple(text.split(",")) if text else None


def _precision(text: str) -> RunPrecision:
    from flawscope.errors import OptionError

    if text not in ("auto", "fp32", "bf16"):
        raise OptionError("precision", expected="auto, fp32 or bf16", got=repr(text), fix="Leave it out.")
    return text  # type: ignore[return-value]


def _check(out: Path | None, evaluate: str | None) -> None:
    from flawscope.errors import OptionError

    if (out is None) == (evaluate is None):
        raise OptionError(
            "distill",
            expected="either --out or --evaluate",
            got="neither" if out is None else "both",
            fix="Run: flawscope distill FOLDER --out my_teacher.safetensors",
        )


def _show(r2: dict[str, float], about: dict[str, Any], name: str, *, as_json: bool) -> None:
    if as_json:
        print_json(about | {name: {layer: round(value, 6) for layer, value in r2.items()}})
        return
    for key, value in about.items():
        console.print(f"{key}: {value}", markup=False)
    figures = ", ".join(f"{layer} {value:.3f}" for layer, value in r2.items())
    console.print(f"R²: {figures or 'not measured, nothing was held out'}", markup=False)
