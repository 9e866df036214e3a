"""`flawscope audit`: whether results are as they were written, one part's page, and reviews."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flawscope.cli import options
from flawscope.cli.console import console, print_json, printable, say

if TYPE_CHECKING:
    from flawscope.runtime.seal import Signer, Trusted
    from flawscope.station.audit import Audit, LogAudit

VERIFY_EXAMPLES = """Examples:

  flawscope audit verify results

  flawscope audit verify results --head 3b0c… --pictures

  flawscope audit verify results --write-head /mnt/elsewhere/2026-11-27.json --sign KEY

  flawscope audit verify results --head /mnt/elsewhere/2026-11-27.json --trust KEY.pub

  flawscope audit verify results --model models/bracket --json

The head is the hash of the last row. Write it down where whoever can change the results cannot: only a head
that was written down tells of rows cut off at the end, or of a chain that was made anew as a whole. Exit code
10: a row, a record or a picture is not as it was."""
PART_EXAMPLES = """Examples:

  flawscope audit part results line1/0042.png --out 0042.html

  flawscope audit part results 0042.png --model models/bracket"""
REVIEW_EXAMPLES = """Examples:

  flawscope audit review results line1/0042.png --verdict good --by Ana --note 'a shadow'

The record stays as it is; the review is a row of its own. The report of the next `inspect` shows it as the
truth."""

Results = Annotated[Path, typer.Argument(help="Folder of results that `inspect --out` wrote.")]
Picture = Annotated[str, typer.Argument(help="Picture, named as in results.csv, or the end of its name.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        no_args_is_help=True,
        help="Check that results are as they were written; show and review single parts.",
    )
    group.command("verify", epilog=VERIFY_EXAMPLES)(verify)
    group.command("part", epilog=PART_EXAMPLES)(part)
    group.command("review", epilog=REVIEW_EXAMPLES)(review)
    app.add_typer(group, name="audit")


def verify(
    results: Results,
    head: Annotated[
        str | None,
        typer.Option("--head", metavar="HASH", help="Head that was written down earlier, or its file."),
    ] = None,
    write_head: Annotated[
        Path | None, typer.Option("--write-head", metavar="FILE", help="Write the head to a JSON file.")
    ] = None,
    sign: Annotated[
        Path | None, typer.Option("--sign", metavar="KEY", help="Private Ed25519 key to sign that file with.")
    ] = None,
    trust: Annotated[
        Path | None,
        typer.Option(
            "--trust", metavar="KEY.pub", help="Public key that the file of --head must be signed with."
        ),
    ] = None,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Compare picture files with their hashes, too.")
    ] = False,
    model: Annotated[
        Path | None,
        typer.Option("--model", help="Model folder whose log of versions is checked; else where it lay."),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Recompute the chain of results; name the first row that was changed, removed or put in."""
    from flawscope.station import heads
    from flawscope.station.audit import audit, audit_log, is_closed

    signer, trusted = _keys(head, write_head, sign, trust)
    if head is not None and (trusted is not None or Path(head).is_file()):
        head = heads.read_head(Path(head), trusted)
    found = audit(results, head=head, pictures=pictures)
    log = audit_log(found, model)
    if write_head is not None and found.whole:
        heads.write_head(write_head, found, signer)
    if as_json:
        print_json(found.to_json() | {"log": None if log is None else log.to_json()})
    else:
        _show(found, log, pictures=pictures)
        if log is None and (model is not None or found.through or is_closed(found)):
            place = model or found.folder
            say(f"No log of versions can be read beside {place}: changes of the model are not checked.")
    if not found.whole or found.changed or (log is not None and log.problem is not None):
        raise typer.Exit(10)


def part(
    results: Results,
    picture: Picture,
    out: Annotated[Path, typer.Option("--out", "-o", help="HTML file to write.")] = Path("part.html"),
    model: Annotated[
        Path | None, typer.Option("--model", help="Model folder to draw the heatmap with; else where it lay.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Write one page for one part: picture, heatmap, verdict, and all that the verdict rests on."""
    from flawscope.report.part import write_part
    from flawscope.station.audit import audit
    from flawscope.station.part import part_of, shown

    found = part_of(results, picture)
    checked = audit(results)
    views, sentence = shown(found, model)
    write_part(out, found, views, shown=sentence, audit=checked)
    if as_json:
        print_json(
            {
                "page": out,
                "record": found.record.to_json(),
                "row": found.row.number,
                "hash": found.row.hash,
                "reviews": [one.to_json() for one in found.reviews],
                "picture_file": found.file,
                "problem": None if checked.problem is None else checked.problem.what,
            }
        )
    else:
        say(f"Page: {out}")
        say(sentence)
        if not checked.whole:
            _problem(checked)
    if not checked.whole:
        raise typer.Exit(10)


def review(
    results: Results,
    picture: Picture,
    verdict: Annotated[str, typer.Option("--verdict", help="What the part is: good or defective.")],
    by: Annotated[
        str | None, typer.Option("--by", help="Who says so; else the name of the system's user.")
    ] = None,
    note: Annotated[str, typer.Option("--note", help="Why.")] = "",
    as_json: options.AsJson = False,
) -> None:
    """Enter what a person found a part to be."""
    from flawscope.station.reviews import review as enter

    made = enter(results, picture, verdict, by=_user() if by is None else by, note=note)
    if as_json:
        print_json(made.to_json())
    else:
        say(f"Row {made.number}: {printable(made.path)} is {made.verdict}.")


def _keys(
    head: str | None, write_head: Path | None, sign: Path | None, trust: Path | None
) -> tuple[Signer | None, Trusted | None]:
    from flawscope.errors import OptionError
    from flawscope.runtime.seal import Signer, Trusted

    if sign is not None and write_head is None:
        fix = "Name the file to sign with --write-head."
        raise OptionError("--sign", expected="--write-head beside it", got="none", fix=fix)
    if trust is not None and head is None:
        fix = "Name the file that it signed with --head."
        raise OptionError("--trust", expected="--head beside it", got="none", fix=fix)
    return None if sign is None else Signer(sign), None if trust is None else Trusted(trust)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without names
        return ""


def _show(found: Audit, log: LogAudit | None, *, pictures: bool) -> None:
    kinds = ", ".join(f"{count} {kind}" for kind, count in found.rows.items())
    if found.problem is None:
        say(f"Whole: {found.rows.total()} rows ({kinds}).")
    else:
        _problem(found)
    if found.known:
        say(f"The head given is row {found.known}: nothing up to there was changed.")
    if pictures:
        say(f"Pictures: {len(found.changed)} with other bytes now, {found.gone} not there any more.")
        for path in found.changed:
            say(f"  changed: {printable(path)}")
    if log is not None:
        say(f"Log of {log.folder}: {log.problem or f'whole, {log.rows} rows'}.")
    if found.problem is None:
        say(f"Head: {found.head}")
        say("Write it down elsewhere: only that tells of rows cut off at the end, or of a chain made anew.")


def _problem(found: Audit) -> None:
    if found.problem is not None:
        console.print("Not as it was written:", style="bold red", end=" ")
        say(f"{found.problem.what}.")
