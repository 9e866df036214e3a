"""`flawscope evaluate`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flawscope.cli import options
from flawscope.cli.console import Bars, cell, console, note, print_json, say, table_of

if TYPE_CHECKING:
    from flawscope.station.evaluate import Evaluation

EXAMPLES = """Examples:

  flawscope evaluate models/screw mvtec/screw --out evaluation

  flawscope evaluate models/bracket labelled/ --json

  flawscope evaluate models/bag bags --annotations annotations

  flawscope evaluate models/bracket labelled/ --groups 'part([0-9]+)_'

Pictures that the model has seen in training or calibration are left out, by their content. Pixels of
components that --annotations mark as ignored count neither as good nor as defective. With groups, by
--groups or as the model has them, pictures of parts that it has seen are left out too, the share of parts
with a rejected picture is told, and intervals are of parts."""


def evaluate(
    model: options.Model,
    folder: Annotated[Path, typer.Argument(help="Data set with good and defective pictures.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for report.html, evaluation.json and pictures.csv."),
    ] = None,
    annotations: options.Annotations = None,
    groups: options.Groups = None,
    layout: options.Layout = None,
    product: options.Product = None,
    engine: options.Engine = "auto",
    threads: options.Threads = None,
    as_json: options.AsJson = False,
) -> None:
    """Measure a model on pictures with truth: AUROC, AU-PRO, false rejects, per defect kind."""
    from flawscope.data.annotations.attach import attach
    from flawscope.data.checks.kinds import told_of
    from flawscope.data.groups_as_before import group_as_before, tables_of
    from flawscope.data.layouts import read_dataset
    from flawscope.data.outputs import refuse_any
    from flawscope.files import writable_folder
    from flawscope.report.build import evaluation_files, evaluation_report
    from flawscope.runtime.inspector import Inspector
    from flawscope.station.evaluate import evaluate as run_evaluation
    from flawscope.station.picture import MOST
    from flawscope.training.embedding import scatters

    choice = options.groups(groups)
    written = () if out is None else evaluation_files(out / "report.html")
    refuse_any(written, filter(None, (annotations, *tables_of(choice, ""))))
    inspector = Inspector.load(model, engine=engine, threads=threads)
    grouped = inspector.bundle.manifest.calibration.grouped_by
    refuse_any(written, tables_of(choice, grouped))
    dataset = read_dataset(folder, layout=layout, product=product)
    dataset, told = group_as_before(dataset, grouped, choice)
    for line in (*told_of(dataset), *told):
        note(line)
    if annotations is not None:
        annotated = attach(dataset, annotations).require()
        dataset = annotated.dataset
        for line in annotated.left_out():
            note(line)
    bars = Bars(quiet=as_json)
    if out is not None:
        writable_folder(out)
    evaluation = run_evaluation(inspector, dataset, views=0 if out is None else MOST, progress=bars)
    if as_json:
        print_json(evaluation.to_json())
    else:
        show_evaluation(evaluation)
    if out is not None:  # last, so that a full disk costs no figure
        evaluation_report(inspector.bundle, evaluation, out / "report.html", embed=scatters)
        if not as_json:
            say(f"Report: {out / 'report.html'}")
    if len(evaluation.readable) < len(evaluation.records):
        raise typer.Exit(3)


def show_evaluation(evaluation: Evaluation) -> None:
    """Print the figures as tables."""
    for record in evaluation.records:
        if record.error is not None:
            note(f"unreadable: {record.error}")
    if evaluation.known:
        other = (
            ", or others of their part (--groups none, where numbers begin anew)" if evaluation.parts else ""
        )
        note(f"{evaluation.known} pictures left out, because the model has seen them{other}.")
    for reason in evaluation.misfits.values():
        note(f"left out of figures of place: {reason}")
    table = table_of("figure", "value", "95 % interval", title=cell(evaluation.dataset.name))
    for name, interval in evaluation.detection.items():
        ends = "" if math.isnan(interval.low) else f"{interval.low:.3f} – {interval.high:.3f}"
        table.add_row(name, f"{interval.value:.4f}", ends)
    for name, value in evaluation.localisation.items():
        table.add_row(name, f"{value:.4f}", "")
    if table.row_count:
        console.print(table)
    table = table_of("kind", "counts as", "pictures", "accept", "review", "reject", "AUROC")
    for kind, rates in evaluation.kinds.items():
        ranked = "" if rates.auroc is None else f"{rates.auroc:.3f}"
        shares = (f"{share:.1%}" for share in (rates.accept, rates.review, rates.reject))
        truth = "defective" if rates.defective else "good"
        table.add_row(cell(kind), truth, str(rates.pictures), *shares, ranked)
    console.print(table)
    for kind, parts in evaluation.parts.items():
        say(f"{kind}: {parts.reject:.1%} of {parts.parts} parts have a picture that is rejected.")
    for sentence in evaluation.untold:
        note(sentence)
