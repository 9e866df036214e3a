"""`flawscope weights`."""

from __future__ import annotations

from typing import Annotated

import typer

from flawscope.cli import options
from flawscope.cli.console import cell, console, print_json, say, table_of

EXAMPLES = """Examples:

  flawscope weights

  flawscope weights wide_resnet50_2

Weights are looked up in the folders of FLAWSCOPE_WEIGHTS, the cache, the installed packages, then online."""


def weights(
    name: Annotated[
        str | None, typer.Argument(help="A backbone whose weights to fetch into the cache.")
    ] = None,
    as_json: options.JsonLines = False,
) -> None:
    """Show which pretrained weights are at hand and where, or fetch some for work offline."""
    from flawscope.nn.backbones.weights import fetch, list_weights

    if name is not None:
        path = fetch(name)
        if as_json:
            print_json({"name": name, "path": path})
        else:
            say(f"{name}: {path}")
        return
    backbones = list_weights()
    if as_json:
        for entry in backbones:
            print_json(entry)
        return
    table = table_of("backbone", "at hand", "MB", "where", "licence")
    for entry in backbones:
        place, at_hand = str(entry.where or entry.source), "yes" if entry.available else "no"
        table.add_row(cell(entry.name), at_hand, f"{entry.size / 1e6:.0f}", cell(place), entry.licence)
    console.print(table)
