"""`flawscope benchmark`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flawscope.cli import options
from flawscope.cli.console import cell, console, print_json, say, table_of
from flawscope.cli.signals import interruptible_run

if TYPE_CHECKING:
    from flawscope.benchmark.plan import Outcome

_LONGEST = 28  # letters of a name that stay on one line

EXAMPLES = """Examples:

  flawscope benchmark --list

  flawscope benchmark efficientad_training_sizes --data real_iad_mvtec --out sizes --device cuda --seeds 0,1,2

  flawscope benchmark efficientad_components --data real_iad_mvtec --out parts --natural imagenet

  flawscope benchmark efficientad_cdo --data mvtec --out screw --set data.product=screw --steps 2000

The same command again goes on where it stopped; finished rows are not repeated."""


def benchmark(
    recipe: Annotated[
        str | None, typer.Argument(help="A name from --list, or a YAML file of your own.")
    ] = None,
    data: Annotated[Path | None, typer.Option("--data", help="Folder of the data set.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for results.md, results.json and the models.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Set one key of the base recipe: KEY=VALUE; a row's own changes stay."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", help="Training steps, in place of the recipe's.", min=1)
    ] = None,
    seeds: Annotated[
        str | None, typer.Option("--seeds", help="Each row runs once a seed: 0,1,2; else the recipe's.")
    ] = None,
    natural: Annotated[
        Path | None, typer.Option("--natural", help="Folder of natural pictures, for rows that need one.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Run only the row of this label; may be repeated.")
    ] = None,
    device: options.Device = "cpu",
    precision: options.PrecisionName = "auto",
    listed: Annotated[
        bool, typer.Option("--list", help="List the recipes that come along, and end.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Run the rows of a published table on a data set, and print the figures beside the paper's."""
    if listed:
        _list(as_json=as_json)
        return
    from flawscope.benchmark.plan import Wishes, parse_seeds, plan
    from flawscope.benchmark.recipe import load_benchmark
    from flawscope.benchmark.run import run_benchmark
    from flawscope.benchmark.table import to_json, write_results

    if recipe is None or data is None or out is None:
        raise _incomplete(recipe, data, out)
    wishes = Wishes(
        settings=tuple(settings or ()),
        steps=steps,
        seeds=() if seeds is None else parse_seeds(seeds),
        only=tuple(only or ()),
        natural=natural,
    )
    command = shlex.join(["flawscope", *sys.argv[1:]])
    number_format = options.precision(precision)
    with interruptible_run(device=device, precision=number_format, quiet=as_json) as (run, watch):
        run.torch_device()
        outcome = plan(load_benchmark(recipe), data, out, wishes, run)
        run_benchmark(outcome, run, watch, after=lambda so_far: write_results(so_far, out, command))
    if as_json:
        print_json(to_json(outcome, command))
    else:
        _show(outcome, out)
    for error in outcome.failed.values():
        raise typer.Exit(error.exit_code)


def _incomplete(recipe: str | None, data: Path | None, out: Path | None) -> Exception:
    from flawscope.errors import OptionError

    given = {"RECIPE": recipe, "--data": data, "--out": out}
    return OptionError(
        "benchmark",
        expected="RECIPE, --data and --out",
        got=f"no {' and no '.join(name for name, value in given.items() if value is None)}",
        fix="See the recipes with: flawscope benchmark --list",
    )


def _list(*, as_json: bool) -> None:
    from flawscope.benchmark.recipe import load_benchmark, shipped

    recipes = {name: load_benchmark(name) for name in shipped()}
    if as_json:
        rows = {name: [row.label for row in entry.rows] for name, entry in recipes.items()}
        print_json([{"name": name, **entry.about(), "rows": rows[name]} for name, entry in recipes.items()])
        return
    table = table_of("recipe", "what it compares, and its source", "rows")
    table.columns[0].min_width = _width(recipes)
    for name, entry in recipes.items():
        table.add_row(name, cell(f"{entry.title}: {entry.source}"), str(len(entry.rows)))
    console.print(table)


def _width(names: Iterable[str]) -> int:
    """Of a first column of names: they stay on one line where they are of a common length."""
    return min(_LONGEST, max(map(len, names), default=0))


def _show(outcome: Outcome, out: Path) -> None:
    from flawscope.benchmark.table import TABLE, caption, cells, headings

    published = outcome.benchmark
    table = table_of(*headings(outcome, effort=False), title=cell(published.title))
    table.columns[0].min_width = _width(row.label for row in published.rows)
    for row in published.rows:
        table.add_row(*map(cell, cells(outcome, row, effort=False)))
    console.print(table)
    for line in [f"{published.paper}, {published.source}", *caption(outcome), *published.notes]:
        say(line)
    say(f"Results: {out / TABLE}")
