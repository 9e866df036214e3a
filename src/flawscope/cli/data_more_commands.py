"""`flawscope data defects` and `flawscope data convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flawscope.cli.console import Bars, console, print_json

DEFECTS_EXAMPLES = """Examples:

  flawscope data defects pictures/good --out sheet.png

  flawscope data defects mvtec/screw --out sheet.png --skip-background --appearance none --seed 7"""
CONVERT_EXAMPLES = """Examples:

  flawscope data convert Real-IAD --from real_iad --to mvtec_ad --out converted --product plastic_nut

  flawscope data convert Real-IAD --from real_iad --to mvtec_ad --out converted --product all --link"""


def register(group: typer.Typer) -> None:
    """Add the commands to `flawscope data`."""
    group.command("defects", epilog=DEFECTS_EXAMPLES)(defects)
    group.command("convert", epilog=CONVERT_EXAMPLES)(convert)


def defects(
    folder: Annotated[Path, typer.Argument(help="Folder of pictures or a data set in a known layout.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="PNG file that receives the sheet.")],
    count: Annotated[int, typer.Option("--count", help="Pictures on the sheet.", min=1, max=60)] = 12,
    seed: Annotated[int, typer.Option("--seed", help="Source of all randomness.", min=0)] = 0,
    size: Annotated[int, typer.Option("--size", help="Side in pixels, as trained.", min=64, max=1024)] = 256,
    skip_background: Annotated[
        bool, typer.Option("--skip-background", help="Put defects on the part only.")
    ] = False,
    appearance: Annotated[
        str, typer.Option("--appearance", help="Appearance augmentation: thesis, efficientad or none.")
    ] = "thesis",
    layout: Annotated[str | None, typer.Option("--layout", help="Layout name.")] = None,
    product: Annotated[
        str | None, typer.Option("--product", help="Product, where there are several.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Draw a sheet of good pictures with the synthetic defects that training puts into them."""
    from flawscope.data.layouts import read_dataset
    from flawscope.data.sheets.defects import choose_pictures, contact_sheet, draw_examples
    from flawscope.data.synthetic.appearance import appearance_named
    from flawscope.data.synthetic.noise import SyntheticDefects
    from flawscope.errors import OptionError
    from flawscope.runtime.overlay import write_png

    if out.suffix.lower() != ".png":
        raise OptionError("out", expected="a file name that ends in .png", got=str(out), fix="Rename it.")
    changes = appearance_named(appearance)
    made = SyntheticDefects(probability=1.0, skip_background=skip_background)
    pictures = choose_pictures(read_dataset(folder, layout=layout, product=product), count, size)
    examples = []
    with Bars(quiet=as_json).stage("drawing", len(pictures)) as stage:
        for example in draw_examples(pictures, made, changes, seed=seed):
            examples.append(example)
            stage.advance()
    write_png(out, contact_sheet(examples))
    shares = [float(example.mask.mean()) for example in examples]
    if as_json:
        print_json({"sheet": str(out), "pictures": len(examples), "defect_share": shares})
    else:
        console.print(f"{out}: {len(examples)} pictures", markup=False)


def convert(
    folder: Annotated[Path, typer.Argument(help="The data set, in the layout that --from names.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder that receives a folder per product.")],
    source: Annotated[str, typer.Option("--from", help="Layout of the data set: real_iad.")] = "real_iad",
    target: Annotated[str, typer.Option("--to", help="Layout to write: mvtec_ad.")] = "mvtec_ad",
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
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a product.")] = False,
) -> None:
    """Rearrange a data set: only good pictures in training, every defect in the test."""
    import dataclasses

    from flawscope.data.convert import convert_dataset

    converted = convert_dataset(
        folder,
        out,
        source=source,
        target=target,
        product=product,
        split=split,
        seed=seed,
        link=link,
        progress=Bars(quiet=as_json),
    )
    for one in converted:
        if as_json:
            print_json(dataclasses.asdict(one) | {"folder": str(one.folder)})
        else:
            console.print(
                f"{one.folder}: {one.train} good pictures to train on; to test {one.test_good} good and "
                f"{one.test_defective} defective, {one.masks} with masks.",
                markup=False,
            )
