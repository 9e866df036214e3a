"""`flawscope annotate`: draft annotations of components, and check them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flawscope.cli import options
from flawscope.cli.console import Bars, cell, console, note, print_json, say, table_of
from flawscope.cli.issues import show_issues, summary
from flawscope.cli.signals import interruptible_run
from flawscope.files import typed

if TYPE_CHECKING:
    from flawscope.data.annotations.check import Checked

INIT_EXAMPLES = """Examples:

  flawscope annotate init bags --out annotations

  flawscope annotate init bags --out annotations --count 20 --size 512x512

  flawscope annotate init spindles --out annotations --by clusters --segments 4

  flawscope annotate init bags --out annotations --proposer sam --set proposer.model=models/sam_hq

Correct the drafts in LabelMe and run it again for more: what somebody has changed stays as it is."""
CHECK_EXAMPLES = """Examples:

  flawscope annotate check annotations --pictures bags

  flawscope annotate check coco.json --pictures bags --out overlays --json

Exit code 3 where an annotation cannot be used."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Draft and check annotations of a product's components.")
    group.command("init", epilog=INIT_EXAMPLES)(init)
    group.command("check", epilog=CHECK_EXAMPLES)(check)
    app.add_typer(group, name="annotate")


def init(
    pictures: options.Pictures,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for LabelMe files and copies of their pictures.")
    ],
    count: Annotated[int, typer.Option("--count", help="Pictures, those that differ most.", min=1)] = 10,
    by: Annotated[
        str,
        typer.Option(
            "--by",
            help="components that stand out; clusters of features, which cover the picture; auto: the first, "
            "or else the second.",
        ),
    ] = "auto",
    segments: Annotated[
        int | None,
        typer.Option("--segments", help="How many clusters (default: 2 to 8, as the features fall).", min=2),
    ] = None,
    proposer: options.ProposerName = None,
    preset: Annotated[
        str, typer.Option("--preset", help="How masks become components: fast, paper, paper_screw_bag …")
    ] = "fast",
    settings: options.ComponentSettings = None,
    size: options.ComponentSize = "256x256",
    layout: options.Layout = None,
    product: options.Product = None,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    as_json: options.AsJson = False,
) -> None:
    """Draft annotations of a few good pictures, without labels, for a person to correct in LabelMe."""
    from flawscope.data.layouts import read_dataset
    from flawscope.errors import unknown
    from flawscope.runtime.images import Frame
    from flawscope.training.annotations import draft_annotations
    from flawscope.training.components import choice

    if by not in ("auto", "components", "clusters"):
        raise unknown("--by", by, ("auto", "components", "clusters"))
    dataset = read_dataset(pictures, layout=layout, product=product)
    chosen = choice(proposer, preset, settings or (), dataset.root)
    height, width = options.picture_size(size)
    with interruptible_run(seed=seed, device=device, quiet=as_json) as (run, watch):
        facts = draft_annotations(
            dataset,
            out,
            run,
            watch,
            count=count,
            choice=chosen,
            frame=Frame(height, width),
            by=by,  # type: ignore[arg-type]
            segments=segments,
        )
    if as_json:
        print_json(dataclasses.asdict(facts))
        return
    drafted, kept = len(facts.drafted), len(facts.by_hand)
    if drafted:
        components = f"{len(facts.components)} components, {facts.shapes} polygons"
        say(f"{facts.folder}: {drafted} pictures drafted, {components}.")
    if kept:
        say(f"{kept} annotations that somebody has made or changed stay as they are.")
    say(f"Next: labelme {typed(out)}; flawscope annotate check {typed(out)} --pictures {typed(pictures)}")


def check(
    annotations: Annotated[
        Path, typer.Argument(help="A COCO file, or a folder of LabelMe files or label maps.")
    ],
    pictures: Annotated[
        Path, typer.Option("--pictures", help="Folder of the pictures or a data set in a known layout.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for pictures with their components drawn.")
    ] = None,
    layout: options.Layout = None,
    product: options.Product = None,
    as_json: options.AsJson = False,
) -> None:
    """Find what is wrong with annotations: overlaps, gaps, unknown names, what belongs to no picture."""
    from flawscope.data.annotations.attach import attach
    from flawscope.data.annotations.check import check_annotations, drawn_at
    from flawscope.data.annotations.reading import annotation_files
    from flawscope.data.layouts import read_dataset
    from flawscope.data.outputs import refuse_any, refuse_in, refuse_inside
    from flawscope.files import writable_folder

    dataset = read_dataset(pictures, layout=layout, product=product)
    annotated = attach(dataset, annotations)
    if out is not None:
        refuse_inside(out, dataset)
        refuse_in(out, annotations)
        drawings = (drawn_at(out, dataset, sample) for sample in annotated.samples)
        refuse_any(drawings, annotation_files(annotations))
        writable_folder(out)
    checked = check_annotations(annotated, out, Bars(quiet=as_json))
    if as_json:
        print_json(dataclasses.asdict(checked) | {"overlays": out})
    else:
        _show(checked)
        if out is not None:
            say(f"Pictures with their components: {out}")
    if any(issue.severity == "error" for issue in checked.issues):
        raise typer.Exit(3)


def _show(checked: Checked) -> None:
    table = table_of("component", "pictures", "pieces", "mean area", "", title="first in the order first")
    for one in checked.components:
        ignored = "ignored" if one.ignore else ""
        table.add_row(cell(one.name), str(one.pictures), str(one.pieces), f"{one.share:.2%}", ignored)
    table.add_row("no component", str(checked.annotated), "", f"{checked.uncovered:.2%}", "")
    console.print(table)
    show_issues(checked.issues)
    note(f"{checked.annotated} annotated pictures: {summary(checked.issues)}.")
