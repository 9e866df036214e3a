"""`flawscope demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flawscope.cli.console import Bars, console, note, print_json, stop_on_interrupt
from flawscope.cli.evaluate_command import show_evaluation

EXAMPLES = """Examples:

  flawscope demo

  flawscope demo --product fastener_bag --out demo-bag"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo", epilog=EXAMPLES)(demo)


def demo(
    product: Annotated[
        str, typer.Option("--product", help="pin_tray, fastener_bag or connector_block.")
    ] = "pin_tray",
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to make.")] = Path("flawscope-demo"),
    size: Annotated[int, typer.Option("--size", help="Side of the pictures.", min=128, max=1024)] = 256,
    seed: Annotated[int, typer.Option("--seed", help="Source of all randomness.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Render a product, train on its good pictures, inspect flawed ones, and leave a report to look at."""
    from flawscope.data.layouts import read_dataset
    from flawscope.nn.run import Run
    from flawscope.report.build import evaluation_report
    from flawscope.runtime.inspector import Inspector
    from flawscope.station.evaluate import evaluate
    from flawscope.station.picture import MOST
    from flawscope.training.demo import NOTE, demo_model

    announce = (lambda text: None) if as_json else note
    bars = Bars(quiet=as_json)
    with stop_on_interrupt() as stop:
        run = Run(seed=seed, progress=bars, stop=stop)
        pictures, trained = demo_model(product, out, run, size=size, announce=announce)
    announce(trained.statement)
    announce("Inspecting the test pictures.")
    model, report = trained.bundle.folder, out / "report.html"
    dataset = read_dataset(pictures)
    inspector = Inspector.load(model)
    evaluation = evaluate(inspector, dataset, views=MOST, progress=bars)
    evaluation_report(inspector.bundle, evaluation, report, note=NOTE)
    if as_json:
        print_json(
            {
                "pictures": str(pictures),
                "model": str(model),
                "report": str(report),
                "evaluation": evaluation.to_json(),
            }
        )
        return
    show_evaluation(evaluation)
    console.print(f"Model:  {model}", markup=False)
    console.print(f"Report: {report}  (open it in a browser)", markup=False)
    test, results = pictures / "test", out / "results"
    console.print(f"Next:   flawscope inspect {model} {test} --out {results}", markup=False)
