"""The application: its commands, its version, and how errors end."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from flawscope import __version__
from flawscope.cli import (
    benchmark_command,
    calibrate_command,
    data_command,
    demo_command,
    distill_command,
    evaluate_command,
    export_command,
    inspect_command,
    learn_command,
    methods_command,
    segments_command,
    train_command,
    weights_command,
)
from flawscope.errors import FlawscopeError, MissingExtraError

EXIT_CODES = (
    "Exit codes: 0 done; 2 wrong option or name; 3 a picture or folder cannot be used (inspect: the "
    "others were inspected); 4 weights missing or damaged; 5 model folder damaged; 6 calibration "
    "impossible; 7 output cannot be written; 8 an optional package is missing; 130 stopped, run the same "
    "command again to go on."
)

app = typer.Typer(
    name="flawscope",
    help="Learns what good parts look like from pictures, then finds, locates and explains what is wrong.\n\n"
    "First steps:  flawscope demo",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"flawscope {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    del version


demo_command.register(app)
train_command.register(app)
inspect_command.register(app)
evaluate_command.register(app)
calibrate_command.register(app)
learn_command.register(app)
export_command.register(app)
benchmark_command.register(app)
methods_command.register(app)
weights_command.register(app)
distill_command.register(app)
segments_command.register(app)
data_command.register(app)


def main() -> None:
    """Run the command line; every error that a user can cause ends as one line and its exit code."""
    try:
        app()
    except FlawscopeError as error:
        sys.stderr.write(f"flawscope: {error}\n")
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "flawscope":
            raise
        missing = MissingExtraError(
            "this command",
            expected="the training packages",
            got=f"an installation without {error.name}",
            fix="Install them with: pip install 'flawscope[train]'",
        )
        sys.stderr.write(f"flawscope: {missing}\n")
        sys.exit(missing.exit_code)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        place = error.filename or "a file"
        sys.stderr.write(
            f"flawscope: {place}: expected to be usable, got {reason}. Check the path and its permissions.\n"
        )
        sys.exit(3)
    except KeyboardInterrupt:
        sys.stderr.write("flawscope: stopped.\n")
        sys.exit(130)
