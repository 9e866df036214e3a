"""`flawscope methods`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from flawscope.cli import options
from flawscope.cli.console import console, print_json

if TYPE_CHECKING:
    from flawscope.methods.registry import MethodInfo

EXAMPLES = """Examples:

  flawscope methods

  flawscope methods patchcore"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("methods", epilog=EXAMPLES)(methods)


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
        print_json([_plain(entry) for entry in described])
        return
    if name is None:
        table = Table("method", "what it does")
        for entry in described:
            table.add_row(entry.name, entry.summary)
        console.print(table)
        console.print("Options of one: flawscope methods NAME", markup=False)
        return
    (entry,) = described
    presets = entry.presets
    console.print(f"{entry.name}: {entry.summary}", markup=False)
    table = Table("option", "default", *(f"preset {preset}" for preset in presets), "meaning and source")
    for option in entry.options:
        values = [str(preset.get(option.name, "")) for preset in presets.values()]
        table.add_row(option.name, *map(escape, (str(option.default), *values, option.help)))
    console.print(table)


def _plain(entry: MethodInfo) -> dict[str, Any]:
    return {
        "name": entry.name,
        "summary": entry.summary,
        "options": [
            {"name": option.name, "default": option.default, "type": option.type, "help": option.help}
            for option in entry.options
        ],
        "outputs": [
            {"name": output.name, "kind": output.kind, "about": output.about} for output in entry.outputs
        ],
        "presets": {name: dict(values) for name, values in entry.presets.items()},
    }
