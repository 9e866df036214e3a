"""`flawscope segments`: draft a static segment map, and check one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flawscope.cli import options
from flawscope.cli.console import Bars, note, print_json, say
from flawscope.cli.signals import interruptible_run
from flawscope.files import typed

if TYPE_CHECKING:
    from flawscope.training.segments import MapFacts

DRAFT_EXAMPLES = """Examples:

  flawscope segments draft pictures/good --out map.png

  flawscope segments draft pictures/good --out map.png --segments 6

  flawscope segments draft magnetic_tile --out map.png --size 256x256

  flawscope segments draft pictures/good --out map.png --by sam --picture-of-first"""
COMPONENTS_EXAMPLES = """Examples:

  flawscope segments components bags --out labels

  flawscope segments components bags --out labels --proposer sam --set proposer.model=models/sam_hq

  flawscope segments components bags --out labels --proposer grounded --set 'proposer.tags=[screw, nut]'

  flawscope segments components bags --out labels --set labels.bandwidth=20 --set labels.least_share=0.3

Correct maps in a paint program and run it again: maps and names that were changed stay as they are."""
CHECK_EXAMPLES = """Examples:

  flawscope segments check map.png pictures/good --out sheet.png

  flawscope segments check map.png 'line1/*.png' --out sheet.png --json

  flawscope segments check visa_segm/pcb1 VisA --product pcb1 --size 256x256 --out sheet.png

Exit code 3 where the map cannot be used."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        no_args_is_help=True, help="Draft and check maps of a product's segments and components."
    )
    group.command("draft", epilog=DRAFT_EXAMPLES)(draft)
    group.command("components", epilog=COMPONENTS_EXAMPLES)(components)
    group.command("check", epilog=CHECK_EXAMPLES)(check)
    app.add_typer(group, name="segments")


def draft(
    pictures: options.GoodPictures,
    out: Annotated[Path, typer.Option("--out", "-o", help="PNG file to make; NAME_preview.png lies beside.")],
    segments: Annotated[
        int | None, typer.Option("--segments", help="How many (default: 2 to 8, as the features fall).")
    ] = None,
    by: Annotated[
        str, typer.Option("--by", help="features: clustered; sam: masks of Segment Anything.")
    ] = "features",
    size: Annotated[
        str | None,
        typer.Option("--size", help="WIDTHxHEIGHT that pictures of several sizes are stretched to."),
    ] = None,
    first: Annotated[
        bool,
        typer.Option("--picture-of-first", help="Edges and preview from the first picture, not the mean."),
    ] = False,
    model: Annotated[
        str | None, typer.Option("--model", help="SAM's folder, or its name in the hub's cache.")
    ] = None,
    layout: options.Layout = None,
    product: options.Product = None,
    weights: Annotated[
        str, typer.Option("--weights", hidden=True, help="pretrained, or random for tests.")
    ] = "pretrained",
    overwrite: options.Overwrite = False,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    as_json: options.AsJson = False,
) -> None:
    """Propose a segment map for pictures of a fixed camera, as an indexed PNG to go on painting."""
    from flawscope.errors import OptionError
    from flawscope.training.segments import SAM, good_pictures
    from flawscope.training.segments import draft as run_draft

    if by not in ("features", "sam"):
        raise OptionError("by", expected="features or sam", got=repr(by), fix="Leave it out for features.")
    with interruptible_run(seed=seed, device=device, quiet=as_json) as (run, watch):
        facts = run_draft(
            good_pictures(pictures, layout=layout, product=product),
            out,
            run,
            watch,
            by="sam" if by == "sam" else "features",
            segments=segments,
            size=None if size is None else options.picture_size(size),
            first=first,
            model=model or SAM,
            weights="random" if weights == "random" else "pretrained",
            overwrite=overwrite,
        )
    _show(facts, "preview", as_json=as_json)
    if not as_json:
        say(f"Next: flawscope segments check {typed(out)} PICTURES --out sheet.png")


def components(
    pictures: options.Pictures,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the label maps, one a picture.")],
    proposer: options.ProposerName = None,
    preset: Annotated[
        str, typer.Option("--preset", help="How masks become classes: fast, paper, paper_screw_bag …")
    ] = "fast",
    settings: options.ComponentSettings = None,
    size: options.ComponentSize = "256x256",
    layout: options.Layout = None,
    product: options.Product = None,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    as_json: options.AsJson = False,
) -> None:
    """Find the components of good pictures, group them into classes, and write label maps to correct."""
    from flawscope.data.layouts import read_dataset
    from flawscope.runtime.images import Frame
    from flawscope.training.components import choice, write_components

    dataset = read_dataset(pictures, layout=layout, product=product)
    chosen = choice(proposer, preset, settings or (), dataset.root)
    height, width = options.picture_size(size)
    with interruptible_run(seed=seed, device=device, quiet=as_json) as (run, watch):
        facts = write_components(dataset, out, run, watch, choice=chosen, frame=Frame(height, width))
    if as_json:
        shares = [round(share, 6) for share in facts.shares]
        print_json(dataclasses.asdict(facts) | {"shares": shares})
        return
    say(f"{facts.folder}: {len(facts.names) - 1} classes in {facts.pictures} pictures.")
    for index, (name, share) in enumerate(zip(facts.names, facts.shares, strict=True)):
        say(f"{index:>4} {share:7.1%}  {name}")
    say(f"{facts.labelled} maps may be learnt from, {facts.by_hand} of them are by hand.")
    say(f"Sheet: {facts.sheet}")


def check(
    map_file: Annotated[
        Path, typer.Argument(metavar="MAP", help="Indexed PNG file, or a folder of maps, one a picture.")
    ],
    pictures: options.GoodPictures,
    out: Annotated[Path, typer.Option("--out", "-o", help="PNG file that receives the sheet.")],
    mirrors: Annotated[
        Path | None,
        typer.Option(
            "--mirrors",
            help="Pictures' folder, whose paths the folder of maps has; else good/ and bad/ by name.",
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option("--size", help="WIDTHxHEIGHT that pictures are stretched to; a map may have this size."),
    ] = None,
    layout: options.Layout = None,
    product: options.Product = None,
    as_json: options.AsJson = False,
) -> None:
    """Show a segment map over pictures; refuse wrong sizes, gaps and unknown indices."""
    from flawscope.training.segments import all_pictures, check_folder, good_pictures
    from flawscope.training.segments import check as run_check

    progress, stretched = Bars(quiet=as_json), None if size is None else options.picture_size(size)
    if map_file.is_dir():
        samples = all_pictures(pictures, layout=layout, product=product)
        facts = check_folder(map_file, samples, out, mirrors=mirrors, size=stretched, progress=progress)
    else:
        paths = good_pictures(pictures, layout=layout, product=product)
        facts = run_check(map_file, paths, out, size=stretched, progress=progress)
    _show(facts, "sheet", as_json=as_json)


def _show(facts: MapFacts, kind: str, *, as_json: bool) -> None:
    if as_json:
        values = dataclasses.asdict(facts)
        values[kind] = values.pop("drawing")
        print_json(values | {"shares": [round(share, 6) for share in facts.shares]})
        return
    size = f"{facts.width}x{facts.height}"
    say(f"{facts.map}: {len(facts.shares)} segments, {size}, for {facts.pictures} pictures.")
    for index, share in enumerate(facts.shares):
        say(f"{index:>4} {share:7.1%}")
    for remark in facts.remarks:
        note(remark)
    say(f"{kind.capitalize()}: {facts.drawing}")
