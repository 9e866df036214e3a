"""`flawscope inspect`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flawscope.cli import options
from flawscope.cli.console import Bars, cell, console, note, print_json, printable, say, table_of
from flawscope.cli.signals import stop_on_interrupt

if TYPE_CHECKING:
    from flawscope.runtime.inspector import Inspector
    from flawscope.runtime.record import Record
    from flawscope.station.inspection import Summary

EXAMPLES = """Examples:

  flawscope inspect models/bracket line1/ --out results

  flawscope inspect models/bracket 'line1/*.png' --json

  flawscope inspect models/bracket incoming/ --watch --out results

  flawscope inspect station/bracket line1/ --trust factory.pub

With --out, the same command again goes on where it stopped; pictures that were judged keep their verdicts,
after `calibrate`, too, until --fresh. Exit code 3: some pictures could not be read. An alarm of drift is
printed once, with the picture that raised it; flawscope drift RESULTS tells all of them."""


def inspect(
    model: options.Model,
    pictures: Annotated[list[str], typer.Argument(help="Picture files, folders, or patterns in quotes.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for results.csv, results.jsonl, overlays and report.html."),
    ] = None,
    overlays: Annotated[
        str, typer.Option("--overlays", help="Which pictures get an overlay: flagged, all or none.")
    ] = "flagged",
    watch: Annotated[
        bool, typer.Option("--watch", help="Keep inspecting pictures as they arrive in a folder.")
    ] = False,
    settle: Annotated[
        float,
        typer.Option(
            "--settle",
            help="With --watch, seconds that a file's size and time stand still before it is read; 0 where "
            "files are renamed into place.",
            min=0,
        ),
    ] = 0.3,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over instead of going on from earlier results.")
    ] = False,
    engine: options.Engine = "auto",
    threads: options.Threads = None,
    trust: Annotated[
        Path | None,
        typer.Option(
            "--trust", metavar="KEY.pub", help="Public Ed25519 key that must have signed the model."
        ),
    ] = None,
    batch: Annotated[int, typer.Option("--batch", help="Pictures in work at once.", min=1, max=256)] = 8,
    drift: Annotated[
        str,
        typer.Option(
            "--drift",
            help="Chance that good pictures of an unchanged line ever raise an alarm of drift, or off.",
        ),
    ] = "1%",
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="Write report.html into --out.")
    ] = True,
    as_json: options.JsonLines = False,
) -> None:
    """Inspect pictures with a trained model: verdict, score, p-value and what was found."""
    from flawscope.errors import unknown
    from flawscope.runtime.calibration import parse_rate
    from flawscope.runtime.inspector import Inspector
    from flawscope.station.arrivals import Arrivals
    from flawscope.station.inspection import OVERLAYS, inspect_pictures
    from flawscope.station.patience import Patience
    from flawscope.station.sources import apart, collect

    if overlays not in OVERLAYS:
        raise unknown("--overlays", overlays, OVERLAYS)
    alpha = None if drift == "off" else parse_rate(drift, "--drift")
    inspector = Inspector.load(model, engine=engine, threads=threads, trust=trust)
    with stop_on_interrupt() as stop:
        paths: Iterable[Path]
        arrivals = None
        if watch:
            folder = _one_folder(pictures)
            apart(folder, out)
            paths = arrivals = Arrivals(folder, stopped=stop.is_set, besides=out, settle=settle, tell=note)
            note(f"Watching {folder}; Ctrl-C ends.")
        else:
            paths = collect(pictures, besides=out, tell=note)
        with _reported(inspector, out if report else None):
            summary = inspect_pictures(
                inspector,
                paths,
                out=out,
                overlays=overlays,
                batch=1 if watch else batch,
                fresh=fresh,
                stopped=(lambda: False) if watch else stop.is_set,  # pictures to watch end by themselves
                progress=Bars(quiet=as_json or watch),
                emit=_print_record if as_json else _line if watch else _error_line,
                again=arrivals.again if arrivals else lambda path: None,
                patience=Patience(note, stop.is_set) if watch else None,
                drift=alpha,
            )
    if not as_json:
        _show(summary, out)
    if summary.failed:
        raise typer.Exit(3)


@contextlib.contextmanager
def _reported(inspector: Inspector, out: Path | None) -> Iterator[None]:
    """Write the report of the results in `out`, also where the inspection was stopped."""
    from flawscope.errors import Stopped

    def report() -> None:
        if out is not None:
            from flawscope.report.build import inspection_report

            inspection_report(inspector.bundle, out)

    try:
        yield
    except Stopped:
        report()
        raise
    report()


def _one_folder(pictures: list[str]) -> Path:
    from flawscope.errors import OptionError

    folder = Path(pictures[0])
    if len(pictures) != 1 or (folder.exists() and not folder.is_dir()):  # one that is absent may come
        raise OptionError(
            "--watch", expected="one folder", got=", ".join(pictures), fix="Name the folder to watch."
        )
    return folder


def _line(record: Record) -> None:
    if record.error is None:
        say(f"{record.decision:<7} {record.score:10.4f}  {printable(record.path)}")
    _error_line(record)


def _error_line(record: Record) -> None:
    if record.error is not None:
        note(f"unreadable: {record.error}")
    for alarm in record.drift:
        note(f"drift: {alarm.text}")


def _print_record(record: Record) -> None:
    print_json(record.to_json())
    for alarm in record.drift:
        print_json({"drift": alarm.to_json()})


def _show(summary: Summary, out: Path | None) -> None:
    table = table_of("accept", "review", "reject", "unreadable", "done before")
    table.add_row(
        *(str(getattr(summary, name)) for name in ("accept", "review", "reject", "failed", "skipped"))
    )
    console.print(table)
    if summary.worst:
        table = table_of("score", "verdict", "picture", title="Most anomalous")
        for record in summary.worst:
            table.add_row(f"{record.score:.4f}", record.decision, cell(record.path))
        console.print(table)
    if summary.large:
        note(
            f"Pictures with more tiles than those that calibrated the model: {summary.large}. Good ones of "
            "that size are rejected more often than promised; calibrate on some (flawscope calibrate)."
        )
    if summary.names:
        note(summary.names)
    for alarm in summary.standing:
        note(f"drift, raised before: {alarm.text}")
    if out is not None:
        say(f"Results: {out}")
