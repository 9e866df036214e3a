"""`flawscope rollback`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from flawscope.cli import options
from flawscope.cli.console import note, print_json, say
from flawscope.files import typed

if TYPE_CHECKING:
    from flawscope.runtime.bundle import Bundle
    from flawscope.runtime.versions import Version

EXAMPLES = """Examples:

  flawscope rollback models/bracket

  flawscope rollback models/bracket --list

  flawscope rollback models/bracket --to 3fa9

  flawscope rollback models/bracket --keep 5

Versions lie in MODEL.versions beside the model. The switch is one step: who opens the model meanwhile gets
the one or the other, whole. The model that was in use is kept as well, so `--to` leads back to it. With
--keep the model in use stays, and versions are removed for ever; the log still tells of them."""


def rollback(
    model: options.Model,
    to: Annotated[
        str | None, typer.Option("--to", help="Version, or the beginning of its name; else the one before.")
    ] = None,
    listing: Annotated[
        bool, typer.Option("--list", help="Only list the versions, the oldest first.")
    ] = False,
    keep: Annotated[
        int | None,
        typer.Option("--keep", help="Only remove kept versions, but this many that were in use last.", min=0),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Put an earlier version of a model in use again."""
    from flawscope.errors import OptionError
    from flawscope.runtime import bundle, versions

    if keep is not None:
        if listing or to is not None:
            fix = "Say them one after the other."
            raise OptionError("--keep", expected="neither --to nor --list beside it", got="one", fix=fix)
        _show_removed(versions.remove_but(model, keep), versions.history(model)[:-1], as_json=as_json)
        return
    if listing:
        found = versions.history(model)
        if not found:
            bundle.load(model)  # which says what is missing
        entries = [row.entry for row in versions.rows(model)]
        made_by = {
            entry["to"]: entry.get("event")
            for entry in entries
            if isinstance(entry.get("to"), str) and entry.get("event") != "rollback"
        }
        _show(found, made_by, as_json=as_json)
        return
    before, whole = versions.name_of(model), versions.is_whole(model)
    now = versions.rollback(model, to)
    made = bundle.load(now.folder)
    if as_json:
        print_json({"model": model, "before": before, "now": now.id, **_facts(made)})
        return
    if before == now.id:
        note(f"{model} was this version already{'' if whole else ', damaged, and is whole again'}.")
    say(f"Model: {model}, version {now.id}{'' if before in (None, now.id) else f', in place of {before}'}")
    say(made.manifest.calibration.statement())
    if before not in (None, now.id):
        say(f"Back again: flawscope rollback {typed(model)} --to {before}")


def _facts(made: Bundle) -> dict[str, object]:
    from flawscope.cli.console import promised

    return {"signed": made.signed, **promised(made.manifest.calibration)}


def _show_removed(removed: list[str], left: list[Version], *, as_json: bool) -> None:
    names = [version.id for version in left]
    if as_json:
        print_json({"removed": removed, "kept": names})
        return
    gone = f"Removed: {', '.join(removed)}." if removed else "No version was removed."
    say(f"{gone} Kept: {', '.join(names) or 'none but the model in use'}.")


def _show(found: list[Version], made_by: dict[Any, Any], *, as_json: bool) -> None:
    if as_json:
        listed = [{**version.to_json(), "by": made_by.get(version.id)} for version in found]
        print_json({"versions": listed})
        return
    for version in found:
        written = version.written.strftime("%Y-%m-%d %H:%M:%S")
        by = f"  by {made_by[version.id]}" if version.id in made_by else ""
        say(f"{version.id}  {written}{by}{'  in use' if version.current else ''}")
