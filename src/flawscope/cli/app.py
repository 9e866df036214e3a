"""The application: its commands, its version, and how errors end."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from flawscope import __version__
from flawscope.cli import (
    annotate_command,
    audit_command,
    benchmark_command,
    calibrate_command,
    compare_command,
    data_command,
    demo_command,
    distill_command,
    drift_command,
    evaluate_command,
    export_command,
    inspect_command,
    learn_command,
    methods_command,
    probe_command,
    rollback_command,
    segments_command,
    train_command,
    update_command,
    weights_command,
)
from flawscope.cli.console import all_printable, printable
from flawscope.cli.signals import interrupted, second_signal_ends
from flawscope.errors import FlawscopeError, InputError, MissingExtraError, Stopped
from flawscope.files import disk_error, unwritable

EXIT_CODES = (
    "Exit codes: 0 done; 1 nobody reads the output any more; 2 wrong option or name; 3 a picture or folder "
    "cannot be used (inspect: the others were inspected); 4 weights missing or damaged; 5 model folder "
    "damaged; 6 calibration impossible; 7 output cannot be written; 8 an optional package is missing; 9 a "
    "gate does not hold; 10 results are not as they were written; 130 stopped, run the same command again "
    "to go on."
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


app.command(epilog=demo_command.EXAMPLES)(demo_command.demo)
app.command(epilog=train_command.EXAMPLES)(train_command.train)
app.command(epilog=inspect_command.EXAMPLES)(inspect_command.inspect)
app.command(epilog=evaluate_command.EXAMPLES)(evaluate_command.evaluate)
app.command(epilog=drift_command.EXAMPLES)(drift_command.drift)
app.command(epilog=compare_command.EXAMPLES)(compare_command.compare)
app.command(epilog=calibrate_command.EXAMPLES)(calibrate_command.calibrate)
app.command(epilog=learn_command.EXAMPLES)(learn_command.learn)
app.command(epilog=rollback_command.EXAMPLES)(rollback_command.rollback)
app.command(epilog=update_command.EXAMPLES)(update_command.update)
app.command(epilog=export_command.EXAMPLES)(export_command.export)
app.command(epilog=probe_command.EXAMPLES)(probe_command.station_probe)
app.command(epilog=benchmark_command.EXAMPLES)(benchmark_command.benchmark)
app.command(epilog=methods_command.EXAMPLES)(methods_command.methods)
app.command(epilog=weights_command.EXAMPLES)(weights_command.weights)
app.command(epilog=distill_command.EXAMPLES)(distill_command.distill)
annotate_command.register(app)
audit_command.register(app)
segments_command.register(app)
data_command.register(app)


def _let_flow(group: typer.Typer) -> None:
    """Join the lines of each paragraph below the options, which the terminal breaks at its own width."""
    for command in group.registered_commands:
        if command.epilog:
            command.epilog = re.sub(r"(?<=\S)\n(?=\S)", " ", command.epilog)
    for inner in group.registered_groups:
        if inner.typer_instance is not None:
            _let_flow(inner.typer_instance)


_let_flow(app)


def main() -> None:
    """Run the command line; every error that a user can cause ends as one line and its exit code."""
    all_printable()
    try:
        with second_signal_ends():
            app()
    except FlawscopeError as error:
        _end(error)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "flawscope":
            raise
        got, fix = (
            f"an installation without {error.name}",
            "Install them with: pip install 'flawscope[train]'",
        )
        _end(MissingExtraError("this command", expected="the training packages", got=got, fix=fix))
    except (KeyboardInterrupt, SystemExit) as ended:
        if interrupted(ended):
            sys.stderr.write("flawscope: stopped.\n")
            sys.exit(Stopped.exit_code)
        raise
    except Exception as error:  # noqa: BLE001 - raised again unless the machine is to blame
        _end(_of_the_machine(error))


def _of_the_machine(error: Exception) -> FlawscopeError:
    """The error of a full disk, or of a file that cannot be opened; anything else is a bug, raised again."""
    if (told := disk_error(error)) is not None:
        return unwritable(Path(str(told.filename or tempfile.gettempdir())), told)
    if isinstance(error, OSError):
        place, reason = str(error.filename or "a file"), (error.strerror or str(error)).lower()
        fix = "Check the path and its permissions."
        return InputError(place, expected="to be usable", got=reason, fix=fix)
    raise error


def _end(error: FlawscopeError) -> NoReturn:
    sys.stderr.write(f"flawscope: {printable(str(error))}\n")
    sys.exit(error.exit_code)
