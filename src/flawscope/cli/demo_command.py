"""`flawscope demo`."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flawscope.cli import options
from flawscope.cli.console import print_json, say
from flawscope.cli.evaluate_command import show_evaluation
from flawscope.cli.signals import interruptible_run
from flawscope.errors import FlawscopeError, OptionError
from flawscope.files import typed

if TYPE_CHECKING:
    from flawscope.nn.run import Run
    from flawscope.nn.watch import Watch
    from flawscope.products.scene import Product
    from flawscope.station.evaluate import Evaluation
    from flawscope.training.train import TrainResult

Truths = Mapping[Path, Mapping[str, Any]]
TRAIN, CALIBRATION, TEST_GOOD, PER_FLAW = 100, 299, 60, 8  # 299 promise 1 % with 95 % confidence
NOTE = "These pictures are rendered: practice, not a product."
LIMIT = (
    "What it cannot see: this model compares patches with those of good pictures, and counts nothing. It "
    "finds a part that is missing where it always is; of loose parts it finds hardly any flaw "
    "(--product fastener_bag)."
)
LOGICAL_LIMIT = (
    "What it cannot see: components are told by their look, their size and their colour. Of what is no class "
    "of its own in the contact sheet it counts nothing."
)
EXAMPLES = """Examples:

  flawscope demo

  flawscope demo --logical

  flawscope demo --product fastener_bag --out demo-bag"""


@dataclass(slots=True)
class Rejected:
    """How many of some test pictures were rejected."""

    pictures: int = 0
    rejected: int = 0

    def __str__(self) -> str:
        return f"{self.rejected} of {self.pictures} ({self.rejected / self.pictures:.0%})"


def demo(
    product: Annotated[
        str | None,
        typer.Option("--product", help=f"{options.RENDERED} Default: vent_cover, with --logical pin_tray."),
    ] = None,
    logical: Annotated[
        bool,
        typer.Option(
            "--logical",
            help="Train csad, which finds components, and show what it says of missing, extra, swapped ones.",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder to make. Default: flawscope-demo, with --logical flawscope-demo-logical.",
        ),
    ] = None,
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

    rendered = product_named(product or ("pin_tray" if logical else "vent_cover"))
    out = out or Path("flawscope-demo-logical" if logical else "flawscope-demo")
    if logical:
        _require_logical(rendered)
    _require_own(out / "model")
    with interruptible_run(seed=seed, quiet=as_json) as (run, watch):
        pictures, trained = _model(rendered.name, out, run, watch, size=size, logical=logical)
    watch.say(trained.statement)
    watch.say("Inspecting the test pictures.")
    model, report = trained.bundle.folder, out / "report.html"
    inspector = Inspector.load(model)
    evaluation = evaluate(inspector, read_dataset(pictures), views=MOST, progress=watch.progress)
    evaluation_report(inspector.bundle, evaluation, report, note=NOTE)
    truths, limit = _truths(pictures), LOGICAL_LIMIT if logical else LIMIT
    counts = _counts(rendered, truths, evaluation)
    said = _said(rendered, truths, evaluation) if logical else []
    if as_json:
        made = {"pictures": pictures, "model": model, "report": report}
        told = {"rejected": counts, "cannot_see": limit, "evaluation": evaluation.to_json()}
        print_json(made | told | ({"says": said} if logical else {}))
        return
    show_evaluation(evaluation)
    for sentence in (*_sayings(said), *_summary(rendered, counts, limit)):
        say(sentence)
    say(f"Model:  {model}")
    say(f"Report: {report}  (open it in a browser)")
    test, results = pictures / "test", out / "results"
    say(f"Next:   flawscope inspect {typed(model)} {typed(test)} --out {typed(results)}")


def _require_logical(product: Product) -> None:
    if "logical" not in product.flaws.values():
        raise OptionError(
            "--product",
            expected="a product with parts that can be missing, for --logical",
            got=product.name,
            fix="Leave --product out for pin_tray.",
        )


def _require_own(model: Path) -> None:
    """Refuse to put the demo's model in the place of one that no demo has made."""
    from flawscope.products import PRODUCTS
    from flawscope.runtime.bundle import refuse_existing
    from flawscope.runtime.places import RECIPE
    from flawscope.training.settings import read_recipe

    with contextlib.suppress(FlawscopeError, KeyError, TypeError):
        learnt = Path(read_recipe(model / RECIPE)["data"]["folder"])
        if learnt.parent.name == "pictures" and learnt.name in PRODUCTS:
            return
    try:
        refuse_existing(model, overwrite=False)
    except OptionError as error:
        fix = "Choose another --out."
        raise OptionError(error.what, expected=error.expected, got=error.got, fix=fix) from None


def _model(
    product: str, out: Path, run: Run, watch: Watch, *, size: int, logical: bool
) -> tuple[Path, TrainResult]:
    """Pictures of a product in `out/pictures`, in place of an earlier demo's, and a model in `out/model`."""
    from flawscope.products import write_loco
    from flawscope.training import logical_demo
    from flawscope.training.product import WITHOUT_COMPONENTS
    from flawscope.training.recipe import Recipe
    from flawscope.training.train import train

    labels, earlier = out / "labels" / product, out / "pictures" / product
    if (earlier / "truth.jsonl").is_file():
        if logical:
            logical_demo.forget(labels, earlier)
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
    values: dict[str, Any] = {"data": {"folder": str(pictures)}, "seed": run.seed}
    values |= logical_demo.learnt_from(labels, pictures, run, watch) if logical else WITHOUT_COMPONENTS
    return pictures, train(Recipe.parse(values), out / "model", run, watch, overwrite=True)


def _truths(pictures: Path) -> Truths:
    """What is true of each test picture: `flaw`, None where it is good, and `truth`, a sentence."""
    lines = (pictures / "truth.jsonl").read_text(encoding="utf-8").splitlines()
    return {pictures / truth["path"]: truth for truth in map(json.loads, lines)}


def _counts(product: Product, truths: Truths, evaluation: Evaluation) -> dict[str, Rejected]:
    """Rejected test pictures: good ones (`good`), by kind of flaw (`structural`, `logical`), by flaw."""
    counts: dict[str, Rejected] = defaultdict(Rejected)
    for record in evaluation.readable:
        flaw = truths[Path(record.path)]["flaw"]
        for name in ("good",) if flaw is None else (product.flaws[flaw], flaw):
            counts[name].pictures += 1
            counts[name].rejected += record.decision == "reject"
    return dict(counts)


def _said(product: Product, truths: Truths, evaluation: Evaluation) -> list[dict[str, str]]:
    """For each logical flaw the first rejected picture: what is wrong with it, and its first finding."""
    said: dict[str, dict[str, str]] = {}
    for record in evaluation.readable:
        flaw, truth = (truths[Path(record.path)][key] for key in ("flaw", "truth"))
        if product.flaws.get(flaw) == "logical" and record.decision == "reject" and record.findings:
            said.setdefault(flaw, {"flaw": flaw, "truth": truth, "says": record.findings[0].text})
    return list(said.values())


def _sayings(said: Sequence[Mapping[str, str]]) -> Iterator[str]:
    if said:
        yield "What it says of the first flaw of each kind that it rejects:"
    for one in said:
        yield f"  {one['truth']}"
        yield f"    says: {one['says']}"


def _summary(product: Product, counts: Mapping[str, Rejected], limit: str) -> Iterator[str]:
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
    yield limit
