"""`flawscope demo`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flawscope.cli import options
from flawscope.cli.console import print_json, say
from flawscope.cli.evaluate_command import show_evaluation
from flawscope.cli.signals import interruptible_run

if TYPE_CHECKING:
    from flawscope.nn.run import Run
    from flawscope.nn.watch import Watch
    from flawscope.training.train import TrainResult

TRAIN, VALIDATION, TEST_GOOD, PER_FLAW = 80, 40, 30, 5
NOTE = "These pictures are rendered: practice, not a product."
EXAMPLES = """Examples:

  flawscope demo

  flawscope demo --product fastener_bag --out demo-bag"""


def demo(
    product: Annotated[str, typer.Option("--product", help=options.RENDERED)] = "pin_tray",
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to make.")] = Path("flawscope-demo"),
    size: Annotated[int, typer.Option("--size", help="Side of the pictures.", min=128, max=1024)] = 256,
    seed: options.Seed = 0,
    as_json: options.AsJson = False,
) -> None:
    """Render a product, train on its good pictures, inspect flawed ones, and leave a report to look at."""
    from flawscope.data.layouts import read_dataset
    from flawscope.report.build import evaluation_report
    from flawscope.runtime.inspector import Inspector
    from flawscope.station.evaluate import evaluate
    from flawscope.station.picture import MOST

    with interruptible_run(seed=seed, quiet=as_json) as (run, watch):
        pictures, trained = _model(product, out, run, watch, size=size)
    watch.say(trained.statement)
    watch.say("Inspecting the test pictures.")
    model, report = trained.bundle.folder, out / "report.html"
    dataset = read_dataset(pictures)
    inspector = Inspector.load(model)
    evaluation = evaluate(inspector, dataset, views=MOST, progress=watch.progress)
    evaluation_report(inspector.bundle, evaluation, report, note=NOTE)
    if as_json:
        figures = evaluation.to_json()
        print_json({"pictures": pictures, "model": model, "report": report, "evaluation": figures})
        return
    show_evaluation(evaluation)
    say(f"Model:  {model}")
    say(f"Report: {report}  (open it in a browser)")
    test, results = pictures / "test", out / "results"
    say(f"Next:   flawscope inspect {model} {test} --out {results}")


def _model(product: str, out: Path, run: Run, watch: Watch, *, size: int) -> tuple[Path, TrainResult]:
    """Pictures of a product in `out/pictures`, in place of an earlier demo's, and a model in `out/model`."""
    from flawscope.products import write_loco
    from flawscope.products.renderer import product_named
    from flawscope.training.recipe import Recipe
    from flawscope.training.train import train

    product_named(product)
    earlier = out / "pictures" / product
    if (earlier / "truth.jsonl").is_file():
        shutil.rmtree(earlier)
    watch.say(f"Rendering {product}: {TRAIN + VALIDATION} good pictures to learn from, then a test set.")
    pictures = write_loco(
        out / "pictures",
        product,
        seed=run.seed,
        train=TRAIN,
        validation=VALIDATION,
        test_good=TEST_GOOD,
        per_flaw=PER_FLAW,
        size=size,
        progress=watch.progress,
    )
    recipe = Recipe.parse({"data": {"folder": str(pictures)}, "seed": run.seed})
    return pictures, train(recipe, out / "model", run, watch, overwrite=True)
