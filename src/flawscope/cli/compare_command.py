"""`flawscope compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flawscope.cli import options
from flawscope.cli.comparisons import GATE_FAILED, show_checks, show_comparison
from flawscope.cli.console import Bars, print_json, say

EXAMPLES = """Examples:

  flawscope compare models/bracket models/bracket-2 --data labelled/ --out comparison

  flawscope compare models/bracket models/bracket-2 --gate GATE.yaml

  flawscope compare --gate-template > GATE.yaml

Pictures that one of the models has seen are left out, by their content. With --groups, or as the models have
them, intervals and McNemar's test are of parts. Without a gate it only tells; with
one it ends with 0 if every bound holds and with 9 if one does not. Exit code 3: pictures could not be read;
they are in no figure. `learn`, `calibrate` and `update` take the
same file."""


def _template(value: bool) -> None:
    if value:
        from flawscope.station.gate import TEMPLATE

        typer.echo(TEMPLATE, nl=False)
        raise typer.Exit


def compare(
    old: Annotated[Path, typer.Argument(help="Model folder in use.")],
    new: Annotated[Path, typer.Argument(help="Model folder that might follow it.")],
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Data set with good and defective pictures; else the gate's."),
    ] = None,
    gate: options.Gate = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for report.html and comparison.json.")
    ] = None,
    groups: options.Groups = None,
    layout: options.Layout = None,
    product: options.Product = None,
    engine: options.Engine = "auto",
    threads: options.Threads = None,
    as_json: options.AsJson = False,
    template: Annotated[
        bool,
        typer.Option(
            "--gate-template", callback=_template, is_eager=True, help="Print a gate to start from, and end."
        ),
    ] = False,
) -> None:
    """Set two models side by side on pictures with truth: flips, misses, false rejects, AUROC, latency."""
    from flawscope.data.layouts import read_dataset
    from flawscope.errors import OptionError
    from flawscope.files import writable_folder
    from flawscope.report.comparison import comparison_json, comparison_report
    from flawscope.runtime.inspector import Inspector
    from flawscope.station.compare import SHOWN
    from flawscope.station.compare import compare as run_comparison
    from flawscope.station.gate import judge, read_gate

    del template
    choice = options.groups(groups)
    wanted = None if gate is None else read_gate(gate)
    if wanted is not None:
        named = {"layout": layout, "product": product}
        wanted = wanted.model_copy(update={key: value for key, value in named.items() if value is not None})
        dataset, choice = wanted.dataset(data), choice or wanted.groups
    elif data is not None:
        dataset = read_dataset(data, layout=layout, product=product)
    else:
        fix = "Name the pictures: flawscope compare OLD NEW --data FOLDER."
        raise OptionError("--data", expected="a folder, or a --gate that names one", got="neither", fix=fix)
    before, after = (Inspector.load(model, engine=engine, threads=threads) for model in (old, new))
    if out is not None:
        writable_folder(out)
    found = run_comparison(
        before, after, dataset, groups=choice, views=0 if out is None else SHOWN, progress=Bars(quiet=as_json)
    )
    checks = None if wanted is None else judge(wanted, found)
    if as_json:
        print_json(comparison_json(found, checks))
    else:
        show_comparison(found)
        show_checks(checks or ())
    if out is not None:
        page = comparison_report(found, checks, out)
        if not as_json:
            say(f"Report: {page}")
    if checks is not None and not all(check.passed for check in checks):
        raise typer.Exit(GATE_FAILED)
    if any(pair.old.error or pair.new.error for pair in found.pairs):
        raise typer.Exit(3)
