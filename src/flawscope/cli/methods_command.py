"""`flawscope methods`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from flawscope.cli import options
from flawscope.cli.console import console, print_json, say, table_of

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

    from flawscope.methods.registry import available, describe

    described = [describe(known) for known in ([name] if name else available())]
    if as_json:
        print_json(described)
        return
    if name is None:
        table = table_of("method", "what it does")
        for entry in described:
            table.add_row(entry.name, entry.summary)
        console.print(table)
        say("Options of one: flawscope methods NAME")
        return
    (entry,) = described
    say(f"{entry.name}: {entry.summary}")
    table = table_of("option", "plain value, and in presets", "meaning and source")
    for option in entry.options:
        own = {name: preset[option.name] for name, preset in entry.presets.items() if option.name in preset}
        lines = [*_lines(option.default)]
        for preset, there in own.items():
            lines += _named(preset, there)
        table.add_row(option.name, escape("\n".join(lines)), escape(option.help))
    console.print(table)
    if entry.presets:
        say(
            "Without --set preset=NAME, `train` takes the preset `default`, or plain values if there is none."
        )


def _lines(value: Any) -> Iterator[str]:
    """A value in words; options within an option stand one below the other, those within these indented."""
    if not _nested(value):
        yield str(value)
    elif isinstance(value, tuple | list):
        for one in value:
            first, *others = _lines(one)
            yield f"- {first}"
            yield from (f"  {line}" for line in others)
    else:
        for name, one in dict(value).items():
            yield from _named(str(name), one)


def _named(name: str, value: Any) -> Iterator[str]:
    """A value with its name before it, or above it."""
    if _nested(value):
        yield f"{name}:"
        yield from (f"  {line}" for line in _lines(value))
    else:
        yield f"{name}: {value}"


def _nested(value: Any) -> bool:
    """Whether a value is made of options, or of several sets of them."""
    from pydantic import BaseModel

    first = value[0] if value and isinstance(value, tuple | list) else value
    return bool(first) and isinstance(first, (BaseModel, Mapping))
