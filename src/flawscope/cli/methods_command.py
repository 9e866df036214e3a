"""`flawscope methods`."""

from __future__ import annotations

from typing import Annotated

import typer

from flawscope.cli import options
from flawscope.cli.console import console, print_json, say

EXAMPLES = """Examples:

  flawscope methods

  flawscope methods patchcore"""


def methods(
    name: Annotated[
        str | None, typer.Argument(help="A method, to see its options and their sources.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """List the methods, or one method's options with defaults and sources."""
    from rich.markup import escape
    from rich.table import Table

    from flawscope.methods.registry import available, describe

    described = [describe(known) for known in ([name] if name else available())]
    if as_json:
        print_json(described)
        return
    if name is None:
        table = Table("method", "what it does")
        for entry in described:
            table.add_row(entry.name, entry.summary)
        console.print(table)
        say("Options of one: flawscope methods NAME")
        return
    (entry,) = described
    say(f"{entry.name}: {entry.summary}")
    table = Table("option", "plain value, and in presets", "meaning and source")
    for option in entry.options:
        own = {name: preset[option.name] for name, preset in entry.presets.items() if option.name in preset}
        value = "\n".join([str(option.default), *(f"{name}: {there}" for name, there in own.items())])
        table.add_row(option.name, escape(value), escape(option.help))
    console.print(table)
    if entry.presets:
        say(
            "Without --set preset=NAME, `train` takes the preset `default`, or plain values if there is none."
        )
