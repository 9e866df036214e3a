"""`flawscope demo`."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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
    from flawscope.products.scene import Product
    from flawscope.station.evaluate import Evaluation
    from flawscope.training.train import TrainResult

TRAIN, CALIBRATION, TEST_GOOD, PER_FLAW = 100, 299, 60, 8  # 299 promise 1 % with 95 % confidence
NOTE = "These pictures are rendered: practice, not a product."
LIMIT = (
    "What it cannot see: this model compares patches with those of good pictures, and counts nothing. It "
    "finds a part that is missing where it always is; of loose parts it finds hardly any flaw "
    "(--product fastener_bag)."
)
EXAMPLES = """Examples:

  flawscope demo

  flawscope demo --product fastener_bag --out demo-bag"""


@dataclass(slots=True)
class Rejected:
    """How many of some test pictures were rejected."""

    pictures: int = 0
    rejected: int = 0

    def __str__(self) -> str:
        return f"{self.rejected} of {self.pictures} ({self.rejected / self.pictures:.0%})"


def demo(
    product: Annotated[str, typer.Option("--product", help=options.RENDERED)] = "vent_cover",
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to make.")] = Path("flawscope-demo"),
    size: Annotated[int, typer.Option("--size", help="Side of the pictures.", min=128, max=1024)] = 384,
    seed: options.Seed = 0,
    as_json: options.AsJson = False,
) -> None:
    """Render a product, train on its good pictures, inspect flawed ones, and leave a report to look at."""
    from flawscope.data.layouts import read_dataset
    from flawscope.products.renderer import product_named
    from flawscope.report.build import evaluation_report
    from flawscope.runtime.inspector import Inspector
    from flawscope.station.evaluate import evaluate
    from flawscope.station.picture import MOST

    rendered = product_named(product)
    with interruptible_run(seed=seed, quiet=as_json) as (run, watch):
        pictures, trained = _model(product, out, run, watch, size=size)
    watch.say(trained.statement)
    watch.say("Inspecting the test pictures.")
    model, report = trained.bundle.folder, out / "report.html"
    inspector = Inspector.load(model)
    evaluation = evaluate(inspector, read_dataset(pictures), views=MOST, progress=watch.progress)
    evaluation_report(inspector.bundle, evaluation, report, note=NOTE)
    counts = _counts(rendered, pictures, evaluation)
    if as_json:
        made = {"pictures": pictures, "model": model, "report": report}
        told = {"rejected": counts, "cannot_see": LIMIT, "evaluation": evaluation.to_json()}
        print_json(made | told)
        return
    show_evaluation(evaluation)
    for sentence in _summary(rendered, counts):
        say(sentence)
    say(f"Model:  {model}")
    say(f"Report: {report}  (open it in a browser)")
    test, results = pictures / "test", out / "results"
    say(f"Next:   flawscope inspect {model} {test} --out {results}")


def _model(product: str, out: Path, run: Run, watch: Watch, *, size: int) -> tuple[Path, TrainResult]:
    """Pictures of a product in `out/pictures`, in place of an earlier demo's, and a model in `out/model`."""
    from flawscope.products import write_loco
    from flawscope.training.recipe import Recipe
    from flawscope.training.train import train

    earlier = out / "pictures" / product
    if (earlier / "truth.jsonl").is_file():
        shutil.rmtree(earlier)
    watch.say(
        f"Rendering {product}: {TRAIN} good pictures to learn from, {CALIBRATION} to calibrate on, then a "
        "test set."
    )
    pictures = write_loco(
        out / "pictures",
        product,
        seed=run.seed,
        train=TRAIN,
        validation=CALIBRATION,
        test_good=TEST_GOOD,
        per_flaw=PER_FLAW,
        size=size,
        progress=watch.progress,
    )
    recipe = Recipe.parse({"data": {"folder": str(pictures)}, "seed": run.seed})
    return pictures, train(recipe, out / "model", run, watch, overwrite=True)


def _counts(product: Product, pictures: Path, evaluation: Evaluation) -> dict[str, Rejected]:
    """Rejected test pictures: good ones (`good`), by kind of flaw (`structural`, `logical`), by flaw."""
    lines = (pictures / "truth.jsonl").read_text(encoding="utf-8").splitlines()
    flaws = {pictures / truth["path"]: truth["flaw"] for truth in map(json.loads, lines)}
    counts: dict[str, Rejected] = defaultdict(Rejected)
    for record in evaluation.readable:
        flaw = flaws[Path(record.path)]
        for name in ("good",) if flaw is None else (product.flaws[flaw], flaw):
            counts[name].pictures += 1
            counts[name].rejected += record.decision == "reject"
    return dict(counts)


def _summary(product: Product, counts: Mapping[str, Rejected]) -> Iterator[str]:
    """What the demo shows, in sentences."""
    yield f"Structural flaws rejected: {counts['structural']}."
    yield f"Good pictures rejected: {counts['good']}."
    if "logical" in counts:
        yield f"Missing, extra or misplaced parts rejected: {counts['logical']}."
    missed = [
        f"{flaw} {counts[flaw]}" for flaw in product.flaws if counts[flaw].rejected < counts[flaw].pictures
    ]
    if missed:
        yield f"Not always rejected: {', '.join(missed)}."
    yield LIMIT
