"""`flawscope data`: check and render here, defects and convert in their own module."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flawscope.cli import data_more_commands
from flawscope.cli.console import Bars, console, print_json

CHECK_EXAMPLES = """Examples:

  flawscope data check pictures/good

  flawscope data check mvtec/screw --false-rejects 0.5% --json

Exit code 3 where a finding must be mended before training."""
RENDER_EXAMPLES = """Examples:

  flawscope data render pin_tray --out rendered

  flawscope data render fastener_bag --out rendered --train 200 --size 512 --seed 7"""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Check, convert and render pictures.")
    group.command("check", epilog=CHECK_EXAMPLES)(check)
    group.command("render", epilog=RENDER_EXAMPLES)(render)
    data_more_commands.register(group)
    app.add_typer(group, name="data")


def check(
    folder: Annotated[Path, typer.Argument(help="Folder of pictures or a data set in a known layout.")],
    layout: Annotated[str | None, typer.Option("--layout", help="Layout name.")] = None,
    product: Annotated[
        str | None, typer.Option("--product", help="Product, where there are several.")
    ] = None,
    false_rejects: Annotated[
        str, typer.Option("--false-rejects", help="The rate that the good pictures should support.")
    ] = "1%",
    confidence: Annotated[str, typer.Option("--confidence", help="How sure the promise is.")] = "95%",
    near: Annotated[bool, typer.Option("--near/--no-near", help="Look for near duplicates too.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a finding.")] = False,
) -> None:
    """Find what would spoil training: unreadable files, duplicates, leaks, masks that do not fit."""
    import dataclasses

    from flawscope.data.checks.check import check_data
    from flawscope.data.layouts import read_dataset
    from flawscope.runtime.calibration import parse_rate

    dataset = read_dataset(folder, layout=layout, product=product)
    issues = check_data(
        dataset,
        false_rejects=parse_rate(false_rejects),
        confidence=parse_rate(confidence),
        near=near,
        progress=Bars(quiet=as_json),
    )
    for issue in issues:
        if as_json:
            print_json(dataclasses.asdict(issue) | {"files": [str(file) for file in issue.files]})
        else:
            style = {"error": "bold red", "warning": "yellow", "note": "dim"}[issue.severity]
            console.print(f"{issue.severity:<8}", style=style, end="")
            console.print(f"{issue.message} {issue.fix}", markup=False)
            for file in issue.files[:5]:
                console.print(f"          {file}", markup=False)
            if len(issue.files) > 5:
                console.print(f"          and {len(issue.files) - 5} more (--json lists all)", markup=False)
    if not as_json:
        count = sum(issue.severity == "error" for issue in issues)
        console.print(
            f"{len(dataset)} pictures, layout {dataset.layout}: {len(issues)} findings, {count} to mend."
        )
    if any(issue.severity == "error" for issue in issues):
        raise typer.Exit(3)


def render(
    product: Annotated[str, typer.Argument(help="pin_tray, fastener_bag or connector_block.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder that receives the product's folder.")],
    seed: Annotated[int, typer.Option("--seed", help="Source of all randomness.")] = 0,
    train: Annotated[int, typer.Option("--train", help="Good training pictures.", min=1)] = 60,
    validation: Annotated[int, typer.Option("--validation", help="Good validation pictures.", min=0)] = 20,
    test_good: Annotated[int, typer.Option("--test-good", help="Good test pictures.", min=0)] = 20,
    per_flaw: Annotated[int, typer.Option("--per-flaw", help="Test pictures of each flaw.", min=0)] = 4,
    size: Annotated[int, typer.Option("--size", help="Side in pixels.", min=64, max=2048)] = 256,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Render a practice product with truth, in the MVTec LOCO AD layout."""
    from flawscope.products import write_loco

    with Bars(quiet=as_json).stage("rendering", 0) as stage:
        folder = write_loco(
            out,
            product,
            seed=seed,
            train=train,
            validation=validation,
            test_good=test_good,
            per_flaw=per_flaw,
            size=size,
            progress=lambda done, total: stage.advance(),
        )
    if as_json:
        print_json({"folder": str(folder)})
    else:
        console.print(f"{folder}", markup=False)
