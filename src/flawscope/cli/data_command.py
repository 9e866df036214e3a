"""`flawscope data`: check, render, defects and convert."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from flawscope.cli import options
from flawscope.cli.console import Bars, console, print_json, say
from flawscope.cli.issues import show_issues, summary

CHECK_EXAMPLES = """Examples:

  flawscope data check pictures/good

  flawscope data check mvtec/screw --false-rejects 0.5% --json

  flawscope data check pictures/good --groups 'part([0-9]+)_'

Exit code 3 where a finding must be mended before training."""
RENDER_EXAMPLES = """Examples:

  flawscope data render pin_tray --out rendered

  flawscope data render fastener_bag --out rendered --train 200 --size 512 --seed 7"""
DEFECTS_EXAMPLES = """Examples:

  flawscope data defects pictures/good --out sheet.png

  flawscope data defects mvtec/screw --out sheet.png --sides cdo --appearance none --seed 7

  flawscope data defects line/connector_block --out sheet.png --kind segments --segments map.png"""
CONVERT_EXAMPLES = """Examples:

  flawscope data convert Real-IAD --out converted --product plastic_nut

  flawscope data convert Real-IAD --out converted --product all --link"""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        no_args_is_help=True, help="Check, convert and render pictures, and show synthetic defects on them."
    )
    group.command("check", epilog=CHECK_EXAMPLES)(check)
    group.command("render", epilog=RENDER_EXAMPLES)(render)
    group.command("defects", epilog=DEFECTS_EXAMPLES)(defects)
    group.command("convert", epilog=CONVERT_EXAMPLES)(convert)
    app.add_typer(group, name="data")


def check(
    folder: options.Pictures,
    layout: options.Layout = None,
    product: options.Product = None,
    false_rejects: Annotated[
        str, typer.Option("--false-rejects", help="The rate that the good pictures should support.")
    ] = "1%",
    confidence: Annotated[str, typer.Option("--confidence", help="How sure the promise is.")] = "95%",
    near: Annotated[bool, typer.Option("--near/--no-near", help="Look for near duplicates too.")] = True,
    groups: options.Groups = None,
    as_json: options.JsonLines = False,
) -> None:
    """Find what would spoil training: unreadable files, duplicates, leaks, masks that do not fit.

    Each kind is listed with what it counts as, good or defective. Where names or near copies suggest that
    several pictures show one part and --groups is not given, a pattern for it is proposed.
    """
    from flawscope.data.checks.check import check_data
    from flawscope.data.layouts import read_dataset
    from flawscope.runtime.calibration import parse_rate

    dataset = read_dataset(folder, layout=layout, product=product)
    issues = check_data(
        dataset,
        false_rejects=parse_rate(false_rejects, "--false-rejects"),
        confidence=parse_rate(confidence, "--confidence"),
        near=near,
        groups=options.groups(groups),
        progress=Bars(quiet=as_json),
    )
    for kind in dataset.truths():
        if as_json:
            about = {"severity": "note", "rule": "kind", "files": (), "message": str(kind), "fix": ""}
            print_json({**about, **dataclasses.asdict(kind)})
        else:
            say(f"{kind}")
    if as_json:
        for issue in issues:
            print_json(issue)
    else:
        show_issues(issues)
        console.print(f"{len(dataset)} pictures, layout {dataset.layout}: {summary(issues)}.")
    if any(issue.severity == "error" for issue in issues):
        raise typer.Exit(3)


def render(
    product: Annotated[str, typer.Argument(help=options.RENDERED)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder that receives the product's folder.")],
    seed: options.Seed = 0,
    train: Annotated[int, typer.Option("--train", help="Good training pictures.", min=1)] = 60,
    validation: Annotated[int, typer.Option("--validation", help="Good validation pictures.", min=0)] = 20,
    test_good: Annotated[int, typer.Option("--test-good", help="Good test pictures.", min=0)] = 20,
    per_flaw: Annotated[int, typer.Option("--per-flaw", help="Test pictures of each flaw.", min=0)] = 4,
    size: Annotated[int, typer.Option("--size", help="Side in pixels.", min=64, max=1024)] = 256,
    as_json: options.AsJson = False,
) -> None:
    """Render a practice product with truth, in the MVTec LOCO AD layout."""
    from flawscope.products import write_loco

    folder = write_loco(
        out,
        product,
        seed=seed,
        train=train,
        validation=validation,
        test_good=test_good,
        per_flaw=per_flaw,
        size=size,
        progress=Bars(quiet=as_json),
    )
    if as_json:
        print_json({"folder": folder})
    else:
        say(str(folder))


def defects(
    folder: options.Pictures,
    out: Annotated[Path, typer.Option("--out", "-o", help="PNG file that receives the sheet.")],
    count: Annotated[int, typer.Option("--count", help="Pictures on the sheet.", min=1, max=60)] = 12,
    seed: options.Seed = 0,
    size: Annotated[int, typer.Option("--size", help="Side in pixels, as trained.", min=64, max=1024)] = 256,
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            help="noise: EfficientAD's patches; segments: SegAD's blurs and rectangles on a segment.",
        ),
    ] = "noise",
    sides: Annotated[
        str | None,
        typer.Option(
            "--sides",
            help="Sides of patches of kind noise: thesis (squares, by default) or cdo (rectangles, larger).",
        ),
    ] = None,
    skip_background: Annotated[
        bool | None,
        typer.Option(
            "--skip-background/--no-skip-background",
            help="Put defects on the product only (kind noise); by default where its ground is plain.",
            show_default=False,
        ),
    ] = None,
    appearance: Annotated[
        str | None,
        typer.Option(
            "--appearance",
            help="Appearance augmentation of kind noise: thesis (by default), efficientad or none.",
        ),
    ] = None,
    segments: Annotated[
        str | None,
        typer.Option(
            "--segments", help="For kind segments: one (by default), object, or a segment map's file."
        ),
    ] = None,
    layout: options.Layout = None,
    product: options.Product = None,
    as_json: options.AsJson = False,
) -> None:
    """Draw a sheet of good pictures with the synthetic defects that training puts into them."""
    from flawscope.data.ground import on_plain_ground
    from flawscope.data.layouts import read_dataset
    from flawscope.data.outputs import refuse_over
    from flawscope.data.samples import paths_of
    from flawscope.data.sheets import require_png
    from flawscope.data.sheets.defects import (
        choose_pictures,
        contact_sheet,
        draw_examples,
        noise_patches,
        on_segments,
    )
    from flawscope.data.synthetic.appearance import appearance_named
    from flawscope.data.synthetic.noise import SyntheticDefects, sides_named
    from flawscope.runtime.overlay import write_png

    require_png(out)
    noise = (appearance, sides, skip_background)
    _require_kind(kind, noise=any(value is not None for value in noise), segments=segments is not None)
    changes, lengths = appearance_named(appearance or "thesis"), sides_named(sides or "thesis")
    dataset = read_dataset(folder, layout=layout, product=product)
    refuse_over(out, paths_of(dataset.samples), *([Path(segments)] if segments else ()))
    pictures = choose_pictures(dataset, count, size)
    where: dict[str, bool] = {}
    if kind == "noise":
        skips = on_plain_ground(pictures) if skip_background is None else skip_background
        where["skip_background"] = skips
        change = noise_patches(
            SyntheticDefects(probability=1.0, sides=lengths, skip_background=skips), changes
        )
    else:
        change = on_segments(pictures, segments or "one")
    examples = []
    with Bars(quiet=as_json).stage("drawing", len(pictures)) as stage:
        for example in draw_examples(pictures, change, seed=seed):
            examples.append(example)
            stage.advance()
    write_png(out, contact_sheet(examples))
    shares = [float(example.mask.mean()) for example in examples]
    if as_json:
        print_json({"sheet": out, "pictures": len(examples), "defect_share": shares, **where})
    else:
        words = {True: ", defects on the product alone", False: ", defects anywhere", None: ""}
        say(f"{out}: {len(examples)} pictures{words[where.get('skip_background')]}")


def _require_kind(kind: str, *, noise: bool, segments: bool) -> None:
    """Refuse an unknown kind of defects, and options of the other kind.

    Raises:
        OptionError: either.
    """
    from flawscope.errors import OptionError, unknown

    if kind not in ("noise", "segments"):
        raise unknown("kind of defects", kind, ("noise", "segments"))
    if segments if kind == "noise" else noise:
        wrong = "--segments" if kind == "noise" else "--appearance, --sides or --skip-background"
        raise OptionError(
            f"defects of kind {kind}",
            expected="options of that kind",
            got=wrong,
            fix=f"Leave it out, or add --kind {'segments' if kind == 'noise' else 'noise'}.",
        )


def convert(
    folder: Annotated[Path, typer.Argument(help="The data set, in the layout of Real-IAD.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder that receives a folder per product.")],
    product: Annotated[
        str | None, typer.Option("--product", help="Product, or all; needed where there are several.")
    ] = None,
    split: Annotated[
        str, typer.Option("--split", help="thesis (nine tenths of the normals train) or published.")
    ] = "thesis",
    seed: Annotated[int, typer.Option("--seed", help="Draws the thesis's split.", min=0)] = 0,
    link: Annotated[
        bool, typer.Option("--link/--copy", help="Hard links take no space; copies stand on their own.")
    ] = False,
    as_json: options.JsonLines = False,
) -> None:
    """Rearrange Real-IAD in the layout of MVTec AD: good pictures in training, every defect in the test."""
    from flawscope.data.convert import convert_dataset

    converted = convert_dataset(
        folder, out, product=product, split=split, seed=seed, link=link, progress=Bars(quiet=as_json)
    )
    for one in converted:
        if as_json:
            print_json(one)
        else:
            say(
                f"{one.folder}: {one.train} good pictures to train on; to test {one.test_good} good and "
                f"{one.test_defective} defective, {one.masks} with masks."
            )
